"""The answers in doccano's JSON Lines: a file of all, or one of each annotator."""

from collections.abc import Mapping
from typing import Any

from tagsmith.data.exports.answers import Answer, Kind


def is_line(record: Mapping[str, Any]) -> bool:
    """Whether a record has a list of labels, and a field that only doccano (or `scripts/annotate.py`) writes."""
    marked = bool(record.keys() & {"Comments", "annotation_approver", "tagsmith_id"})
    return marked and isinstance(record.get("label", record.get("labels")), list | type(None))


def line_answer(record: Mapping[str, Any], annotator: str, place: str) -> Answer | str | None:
    """The answer in a line; None where it has no label, which is not an answer; a message where it cannot be read."""
    text, found = record.get("text", record.get("data")), record.get("label", record.get("labels"))
    if not isinstance(text, str) or not isinstance(found, list | type(None)):
        return f"{place}: expected text and a list in label, found {', '.join(record) or 'none'}"
    meta = record.get("meta") if isinstance(record.get("meta"), Mapping) else {}
    identity = record.get("tagsmith_id") or (meta or {}).get("tagsmith_id")
    if not found:
        return None
    labels = tuple(dict.fromkeys(map(str, found)))
    return Answer(None if identity is None else str(identity), text, Kind.tag, labels, annotator, place)
