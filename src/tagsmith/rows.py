"""Rows of text files, each with the number of its line, or with what is wrong with it."""

import codecs
import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.errors import DataError

csv.field_size_limit(2**31 - 1)  # The default of 131,072 characters is less than a long document has.

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read; `content` is what stands there."""

    what: str
    content: str = ""


Rows = Iterator[tuple[int, dict[str, Any] | BadRow]]
"""(number of the line, record or what is wrong), in the order of the file."""


def json_lines(path: Path, encoding: str = "utf-8", fallback: str | None = None) -> Rows:
    """One JSON object a line; empty lines are passed over."""
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
    """Rows below a header line, as records of its names; the number is that of the line on which a row ends.

    The first item is the header itself, as a record of names to names (no name: the file is empty).
    """
    table = csv.reader(_lines(path, encoding, fallback), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        try:
            row = next(table)
        except StopIteration:
            break
        except csv.Error as error:
            yield table.line_num, BadRow(f"not a row of delimited fields: {error}")
            continue
        if header is None:
            header = [name.strip() for name in row]
            yield table.line_num, {name: name for name in header}
        elif row:
            shown = delimiter.join(row)
            if len(row) == len(header):
                yield table.line_num, _unreadable(shown, encoding) or dict(zip(header, row, strict=True))
            else:
                yield table.line_num, BadRow(f"expected {len(header)} fields, found {len(row)}", shown)
    if header is None:
        yield 0, {}


def _lines(path: Path, encoding: str, fallback: str | None) -> Iterator[str]:
    """The lines of a text file, line ends kept. Bytes that no encoding reads become lone surrogates."""
    codec = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    try:
        with path.open(encoding=codec, errors="surrogateescape", newline="") as file:
            for line in file:
                if fallback is not None and is_broken(line):
                    yield line.encode(encoding, "surrogateescape").decode(fallback, "surrogateescape")
                else:
                    yield line
    except UnicodeError as error:  # Codecs of more than a byte a unit cannot go on after an error.
        raise DataError(f"{path}: not in {encoding}: {error}.") from error


def is_broken(text: str) -> bool:
    """Whether the text holds bytes that its encoding could not read, or half of a surrogate pair."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def _unreadable(text: str, encoding: str) -> BadRow | None:
    return BadRow(f"not in {encoding}", text) if is_broken(text) else None


def decode(raw: bytes, encoding: str, fallback: str | None = None) -> str | None:
    """The text of a whole file, or None where neither encoding fits. A byte-order mark is dropped."""
    for name in filter(None, (encoding, fallback)):
        try:
            return raw.decode(name).removeprefix("\ufeff")
        except UnicodeError:
            continue
    return None
