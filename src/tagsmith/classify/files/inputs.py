"""Untagged documents from a file or a folder, as a stream of rows with a key and a text or an error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError, SettingsError, counted
from tagsmith.core.rows import BadRow, Rows, decode, delimited, json_lines, text_problem
from tagsmith.core.text_files import kinds_of, visible_files

KINDS = "a .jsonl, .csv, .tsv or .parquet file, or a folder of .txt files"


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


def open_input(source: Path, text_field: str, delimiter: str | None, encoding: str, setting: str = "input") -> Input:
    """The rows of a file or of a folder; `setting` is the name of the setting, for errors.

    Raises:
        SettingsError: the format is unknown, or pyarrow is not installed.
        DataError: the text column is missing, there are no files, or the file is not valid Parquet.
    """
    kind = source.suffix.lower()
    if source.is_dir():
        files = visible_files(source)
        paths = [path for path in files if path.suffix.lower() == ".txt"]
        others = [path for path in files if path.suffix.lower() != ".txt"]
        if not paths:
            found = f"found {kinds_of(others)}" if others else "found no files"
            raise DataError(f"{setting}={source}: expected .txt files, {found}.")
        notes = [f"{setting}={source}: left out {counted(len(others), 'file')} other than .txt: {kinds_of(others)}."]
        return Input(_text_files(source, paths, encoding), len(paths), notes if others else [])
    if kind == ".parquet":
        return _parquet(source, text_field, setting)
    if kind == ".jsonl":
        return Input(_records(json_lines(source, encoding), text_field), _lines(source))
    if kind not in (".csv", ".tsv"):
        raise SettingsError(f"{setting}={source}: expected {KINDS}.")
    rows = delimited(source, delimiter or ("\t" if kind == ".tsv" else ","), encoding)
    _, header = next(rows)
    if isinstance(header, BadRow) or text_field not in header:
        found = "no header line" if isinstance(header, BadRow) or not header else ", ".join(header)
        raise DataError(f"{source}: expected the column {text_field}, found {found}; name it with text_field=.")
    return Input(_records(rows, text_field), _lines(source))


def _lines(path: Path) -> int:
    """The number of lines of a file; counting is much faster than reading rows."""
    count, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            count, last = count + chunk.count(b"\n"), chunk[-1:]
    return count + (last != b"\n")


def _text_files(folder: Path, paths: list[Path], encoding: str) -> Iterator[Row]:
    for place, path in enumerate(paths, 1):
        key = {"file": path.relative_to(folder).as_posix()}
        try:
            text = decode(path.read_bytes(), encoding)
        except OSError as error:
            yield Row(place, key, error=f"cannot be read: {error.strerror}")
            continue
        yield (
            Row(place, key, error=f"cannot be decoded as {encoding}")
            if text is None
            else _row(place, key, text, "text")
        )


def _records(rows: Rows, text_field: str) -> Iterator[Row]:
    for number, record in rows:
        if isinstance(record, BadRow):
            yield Row(number, {"row": number}, error=record.what)
            continue
        key = {"row": number, "id": record["id"]} if record.get("id") is not None else {"row": number}
        if text_field in record:
            yield _row(number, key, record[text_field], text_field, record.get("group"))
        else:
            yield Row(number, key, error=f"no field {text_field}; found {', '.join(record)}")


def _row(place: int, key: dict[str, Any], text: Any, field: str, group: Any = None) -> Row:
    if (problem := text_problem(text, field)) is not None:
        return Row(place, key, error=problem)
    return Row(place, key, text, group=str(group) if isinstance(group, str | int) and str(group).strip() else None)


def _parquet(path: Path, text_field: str, setting: str) -> Input:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise SettingsError(f"{setting}={path}: Parquet needs pyarrow: pip install 'tagsmith[parquet]'") from error
    try:
        # Without buffering whole row groups, which may be larger than the memory.
        file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
    names = file.schema_arrow.names
    if text_field not in names:
        file.close()
        raise DataError(
            f"{path}: expected the column {text_field}, found {', '.join(names)}; name it with text_field=."
        )
    columns = [name for name in names if name in (text_field, "id", "group")]

    def records() -> Rows:
        with file:
            number = 0
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                values = {name: _values(batch.column(name)) for name in columns}
                for i in range(batch.num_rows):
                    number += 1
                    yield number, {name: values[name][i] for name in columns}

    return Input(_records(records(), text_field), file.metadata.num_rows)


def _values(column: Any) -> list[Any]:
    """The values of a column; in strings that are not UTF-8, invalid bytes become lone surrogates."""
    import pyarrow as pa

    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        binary = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
        raw = column.cast(binary).to_pylist()
        return [value if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
