"""Rows of text files, each with its line number, or with what is wrong with it."""

import codecs
import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError, counted

csv.field_size_limit(2**31 - 1)  # The default of 131,072 characters is less than a long document has.

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read; `content`: its text; `not_decoded`: its bytes fit no encoding of the settings."""

    what: str
    content: str = ""
    not_decoded: bool = False


Rows = Iterator[tuple[int, dict[str, Any] | BadRow]]
"""(line number, record or what is wrong), in the order of the file."""


def json_lines(path: Path, encoding: str = "utf-8", fallback: str | None = None) -> Rows:
    """One JSON object a line; empty lines are skipped."""
    for number, line in enumerate(_lines(path, encoding, fallback), 1):
        if line.strip():
            yield number, _unreadable(line, encoding) or _parse(line)


def _parse(line: str) -> dict[str, Any] | BadRow:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow(f"not a JSON object: {error}", line)
    if not isinstance(record, dict):
        return BadRow(f"expected a JSON object, found {line.strip()[:60]!r}", line)
    return record


def delimited(path: Path, delimiter: str, encoding: str = "utf-8", fallback: str | None = None) -> Rows:
    """Rows below a header line, as records by column name; the number is that of the line on which a row ends.

    The first item is the header itself, as a record of each name to itself; it is empty where the file is.
    """
    read: list[str] = []
    lines = _lines(path, encoding, fallback)
    before = 0  # Lines before the first one that this reader sees.
    table = csv.reader(_kept(lines, read), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        read.clear()
        started = before + table.line_num + 1
        try:
            row = next(table)
        except StopIteration:
            break
        except csv.Error as error:
            # An unclosed quote swallows the rest of the file: report its first line, and read on from the next one.
            yield started, BadRow(f"not a valid CSV row (is a quote left open?): {error}", "".join(read[:1]))
            lines, before = chain(read[1:], lines), started
            table = csv.reader(_kept(lines, read), delimiter=delimiter, strict=True)
            continue
        number = before + table.line_num
        if header is None:
            if bad := _unreadable(delimiter.join(row), encoding):
                raise DataError(f"{path}:{number}: the header line is {bad.what}; set data.encoding.")
            header = [name.strip() for name in row]
            if twice := sorted({name for name in header if name and header.count(name) > 1}):
                raise DataError(f"{path}:{number}: expected each column once, found twice: {', '.join(twice)}.")
            yield number, {name: name for name in header}
        elif row:
            shown = delimiter.join(row)
            if len(row) == len(header):
                yield number, _unreadable(shown, encoding) or dict(zip(header, row, strict=True))
            else:
                yield number, BadRow(f"expected {counted(len(header), 'field')}, found {len(row)}", shown)
    if header is None:
        yield 0, {}


def _kept(lines: Iterator[str], read: list[str]) -> Iterator[str]:
    for line in lines:
        read.append(line)
        yield line


def _lines(path: Path, encoding: str, fallback: str | None) -> Iterator[str]:
    """The lines of a text file with their line ends. Bytes that no encoding can decode become lone surrogates."""
    name = codecs.lookup(encoding).name
    codec, encoding = ("utf-8-sig", "utf-8") if name in ("utf-8", "utf-8-sig") else (encoding, encoding)
    if encoding == "utf-8" and _begins_as_utf_16(path):
        raise DataError(f"{path}: begins with the byte-order mark of UTF-16; set the encoding of this file to utf-16.")
    try:
        with path.open(encoding=codec, errors="surrogateescape", newline="") as file:
            for line in file:
                if fallback is not None and is_broken(line):
                    yield line.encode(encoding, "surrogateescape").decode(fallback, "surrogateescape")
                else:
                    yield line
    except UnicodeError as error:  # Multi-byte codecs such as UTF-16 cannot continue after an error.
        raise DataError(f"{path}: cannot be decoded as {encoding}: {error}.") from error


def _begins_as_utf_16(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in UTF_16_MARKS


def is_broken(text: str) -> bool:
    """Whether the text has bytes that its encoding could not decode, or a lone surrogate."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def text_problem(text: Any, field: str) -> str | None:
    """Why a value cannot be classified; None where it can."""
    if not isinstance(text, str):
        return f"expected text as {field}, found {type(text).__name__}"
    if not text.strip():
        return f"{field} is empty"
    return f"{field} is not valid Unicode" if is_broken(text) else None


def _unreadable(text: str, encoding: str) -> BadRow | None:
    return BadRow(f"cannot be decoded as {encoding}", text, not_decoded=True) if is_broken(text) else None


def decode(raw: bytes, encoding: str, fallback: str | None = None) -> str | None:
    """The text of a whole file without its byte-order mark, or None where neither encoding fits.

    A file that `encoding` does not fit and that begins with the byte-order mark of UTF-16 is read as that.
    """
    marked = "utf-16" if raw[:2] in UTF_16_MARKS else None
    for name in filter(None, (encoding, marked, fallback)):
        try:
            return raw.decode(name).removeprefix("\ufeff")
        except UnicodeError:
            continue
    return None
