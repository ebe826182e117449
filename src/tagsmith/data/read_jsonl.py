"""Tagged documents from JSONL files: one object per line, `text` with `label` or a list of `labels`."""

from typing import Any

from tagsmith.config.settings import JsonlSettings
from tagsmith.core.errors import counted
from tagsmith.core.rows import BadRow, json_lines
from tagsmith.core.schema import Task
from tagsmith.data.documents import Source, SourceRow, split_files


def read(settings: JsonlSettings) -> Source:
    """Read the files that the settings name; any use of the list field makes the task multi_label.

    Raises:
        InputMissing: a file does not exist.
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
                # The field that holds the labels declares the task: a property of the format, not of its values.
                one, many = _one_and_many(record, settings)
                if one is not None or many is not None:
                    task = Task.single_label if many is None else Task.multi_label
                    rows[task] = rows.get(task, 0) + 1
                SourceRow(source, str(path), number, record).add(settings, labels, split, settings.split_field)
    source.task = Task.multi_label if Task.multi_label in rows else Task.single_label if rows else None
    if len(rows) > 1:
        one, many = (
            f"{counted(rows[task], 'row')} with {name}"
            for task, name in ((Task.single_label, settings.label_field), (Task.multi_label, settings.labels_field))
        )
        source.notes.append(f"Found {one} and {many}; the task is multi_label unless task= is set.")
    return source


def _one_and_many(record: dict[str, Any], settings: JsonlSettings) -> tuple[Any, Any]:
    """The values of the field with one class and of the field with a list; a field named as both holds lists."""
    same = settings.label_field == settings.labels_field
    return None if same else record.get(settings.label_field), record.get(settings.labels_field)


def _labels(record: dict[str, Any], settings: JsonlSettings) -> list[Any] | str:
    """The labels of a record, or what is wrong with them."""
    one, many = _one_and_many(record, settings)
    if one is not None and many is not None:
        return f"expected either {settings.label_field} or {settings.labels_field}, found both"
    if isinstance(one, list):
        name = settings.label_field
        return f"expected one class in {name}, found a list; data.labels_field={name} reads lists of classes"
    if many is not None and not isinstance(many, list):
        return f"expected a list in {settings.labels_field}, found {many!r}"
    if settings.labels_field in record and many is None and one is None:
        return f"expected a list in {settings.labels_field}, found null"
    if isinstance(one, str) and not one.strip():
        return []
    return many if many is not None else [] if one is None else [one]
