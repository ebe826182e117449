"""What every format returns: rows, each with its line number, or with what is wrong with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read; `content`: its text; `not_decoded`: its bytes fit no encoding of the settings."""

    what: str
    content: str = ""
    not_decoded: bool = False


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
        format: how the file is read, for the log: `CSV`, `JSON Lines`, ...
        columns: None where each row has fields of its own.
        places: number of the last line or row, empty lines included.
        open: starts to read; given names of columns, it may leave out all others.
        notes: remarks for the user, complete when all rows have been read.
    """

    format: str
    columns: tuple[str, ...] | None
    places: int
    open: Callable[[tuple[str, ...] | None], Rows]
    notes: list[str] = field(default_factory=list)

    def rows(self, columns: tuple[str, ...] | None = None) -> Rows:
        return self.open(columns)
