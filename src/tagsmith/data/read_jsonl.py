"""Tagged documents from JSONL files: one object a line, `text` with `label` or a list of `labels`."""

from typing import Any

from tagsmith.config.settings import JsonlSettings
from tagsmith.core.errors import counted
from tagsmith.core.rows import BadRow, json_lines
from tagsmith.core.schema import Task
from tagsmith.data.documents import Source, add_record, split_files


def read(settings: JsonlSettings) -> Source:
    """Read the files that the settings name; the use of the list field makes the task multi_label.

    Raises:
        InputMissing: a file is not there.
    """
    source = Source()
    rows: dict[Task, int] = {}
    for path, split in split_files(settings):
        for number, record in json_lines(path, settings.encoding, settings.fallback_encoding):
            if isinstance(record, BadRow):
                source.bad_row(str(path), number, record)
            elif isinstance(labels := _labels(record, settings), str):
                source.problem(str(path), number, labels, record)
            else:
                # Which field holds the labels declares the task: a fact about the format, not a guess from values.
                one, many = record.get(settings.label_field), record.get(settings.labels_field)
                if one is not None or many is not None:
                    task = Task.single_label if many is None else Task.multi_label
                    rows[task] = rows.get(task, 0) + 1
                add_record(record, labels, str(path), number, split, settings, source)
    source.task = Task.multi_label if Task.multi_label in rows else Task.single_label if rows else None
    if len(rows) > 1:
        one, many = (
            f"{counted(rows[task], 'row')} with {name}"
            for task, name in ((Task.single_label, settings.label_field), (Task.multi_label, settings.labels_field))
        )
        source.notes.append(f"{one}, {many}: taken as multi_label where task= does not say otherwise.")
    return source


def _labels(record: dict[str, Any], settings: JsonlSettings) -> list[Any] | str:
    """The labels of a record, or what is wrong with them."""
    one, many = record.get(settings.label_field), record.get(settings.labels_field)
    if one is not None and many is not None:
        return f"expected one of the fields {settings.label_field} and {settings.labels_field}, found both"
    if isinstance(one, list):
        return f"expected one class as {settings.label_field}, found a list; name the field with data.labels_field="
    if many is not None and not isinstance(many, list):
        return f"expected a list as {settings.labels_field}, found {many!r}"
    if settings.labels_field in record and many is None and one is None:
        return f"expected a list as {settings.labels_field}, found null"
    if isinstance(one, str) and not one.strip():
        return []
    return many if many is not None else [] if one is None else [one]
