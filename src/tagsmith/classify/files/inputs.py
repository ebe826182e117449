"""Untagged documents from a file or a folder, as a stream of rows with a key and a text or an error."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError, counted
from tagsmith.core.text import decode, text_problem
from tagsmith.core.text_files import kinds_of, visible_files
from tagsmith.rows.fields import ABSENT, column_of, has_field, text_of, value_of
from tagsmith.rows.files import File, files_of, kind_of
from tagsmith.rows.open import open_table
from tagsmith.rows.table import BadRow, ReadAs, Reading, Rows, Table, reading_note


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
    """Rows in order, the place of the last one (empty lines make it approximate), and notes for the user.

    The first note says as what the files are read, where their names do not.
    """

    rows: Iterator[Row]
    places: int
    notes: list[str] = field(default_factory=list)


def open_input(
    source: Sequence[str], fields: Sequence[str], how: Reading, setting: str = "input", keep: Sequence[str] = ()
) -> Input:
    """The rows of files, or the texts of a folder; `setting` is the name of the setting, for errors.

    Args:
        source: files, folders, patterns, or `-` for standard input.
        fields: of the text; the texts of several are joined.
        keep: fields that become part of the keys.

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
        columns = table.columns
        if columns is not None and (missing := [name for name in (*fields, *keep) if not has_field(columns, name)]):
            found = ", ".join(columns) or "no header line"
            raise DataError(
                f"{file}: expected the column {', '.join(missing)}, found {found}; name it with text_field=."
            )
    read_as = [ReadAs(str(file), table.format, tuple(table.details)) for file, table in zip(files, tables, strict=True)]
    if any(one.details or one.format != kind_of(file.name) for one, file in zip(read_as, files, strict=True)):
        notes.insert(0, reading_note(read_as))
    notes += [note for table in tables for note in table.notes]
    return Input(_all_records(files, tables, fields, keep, notes), sum(table.places for table in tables), notes)


def _all_records(
    files: Sequence[File], tables: Sequence[Table], fields: Sequence[str], keep: Sequence[str], notes: list[str]
) -> Iterator[Row]:
    """The rows of all files; with several, the key of a row begins with its file. What reading finds joins `notes`."""
    before = 0
    for file, table in zip(files, tables, strict=True):
        wanted = None
        if table.columns is not None:
            first = [name.partition(".")[0] for name in fields]
            named = (column_of(table.columns, name) for name in (*fields, *keep, *first, "id", "group"))
            wanted = tuple(dict.fromkeys(filter(None, named)))
        of_file = {"file": file.name} if len(files) > 1 else {}
        known = len(table.notes)
        yield from _records(table.rows(wanted), fields, keep, of_file, before)
        notes += table.notes[known:]
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


def _records(
    rows: Rows, fields: Sequence[str], keep: Sequence[str], of_file: dict[str, Any], before: int
) -> Iterator[Row]:
    for number, record in rows:
        key = {**of_file, "row": number}
        if isinstance(record, BadRow):
            yield Row(before + number, key, error=record.what)
            continue
        for name in ("id", *keep):
            if (value := _plain(value_of(record, name))) is not None:
                key[name] = value
        text, group = text_of(record, fields), value_of(record, "group")
        if text is ABSENT:
            found = _plain(", ".join(record))
            yield Row(
                before + number, key, error=f"no field {', '.join(fields)}; found {found}; name it with text_field="
            )
        else:
            yield _row(before + number, key, text, ", ".join(fields), group)


def _plain(value: Any) -> Any:
    """A value that JSON can hold; None where there is none, NaN included. Lone surrogates are written as `\\udce9`."""
    if value is ABSENT or value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(name): _plain(item) for name, item in value.items()}
    return str(value).encode("utf-8", "backslashreplace").decode()


def _row(place: int, key: dict[str, Any], text: Any, field: str, group: Any = None) -> Row:
    if (problem := text_problem(text, field)) is not None:
        return Row(place, key, error=problem)
    return Row(place, key, text, group=str(group) if isinstance(group, str | int) and str(group).strip() else None)
