"""Rows of comma- or tab-separated files below a header line; the whole file decides what a quotation mark means."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from tagsmith.core.errors import DataError, counted
from tagsmith.rows.files import File, kind_of
from tagsmith.rows.lines import Scan, lines_of, scan, unreadable
from tagsmith.rows.table import BadRow, Reading, Rows, Table

csv.field_size_limit(2**31 - 1)  # The default of 131,072 characters is less than a long document has.

DELIMITERS = ",;\t|"
NAMES = {";": "semicolons", "|": "vertical bars"}
KNOWN_VALUES = 60
"""Characters of a value that may show that a line is a row: a class, not a text."""


def delimited(file: File, how: Reading) -> Table:
    """The rows of a file with a header line; the number of a row is that of the line on which it ends.

    Raises:
        DataError: the header line cannot be decoded, or names a column twice.
    """
    found = scan(file, how)
    first = next(lines_of(file, found.encoding, how.fallback), "")
    # Excel's own line before the header.
    stated = first.strip()[4:5] if first.lower().startswith("sep=") and len(first.strip()) == 5 else None
    usual = "\t" if kind_of(file.name) == "TSV" else ","
    delimiter = how.delimiter or stated or _delimiter(first, usual)
    reader = _Reader(file, found, how.fallback, delimiter, skip=1 if stated else 0)
    number, header = reader.header()
    columns = tuple(name.strip() for name in header)
    if bad := unreadable(delimiter.join(columns), found.encoding):
        raise DataError(f"{file}:{number}: the header line {bad.what}; set data.encoding.")
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise DataError(f"{file}:{number}: expected each column once, found twice: {', '.join(twice)}.")
    kind = "TSV" if delimiter == "\t" else "CSV"
    table = Table(kind, columns, found.lines, lambda _: reader.rows(table, columns))
    if delimiter not in ",\t":
        table.details.append(f"separated by {NAMES.get(delimiter, repr(delimiter))}")
    table.details += found.details
    return table


def _delimiter(header: str, usual: str) -> str:
    """The character that separates most fields of the header line."""
    return max(DELIMITERS, key=lambda mark: (len(next(csv.reader([header], delimiter=mark), [])), mark == usual))


class _Reader:
    """Reads one file, several times where quotation marks make it necessary."""

    def __init__(self, file: File, found: Scan, fallback: str | None, delimiter: str, skip: int) -> None:
        self.file, self.found, self.fallback, self.delimiter, self.skip = file, found, fallback, delimiter, skip

    def lines(self) -> Iterator[str]:
        lines = lines_of(self.file, self.found.encoding, self.fallback)
        for _ in range(self.skip):
            next(lines, None)
        return lines

    def header(self) -> tuple[int, list[str]]:
        """The number of the first line that is not empty, and its fields."""
        table = csv.reader(self.lines(), delimiter=self.delimiter, strict=self.delimiter != "\t")
        try:
            for row in table:
                if row:
                    return self.skip + table.line_num, row
        except csv.Error as error:
            raise DataError(
                f"{self.file}: the header line is not a valid row (is a quote left open?): {error}."
            ) from error
        return 0, []

    def rows(self, table: Table, columns: Sequence[str]) -> Rows:
        """The rows below the header; a header that is repeated, as in joined files, is left out and counted."""
        literal = self.delimiter == "\t" and not self._quotes_consistently(len(columns))
        repeated = self._repeated_values(len(columns)) if not literal else {}
        headers, names = 0, list(columns)
        for number, row in self._records(literal, repeated):
            if isinstance(row, BadRow):
                yield number, row
                continue
            if [name.strip("\ufeff \r\n") for name in row] == names:
                headers += 1
                continue
            while len(row) > len(columns) and not row[-1].strip():
                row.pop()  # A spreadsheet adds empty fields at the end.
            if not any(field.strip() for field in row):
                continue
            shown = self.delimiter.join(row)
            if len(row) == len(columns):
                yield number, unreadable(shown, self.found.encoding) or dict(zip(columns, row, strict=True))
            else:
                yield number, BadRow(f"expected {counted(len(columns), 'field')}, found {len(row)}", shown)
        if headers > 1:
            table.note(f"{self.file}: left out {counted(headers - 1, 'repeated header line')}.")
        if literal:
            table.note(f"{self.file}: quotation marks are part of the fields, since they are not in pairs.")

    def _records(self, literal: bool, repeated: dict[int, set[str]]) -> Iterator[tuple[int, list[str] | BadRow]]:
        """The fields of each row, the header included, and the number of its last line.

        A row with an unclosed quotation mark, or one that closes many rows later, is bad; the next line is read anew.
        """
        read: list[str] = []
        lines, before = self.lines(), self.skip  # Lines before the first one that this reader sees.
        table = self._csv(lines, read, literal)
        while True:
            read.clear()
            started = before + table.line_num + 1
            try:
                row = next(table)
            except StopIteration:
                return
            except csv.Error as error:
                # An unclosed quotation mark swallows the rest of the file.
                bad = BadRow(f"not a valid CSV row (is a quote left open?): {error}", "".join(read[:1]))
            else:
                number = before + table.line_num
                if len(read) == 1 or not (swallowed := self._swallowed(read[:-1], repeated)):
                    yield number, row
                    continue
                bad = BadRow(
                    f"a quotation mark opens here and closes on line {number}; the lines between look like "
                    f'{counted(swallowed, "row")} (write "" for a quotation mark inside of a field)',
                    read[0],
                )
            yield started, bad
            lines, before = chain(read[1:], lines), started
            table = self._csv(lines, read, literal)

    def _csv(self, lines: Iterator[str], read: list[str], literal: bool) -> Any:
        kept = _kept(lines, read)
        if literal:
            return csv.reader(kept, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)
        return csv.reader(kept, delimiter=self.delimiter, strict=True)

    def _literal(self, line: str) -> list[str]:
        return next(csv.reader([line], delimiter=self.delimiter, quoting=csv.QUOTE_NONE), [])

    def _swallowed(self, lines: Sequence[str], repeated: dict[int, set[str]]) -> int:
        """How many of the lines inside of one record look like rows of their own."""
        if len(repeated) < 2:  # Any line has all fields of a table with one column.
            return 0
        rows = [fields for line in lines if len(fields := self._literal(line)) == len(repeated)]
        return sum(any(field.strip(' \r\n"') in repeated[i] for i, field in enumerate(row)) for row in rows)

    def _repeated_values(self, columns: int) -> dict[int, set[str]]:
        """Short values, by column, that several rows have; empty where no line leaves a quotation mark open."""
        if not any(line.count('"') % 2 for line in self.lines()):
            return {}
        counts: list[Counter[str]] = [Counter() for _ in range(columns)]
        table, before = csv.reader(self.lines(), delimiter=self.delimiter), 0
        for row in table:
            # Not lines inside of a field, such as the greeting at the end of many mails.
            if len(row) == columns and table.line_num == before + 1:
                for counter, field in zip(counts, row, strict=True):
                    if len(field) <= KNOWN_VALUES and field.strip():
                        counter[field.strip()] += 1
            before = table.line_num
        return {i: {value for value, count in counter.items() if count > 1} for i, counter in enumerate(counts)}

    def _quotes_consistently(self, columns: int) -> bool:
        """Whether the file parses with quotation marks around fields, no row swallowing others."""
        if not any(line.startswith('"') or f'{self.delimiter}"' in line for line in self.lines()):
            return True
        repeated = self._repeated_values(columns)
        return all(
            not isinstance(row, BadRow) and len(row) in (0, columns) for _, row in self._records(False, repeated)
        )


def _kept(lines: Iterator[str], read: list[str]) -> Iterator[str]:
    for line in lines:
        read.append(line)
        yield line
