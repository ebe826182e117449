"""Documents without tags: the rows of a file, or the files of a folder, each with what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.errors import DataError, SettingsError
from tagsmith.rows import BadRow, Rows, decode, delimited, is_broken, json_lines


@dataclass(frozen=True, slots=True)
class Untagged:
    """One row: what tells it apart (number and id, or file name), its text and group, or what is wrong with it."""

    key: dict[str, Any]
    text: str = ""
    error: str | None = None
    group: str | None = None


def untagged_rows(
    source: Path, setting: str, text_field: str, delimiter: str | None, encoding: str
) -> Iterator[Untagged]:
    """The rows of a .jsonl, .csv or .tsv file, or the .txt files of a folder, in their order.

    Args:
        source: exists.
        setting: the name under which a person gave it, for messages.
        delimiter: between two fields; None: a comma in .csv, a tab in .tsv.

    Raises:
        SettingsError: it is of another kind.
        DataError: a table without that column, a folder without such a file.
    """
    kind = source.suffix.lower()
    if source.is_dir():
        return _text_files(source, setting, encoding)
    if kind == ".jsonl":
        return _records(json_lines(source, encoding), text_field)
    if kind not in (".csv", ".tsv"):
        raise SettingsError(f"{setting}={source}: expected a .jsonl, .csv or .tsv file, or a folder of .txt files.")
    rows = delimited(source, delimiter or ("\t" if kind == ".tsv" else ","), encoding)
    _, header = next(rows)
    if isinstance(header, BadRow) or text_field not in header:
        found = "no header line" if isinstance(header, BadRow) or not header else ", ".join(header)
        raise DataError(f"{source}: expected the column {text_field}, found {found}; name it with text_field=.")
    return _records(rows, text_field)


def _text_files(folder: Path, setting: str, encoding: str) -> Iterator[Untagged]:
    paths = sorted(folder.rglob("*.txt"))
    if not paths:
        raise DataError(f"{setting}={folder}: holds no .txt file.")
    for path in paths:
        key = {"file": path.relative_to(folder).as_posix()}
        try:
            text = decode(path.read_bytes(), encoding)
        except OSError as error:
            yield Untagged(key, error=f"cannot be read: {error.strerror}")
            continue
        yield Untagged(key, error=f"not in {encoding}") if text is None else _row(key, text, "text")


def _records(rows: Rows, text_field: str) -> Iterator[Untagged]:
    for number, record in rows:
        if isinstance(record, BadRow):
            yield Untagged({"row": number}, error=record.what)
            continue
        key = {"row": number, "id": record["id"]} if record.get("id") is not None else {"row": number}
        if text_field in record:
            yield _row(key, record[text_field], text_field, record.get("group"))
        else:
            yield Untagged(key, error=f"no field {text_field}; found {', '.join(record)}")


def _row(key: dict[str, Any], text: Any, field: str, group: Any = None) -> Untagged:
    if not isinstance(text, str):
        return Untagged(key, error=f"expected text as {field}, found {type(text).__name__}")
    if not text.strip():
        return Untagged(key, error=f"{field} is empty")
    if is_broken(text):
        return Untagged(key, error=f"{field} is no Unicode text")
    return Untagged(key, text, group=str(group) if isinstance(group, str | int) and str(group).strip() else None)
