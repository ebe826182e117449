"""What every format returns: rows, each with its line number, or with what is wrong with it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read; `content`: its text; `not_decoded`: its bytes fit no encoding of the settings."""

    what: str
    content: str = ""
    not_decoded: bool = False


NAMED = 3
"""Files with the same details that the log names; of more, it says the number."""

Rows = Iterator[tuple[int, dict[str, Any] | BadRow]]
"""(line or row number from 1, record or what is wrong), in the order of the file."""


@dataclass(frozen=True)
class Reading:
    """How to read text files.

    Attributes:
        delimiter: between the fields of a table; None: detected in its first line.
        encoding: None: UTF-8, or what is detected where a file is not UTF-8.
        fallback: encoding of single rows that `encoding` cannot decode.
    """

    delimiter: str | None = None
    encoding: str | None = None
    fallback: str | None = None


@dataclass
class Table:
    """One file of rows.

    Attributes:
        format: as what the file is read, for the log: `CSV`, `JSON Lines`, ...
        details: what else the log says of it, where it is not the usual: `encoded in cp1252`.
        columns: None where each row has fields of its own.
        places: number of the last line or row, empty lines included.
        open: starts to read; given names of columns, it may leave out all others.
        notes: remarks for the user, each once; complete when all rows have been read.
    """

    format: str
    columns: tuple[str, ...] | None
    places: int
    open: Callable[[tuple[str, ...] | None], Rows]
    details: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def rows(self, columns: tuple[str, ...] | None = None) -> Rows:
        return self.open(columns)

    def note(self, remark: str) -> None:
        """Add a remark, unless an earlier reading of the rows has added it."""
        if remark not in self.notes:
            self.notes.append(remark)


@dataclass(frozen=True)
class ReadAs:
    """As what a file is read; see `Table.format` and `Table.details`."""

    file: str
    format: str
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.format} ({', '.join(self.details)})" if self.details else self.format


def reading_note(files: Sequence[ReadAs]) -> str:
    """As what the files are read: `Read train.csv as CSV.`, `Read 12 files: 10 as CSV, 2 as Parquet.`

    Up to `NAMED` files with details that most do not have are named.
    """
    if len(files) == 1:
        return f"Read {files[0].file} as {files[0]}."
    (usual, _), *others = counts = Counter(map(str, files)).most_common()
    if not others:
        return f"Read {len(files):,} files as {usual}."
    groups = []
    for shown, count in counts:
        same = [one for one in files if str(one) == shown]
        named = same[0].details and shown != usual and count <= NAMED
        groups.append(f"{' and '.join(one.file for one in same) if named else f'{count:,}'} as {shown}")
    return f"Read {len(files):,} files: {', '.join(groups)}."
