"""Rows of Parquet and Arrow files; class ids become the names that `datasets` stores with them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from tagsmith.core.errors import DataError, SettingsError
from tagsmith.rows.files import File, open_bytes
from tagsmith.rows.table import Rows, Table

BATCH = 1024
"""Rows in memory."""


def columnar(file: File, kind: str) -> Table:
    """Parquet or Arrow, in memory that does not grow with the file.

    Raises:
        SettingsError: pyarrow is not installed.
        DataError: the file is damaged.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise SettingsError(f"{file}: {kind} needs pyarrow: pip install 'tagsmith[parquet]'.") from error
    try:
        schema, rows, batches = (_parquet if kind == "Parquet" else _arrow)(file)
    except pa.ArrowInvalid as error:
        raise DataError(f"{file}: cannot be read as {kind}: {error}") from error
    named = _class_names(schema)

    def open_rows(columns: tuple[str, ...] | None) -> Rows:
        chosen = [name for name in schema.names if columns is None or name in columns]
        number = 0
        for batch in batches(chosen):
            values = {name: _values(batch.column(name)) for name in chosen}
            for name in named.keys() & values.keys():
                values[name] = [_names(value, named[name]) for value in values[name]]
            for i in range(batch.num_rows):
                number += 1
                yield number, {name: values[name][i] for name in chosen}

    return Table(kind, tuple(schema.names), rows, open_rows)


Batches = Callable[[list[str]], Iterator[Any]]


def _parquet(file: File) -> tuple[Any, int, Batches]:
    import pyarrow.parquet as parquet

    def opened() -> Any:
        # Without buffering whole row groups, which may be larger than the memory.
        return parquet.ParquetFile(open_bytes(file), pre_buffer=False, buffer_size=1 << 20)

    def batches(columns: list[str]) -> Iterator[Any]:
        with opened() as source:
            yield from source.iter_batches(batch_size=BATCH, columns=columns)

    with opened() as source:
        return source.schema_arrow, source.metadata.num_rows, batches


def _arrow(file: File) -> tuple[Any, int, Batches]:
    import pyarrow as pa

    def opened() -> Iterator[Any]:
        with open_bytes(file) as stream:
            if stream.peek(6).startswith(b"ARROW1"):  # type: ignore[attr-defined]
                source = pa.ipc.open_file(stream)
                yield from (source.get_batch(i) for i in range(source.num_record_batches))
            else:
                yield from pa.ipc.open_stream(stream)

    with open_bytes(file) as stream:
        is_file = stream.peek(6).startswith(b"ARROW1")  # type: ignore[attr-defined]
        schema = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(stream).schema
    return schema, sum(batch.num_rows for batch in opened()), lambda columns: (b.select(columns) for b in opened())


def _class_names(schema: Any) -> dict[str, list[str]]:
    """The class names of columns of class ids, from the metadata that `datasets` writes."""
    stored = (schema.metadata or {}).get(b"huggingface")
    features = json.loads(stored).get("info", {}).get("features", {}) if stored else {}
    found = {}
    for name, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else None
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and inner.get("names"):
            found[name] = list(inner["names"])
    return found


def _names(value: Any, names: list[str]) -> Any:
    """The names of class ids; -1 means no class."""
    if isinstance(value, list):
        return [_names(item, names) for item in value if item != -1]
    if value is None or value == -1:
        return None
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _values(column: Any) -> list[Any]:
    """The values of a column; in strings that are not UTF-8, invalid bytes become lone surrogates."""
    import pyarrow as pa

    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        binary = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
        raw = column.cast(binary).to_pylist()
        return [value if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
