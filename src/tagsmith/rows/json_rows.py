"""Rows of JSON: one object per line, or one document that holds all of them."""

import json
from itertools import islice
from typing import Any

from tagsmith.core.errors import DataError
from tagsmith.rows.files import File, kind_of
from tagsmith.rows.lines import lines_of, scan, unreadable
from tagsmith.rows.table import BadRow, Reading, Rows, Table

RECORDS = ("data", "rows", "records", "items", "examples", "documents")
"""Keys under which a JSON document may hold its list of records."""


def json_table(file: File, how: Reading) -> Table:
    """JSON Lines, or a JSON document: an array of objects, or one of the other forms that pandas writes.

    Raises:
        DataError: the file is one JSON document without records.
    """
    found = scan(file, how)
    if _is_document(file, found.encoding):
        records = document_records(file, json.loads("".join(lines_of(file, found.encoding, how.fallback))))
        rows = [
            (i, item if isinstance(item, dict) else _not_an_object(json.dumps(item)))
            for i, item in enumerate(records, 1)
        ]
        return Table("JSON", None, len(rows), lambda _: iter(rows), found.details)
    opened = Reading(None, found.encoding, how.fallback)
    return Table("JSON Lines", None, found.lines, lambda _: _json_lines(file, opened), found.details)


def json_lines(file: File) -> Rows:
    """One JSON object a line, in UTF-8: the files that this project writes."""
    return _json_lines(file, Reading(None, "utf-8"))


def _json_lines(file: File, how: Reading) -> Rows:
    encoding = how.encoding or "utf-8"
    for number, line in enumerate(lines_of(file, encoding, how.fallback), 1):
        if line.strip():
            yield number, unreadable(line, encoding) or _parse(line)


def _parse(line: str) -> dict[str, Any] | BadRow:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow(f"not a JSON object: {error}", line)
    return record if isinstance(record, dict) else _not_an_object(line)


def _not_an_object(shown: str) -> BadRow:
    return BadRow(f"expected a JSON object, found {shown.strip()[:60]!r}", shown)


def _is_document(file: File, encoding: str) -> bool:
    """Whether the file is one JSON document rather than a line for each object.

    Its first line is then no object, and the file parses as a whole; files named `.jsonl` may hold a document too.
    """
    lines = (line for line in lines_of(file, encoding) if line.strip())
    first = next(lines, "").strip()
    if not first.startswith(("[", "{")):
        return False
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        # Broken, or the beginning of a longer document.
        return (
            _parses("".join(lines_of(file, encoding)))
            if first in ("[", "{") or first[0] == "["
            else (kind_of(file.name) != "JSON Lines" and _parses("".join(lines_of(file, encoding))))
        )
    if next(islice(lines, 1), None) is not None:
        return False
    if isinstance(value, list):
        return True
    return kind_of(file.name) == "JSON" and (_columns(value) is not None or _list_of_records(value) is not None)


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def document_records(file: File, document: Any) -> list[Any]:
    """The records of a JSON document.

    Raises:
        DataError: it has none.
    """
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        if (records := _columns(document)) is not None:
            return records
        if (records := _list_of_records(document)) is not None:
            return records
    found = f"an object with {', '.join(map(str, list(document)[:10]))}" if isinstance(document, dict) else "no object"
    raise DataError(f"{file}: expected JSON Lines, or an array of objects, found {found}.")


def _list_of_records(document: dict[str, Any]) -> list[Any] | None:
    """The list of objects that a document holds under one of the usual keys."""
    found = (document.get(key) for key in RECORDS)
    return next((value for value in found if isinstance(value, list) and any(isinstance(i, dict) for i in value)), None)


def _columns(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The records of what pandas writes by column: {column: {row: value}}, or {"columns", "data"}."""
    if isinstance(names := document.get("columns"), list) and isinstance(rows := document.get("data"), list):
        if all(isinstance(row, list) and len(row) == len(names) for row in rows):
            return [dict(zip(map(str, names), row, strict=True)) for row in rows]
        return None
    values = list(document.values())
    if not values or not all(isinstance(value, dict) and value.keys() == values[0].keys() for value in values):
        return None
    return [{name: column[row] for name, column in document.items()} for row in values[0]]
