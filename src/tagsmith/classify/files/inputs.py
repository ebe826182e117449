"""Untagged documents from a file or a folder, as a stream of rows with a key and a text or an error."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError, counted
from tagsmith.core.text import decode, text_problem
from tagsmith.core.text_files import kinds_of, visible_files
from tagsmith.rows.fields import ABSENT, column_of, has_field, text_of, value_of
from tagsmith.rows.files import File, files_of
from tagsmith.rows.open import open_table
from tagsmith.rows.table import BadRow, Reading, Rows, Table


@dataclass(frozen=True, slots=True)
class Row:
    """One input: its key (row number, id, file name), and its text or an error.

    `place` counts the lines, rows or files up to this one; `group` is the field of that name, if there is one.
    """

    place: int
    key: dict[str, Any]
    text: str = ""
    error: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Input:
    """Rows in order, the place of the last one (empty lines make it approximate), and notes for the user."""

    rows: Iterator[Row]
    places: int
    notes: Sequence[str] = ()


def open_input(source: Sequence[str], fields: Sequence[str], how: Reading, setting: str = "input") -> Input:
    """The rows of files, or the texts of a folder; `setting` is the name of the setting, for errors.

    Args:
        source: files, folders, patterns, or `-` for standard input.
        fields: of the text; the texts of several are joined.

    Raises:
        InputMissing: there is no such file.
        SettingsError: a package for the format is not installed.
        DataError: a text column is missing, there are no files, or a file is damaged.
    """
    if len(source) == 1 and (folder := Path(source[0])).is_dir():
        inside = visible_files(folder)
        if paths := [path for path in inside if path.suffix.lower() == ".txt"]:
            others = [path for path in inside if path.suffix.lower() != ".txt"]
            notes = [
                f"{setting}={folder}: left out {counted(len(others), 'file')} other than .txt: {kinds_of(others)}."
            ]
            return Input(_text_files(folder, paths, how.encoding), len(paths), notes if others else [])
    files, notes = files_of(source, setting)
    tables = [open_table(file, how) for file in files]
    for file, table in zip(files, tables, strict=True):
        missing = [name for name in fields if table.columns is not None and not has_field(table.columns, name)]
        if missing:
            found = ", ".join(table.columns or ()) or "no header line"
            raise DataError(
                f"{file}: expected the column {', '.join(missing)}, found {found}; name it with text_field=."
            )
    return Input(_all_records(files, tables, fields), sum(table.places for table in tables), notes)


def _all_records(files: Sequence[File], tables: Sequence[Table], fields: Sequence[str]) -> Iterator[Row]:
    """The rows of all files; with several, the key of a row begins with its file."""
    before = 0
    for file, table in zip(files, tables, strict=True):
        wanted = None
        if table.columns is not None:
            first = [name.partition(".")[0] for name in fields]
            named = (column_of(table.columns, name) for name in (*fields, *first, "id", "group"))
            wanted = tuple(dict.fromkeys(filter(None, named)))
        of_file = {"file": file.name} if len(files) > 1 else {}
        yield from _records(table.rows(wanted), fields, of_file, before)
        before += table.places


def _text_files(folder: Path, paths: list[Path], encoding: str | None) -> Iterator[Row]:
    for place, path in enumerate(paths, 1):
        key = {"file": path.relative_to(folder).as_posix()}
        try:
            text = decode(path.read_bytes(), encoding)
        except OSError as error:
            yield Row(place, key, error=f"cannot be read: {error.strerror}")
            continue
        yield (
            Row(place, key, error=f"cannot be decoded as {encoding or 'utf-8'}")
            if text is None
            else _row(place, key, text, "text")
        )


def _records(rows: Rows, fields: Sequence[str], of_file: dict[str, Any], before: int) -> Iterator[Row]:
    for number, record in rows:
        key = {**of_file, "row": number}
        if isinstance(record, BadRow):
            yield Row(before + number, key, error=record.what)
            continue
        if (identity := _identity(value_of(record, "id"))) is not None:
            key["id"] = identity
        text, group = text_of(record, fields), value_of(record, "group")
        if text is ABSENT:
            found = ", ".join(record)
            yield Row(before + number, key, error=f"no field {', '.join(fields)}; found {found}")
        else:
            yield _row(before + number, key, text, ", ".join(fields), group)


def _identity(value: Any) -> Any:
    """An id that JSON can hold; None where there is none, NaN included."""
    if value is ABSENT or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _row(place: int, key: dict[str, Any], text: Any, field: str, group: Any = None) -> Row:
    if (problem := text_problem(text, field)) is not None:
        return Row(place, key, error=problem)
    return Row(place, key, text, group=str(group) if isinstance(group, str | int) and str(group).strip() else None)
