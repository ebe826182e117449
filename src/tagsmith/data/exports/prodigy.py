"""The answers in Prodigy's JSON Lines: choices among options, or one label at a time to accept or reject."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tagsmith.data.exports.answers import Answer, Kind

ANSWERS = {"accept", "reject", "ignore"}


def line_answer(record: Mapping[str, Any], text: str, place: str) -> Answer | str:
    """The answer in a line; a rejected or ignored example is a skipped one; a message where it cannot be read."""
    by = str(record.get("_annotator_id") or record.get("_session_id") or "")
    accepted = record.get("accept", [record["label"]] if "label" in record else None)
    if not isinstance(accepted, list):
        return f"{place}: expected the options in accept, or a label, found {', '.join(record) or 'none'}"
    kind = Kind.tag if record.get("answer") == "accept" else Kind.ignored
    labels = tuple(dict.fromkeys(map(str, accepted))) if kind is Kind.tag else ()
    return Answer(None, text, kind, labels, by, place, str(record.get("_timestamp") or ""))


def together(answers: Sequence[Answer]) -> list[Answer]:
    """One answer of each annotator to each text: labels that were accepted one at a time are one answer."""
    found: dict[tuple[str, str], Answer] = {}
    for answer in answers:
        before = found.setdefault((answer.text, answer.annotator), answer)
        if before is not answer and answer.kind is Kind.tag:
            labels = tuple(dict.fromkeys((*before.labels, *answer.labels)))
            found[answer.text, answer.annotator] = replace(before, kind=Kind.tag, labels=labels)
    return list(found.values())
