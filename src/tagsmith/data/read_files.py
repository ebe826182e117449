"""Tagged documents from files of rows in any format: a text, and a label or a list of labels, per row."""

from collections import Counter
from itertools import chain, islice
from typing import Any

from tagsmith.config.settings import TableSettings
from tagsmith.core.errors import counted
from tagsmith.core.schema import Task
from tagsmith.data.columns import with_columns
from tagsmith.data.documents import Source, SourceRow
from tagsmith.rows.fields import ABSENT, value_of
from tagsmith.rows.files import File, files_of
from tagsmith.rows.open import open_table
from tagsmith.rows.table import BadRow, Reading

PEEKED = 200
"""Rows that show which columns a file has, where the file does not say."""


def read(settings: TableSettings) -> Source:
    """Read the files that the settings name; a list of labels, or a label delimiter, makes the task multi_label.

    Raises:
        InputMissing: a file does not exist.
        DataError: a file has no rows, or not the columns of the settings.
    """
    source = Source()
    tasks: Counter[Task] = Counter()
    for split in ("train", "validation", "test"):
        if (named := getattr(settings, split)) is None:
            continue
        files, notes = files_of(named, f"data.{split}")
        source.notes += notes
        for file in files:
            # The training file may have a column of splits.
            _read_file(file, None if split == "train" else split, settings, source, tasks)
    source.task = Task.multi_label if Task.multi_label in tasks else Task.single_label if tasks else None
    if settings.label_delimiter:
        source.task = Task.multi_label
    elif len(tasks) > 1:
        one, many = (
            f"{counted(tasks[task], 'row')} with {name}"
            for task, name in ((Task.single_label, settings.label_field), (Task.multi_label, settings.labels_field))
        )
        source.notes.append(f"Found {one} and {many}; the task is multi_label unless task= is set.")
    return source


def _read_file(file: File, split: str | None, settings: TableSettings, source: Source, tasks: Counter[Task]) -> None:
    table = open_table(file, Reading(settings.delimiter, settings.encoding, settings.fallback_encoding))
    rows = table.rows()
    first = list(islice(rows, PEEKED))
    settings = with_columns(file, table, [record for _, record in first if isinstance(record, dict)], settings, source)
    for number, record in chain(first, rows):
        if isinstance(record, BadRow):
            source.bad_row(str(file), number, record)
        elif isinstance(labels := _labels(record, settings), str):
            source.problem(str(file), number, labels, record)
        else:
            # The field that holds the labels declares the task: a property of the format, not of its values.
            one, many = _one_and_many(record, settings)
            if one is not None or many is not None:
                tasks[Task.single_label if many is None else Task.multi_label] += 1
            SourceRow(source, str(file), number, record).add(settings, labels, split, settings.split_field)
    source.notes += table.notes


def _one_and_many(record: dict[str, Any], settings: TableSettings) -> tuple[Any, Any]:
    """The values of the field with one class and of the field with a list; a field named as both holds lists."""
    one, many = (
        None if (value := value_of(record, name)) is ABSENT else value
        for name in (settings.label_field, settings.labels_field)
    )
    return None if settings.label_field == settings.labels_field else one, many


def _labels(record: dict[str, Any], settings: TableSettings) -> list[Any] | str:
    """The labels of a record, or what is wrong with them."""
    one, many = _one_and_many(record, settings)
    if one is not None and many is not None:
        return f"expected either {settings.label_field} or {settings.labels_field}, found both"
    if isinstance(one, list):
        name = settings.label_field
        return f"expected one class in {name}, found a list; data.labels_field={name} reads lists of classes"
    if isinstance(one, str) and settings.label_delimiter:
        # An empty field names no class; an empty part between two delimiters is a mistake.
        return one.split(settings.label_delimiter) if one.strip() else []
    if many is not None and not isinstance(many, list):
        return f"expected a list in {settings.labels_field}, found {many!r}"
    if value_of(record, settings.labels_field) is None and one is None:
        return f"expected a list in {settings.labels_field}, found null"
    if isinstance(one, str) and not one.strip():
        return []
    return many if many is not None else [] if one is None else [one]
