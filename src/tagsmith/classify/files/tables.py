"""Classified rows as CSV or Parquet, from the lines of JSON that were written while classifying."""

import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tagsmith.core.errors import SettingsError
from tagsmith.core.files import atomic_path

BATCH = 10_000
"""Rows of Parquet in memory."""


def require_parquet(output: Path) -> None:
    """Raises: SettingsError, pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise SettingsError(f"output={output}: Parquet needs pyarrow: pip install 'tagsmith[parquet]'.") from error


def write_table(lines: Path, output: Path) -> None:
    """Write the lines as the table that the name of `output` asks for, whole or not at all."""
    with atomic_path(output) as path:
        (_write_parquet if output.suffix.lower() == ".parquet" else _write_csv)(lines, path)


def _records(lines: Path) -> Iterator[dict[str, Any]]:
    with lines.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _write_csv(lines: Path, output: Path) -> None:
    """One column per field and `scores.CLASS` per class; a list of classes is a JSON array."""
    columns = list(dict.fromkeys(name for record in _records(lines) for name in _flat(record)))
    with output.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        table.writeheader()
        for record in _records(lines):
            table.writerow(_flat(record))


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if name == "scores":
            flat |= {f"scores.{label}": score for label, score in value.items()}
        elif isinstance(value, bool):
            flat[name] = str(value).lower()
        else:
            flat[name] = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
    return flat


def _write_parquet(lines: Path, output: Path) -> None:
    """The columns of the lines; `scores` is a struct with a field per class, and fields of the input are text."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    columns: dict[str, Any] = {}
    for record in _records(lines):
        for name, value in record.items():
            if name not in columns:
                columns[name] = _type(name, value)
    schema = pa.schema(columns)
    records = _records(lines)
    with parquet.ParquetWriter(output, schema) as writer:
        while batch := list(islice(records, BATCH)):
            rows = [{name: _as_column(columns[name], value) for name, value in one.items()} for one in batch]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _type(name: str, value: Any) -> Any:
    import pyarrow as pa

    if name == "scores":
        return pa.struct({label: pa.float64() for label in value})
    if name in ("labels", "set"):
        return pa.list_(pa.string())
    return {"row": pa.int64(), "to_person": pa.bool_(), "out_of_scope": pa.float64()}.get(name, pa.string())


def _as_column(kind: Any, value: Any) -> Any:
    import pyarrow as pa

    if not pa.types.is_string(kind) or value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
