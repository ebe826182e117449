"""Tagged documents from JSONL files: one object a line, `text` with `label` or a list of `labels`."""

import json
from pathlib import Path
from typing import Any

from tagsmith.data.documents import (
    Document,
    Source,
    as_text,
    label_list,
    locate,
    split_name,
    text_lines,
    unreadable,
)
from tagsmith.errors import DataError
from tagsmith.schema import Task
from tagsmith.settings import JsonlSettings


def read(settings: JsonlSettings) -> Source:
    """Read the files that the settings name; the use of the list field makes the task multi_label."""
    source = Source()
    for split in ("train", "validation", "test"):
        if name := getattr(settings, split):
            _read_file(locate(name, f"data.{split}"), None if split == "train" else split, settings, source)
    return source


def parse(line: str) -> tuple[dict[str, Any], None] | tuple[None, str]:
    """The object of one line, or what is wrong with the line."""
    try:
        record = json.loads(line)
    except ValueError as error:
        return None, f"not a JSON object: {error}"
    except RecursionError:
        return None, "not a JSON object: nested too deeply"
    if not isinstance(record, dict):
        return None, f"expected a JSON object, found {line.strip()[:60]!r}"
    return record, None


def _read_file(path: Path, split: str | None, settings: JsonlSettings, source: Source) -> None:
    file = str(path)
    try:
        for number, line in enumerate(text_lines(path, settings.encoding, settings.fallback_encoding), 1):
            if not line.strip():
                continue
            if unreadable(line):
                source.problem(file, number, f"not in {settings.encoding}; set data.encoding", line)
                continue
            record, wrong = parse(line)
            if record is None:
                source.problem(file, number, wrong or "", line)
            else:
                _add(record, file, number, split, settings, source)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not in {settings.encoding} ({error.reason}); set data.encoding.") from error


def _add(
    record: dict[str, Any], file: str, number: int, split: str | None, settings: JsonlSettings, source: Source
) -> None:
    one, many = record.get(settings.label_field), record.get(settings.labels_field)
    if one is not None and many is not None:
        both = f"{settings.label_field} and {settings.labels_field}"
        source.problem(file, number, f"expected one of the fields {both}, found both", record)
        return
    if many is not None and not isinstance(many, list):
        source.problem(file, number, f"expected a list as {settings.labels_field}, found {many!r}", record)
        return
    if isinstance(one, list):
        what = f"expected one class as {settings.label_field}, found a list; name the field with data.labels_field="
        source.problem(file, number, what, record)
        return
    if many is None and settings.labels_field in record and one is None:
        source.problem(file, number, f"expected a list as {settings.labels_field}, found null", record)
        return
    values = many if many is not None else [one] if one is not None else []
    labels = label_list(source, file, number, values, record)
    problems = len(source.problems)
    named = split_name(source, file, number, record.get(settings.split_field)) if settings.split_field else None
    if labels is None or len(source.problems) > problems:
        return
    if many is not None:
        # The use of the list field declares the task: a fact about the format, not a guess from the values.
        source.task = Task.multi_label
    elif source.task is None and one is not None:
        source.task = Task.single_label
    source.documents.append(
        Document(
            file,
            number,
            record.get(settings.text_field),
            labels,
            split or named,
            as_text(record.get(settings.id_field or "")),
            as_text(record.get(settings.language_field or "")),
            as_text(record.get(settings.group_field or "")),
        )
    )
