"""The answers in Label Studio's exports: JSON, with one record per task; JSON-MIN and CSV, with one per annotation.

In version 1.23, an annotation that a person submits has a `lead_time`. Annotations that were imported, or made by the
action "Create annotations from predictions", have none, although they carry a person's name, and imported ones are
`ground_truth` by default. So neither the name nor the star shows that somebody reviewed the document.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tagsmith.data.exports.answers import Answer, Kind
from tagsmith.data.labels import as_list

MIN_REVIEW = 1.0
"""Seconds; an annotation that equals the suggestion and took less counts as unreviewed."""

BY_PERSON = {"submitted", "updated", "accepted", "fixed_and_accepted"}
"""Values of `last_action` that only a person causes; the free edition of 1.23 leaves it empty."""


MIN_COLUMNS = {"annotation_id", "annotator", "lead_time"}
"""Columns that every JSON-MIN and CSV export has."""

OWN_COLUMNS = {*MIN_COLUMNS, "agreement", "comments", "created_at", "id", "updated_at"}
"""Columns that are neither fields of the document nor answers."""


def is_task(record: Any) -> bool:
    """Whether a record is a task of the JSON export."""
    return isinstance(record, Mapping) and isinstance(record.get("data"), Mapping)


def questions(task: Mapping[str, Any]) -> list[str]:
    """The names of the choices in the interface, as far as the annotations of this task show them."""
    parts = [part for annotation in task.get("annotations") or [] for part in annotation.get("result") or []]
    return list(dict.fromkeys(str(part.get("from_name")) for part in parts if part.get("type") == "choices"))


def task_answers(task: Mapping[str, Any], text: str, place: str, question: str | None = None) -> Iterator[Answer | str]:
    """The answers to a task, one per annotation; a message for what cannot be read.

    A cancelled annotation is a skipped document. An annotation without `lead_time` was imported or made from a
    prediction, and one that repeats a prediction in too short a time was not read: both count as unreviewed.

    Args:
        question: the name of the choices that count; None: all.
    """
    identity = task["data"].get("id")
    for annotation in task.get("annotations") or []:
        yield _answer(annotation, task, None if identity is None else str(identity), text, place, question)


def row_answer(row: Mapping[str, Any], text: str, label_field: str, place: str) -> Answer:
    """The answer in a row of JSON-MIN or CSV, which leave out skipped tasks and predictions."""
    value = row.get(label_field)
    items = as_list(value)
    labels = [] if value in (None, "") else [value] if items is None else items
    kind = Kind.unreviewed if row.get("lead_time") in (None, "", 0, "0", "0.0") else Kind.tag
    at = str(row.get("updated_at") or row.get("created_at") or "")
    names = tuple(dict.fromkeys(map(str, labels)))
    return Answer(None, text, kind, names, str(row.get("annotator") or ""), place, at)


def _answer(
    annotation: Any, task: Mapping[str, Any], identity: str | None, text: str, place: str, question: str | None
) -> Answer | str:
    try:
        by = annotation.get("completed_by")
        annotator = str(by.get("email") or by.get("id")) if isinstance(by, Mapping) else str(by or "")
        at = str(annotation.get("updated_at") or annotation.get("created_at") or "")
        labels = _choices(annotation.get("result") or [], question)
        if annotation.get("was_cancelled"):
            return Answer(identity, text, Kind.ignored, (), annotator, place, at)
        if not _was_reviewed(annotation, labels, task, question):
            return Answer(identity, text, Kind.unreviewed, labels, annotator, place, at)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"{place}: this annotation cannot be read: {error!r}"
    return Answer(identity, text, Kind.tag, labels, annotator, place, at)


def _choices(result: Sequence[Mapping[str, Any]], question: str | None) -> tuple[str, ...]:
    parts = [part for part in result if part.get("type") == "choices" and question in (None, part.get("from_name"))]
    return tuple(dict.fromkeys(name for part in parts for name in part["value"]["choices"]))


def _was_reviewed(
    annotation: Mapping[str, Any], labels: tuple[str, ...], task: Mapping[str, Any], question: str | None
) -> bool:
    if annotation.get("last_action") in BY_PERSON or annotation.get("bulk_created"):
        return True
    if "lead_time" not in annotation:  # An export that does not record how long people look, such as an old one.
        return not annotation.get("parent_prediction") and set(labels) not in _predicted(annotation, task, question)
    if not (seconds := float(annotation["lead_time"] or 0.0)):
        return False
    return seconds >= MIN_REVIEW or set(labels) not in _predicted(annotation, task, question)


def _predicted(annotation: Mapping[str, Any], task: Mapping[str, Any], question: str | None) -> list[set[str]]:
    """The suggestions: the API has them in the task, an export in the annotation, as its annotator saw them."""
    shown = [*(task.get("predictions") or []), annotation.get("prediction")]
    return [
        set(_choices(each["result"], question)) for each in shown if isinstance(each, Mapping) and each.get("result")
    ]
