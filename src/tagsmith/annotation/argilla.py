"""Argilla's records as JSON: what `Dataset.records.from_json` takes, and what `Dataset.records.to_json` gives."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tagsmith.annotation.answers import Answer, Kind
from tagsmith.annotation.queue import Question

QUESTION = "class"


def settings(classes: Sequence[str], multi_label: bool) -> dict[str, Any]:
    """The fields and the question of the data set, as the keywords of Argilla's own classes."""
    return {
        "fields": [{"type": "TextField", "name": "text"}],
        "questions": [
            {
                "type": "MultiLabelQuestion" if multi_label else "LabelQuestion",
                "name": QUESTION,
                "labels": list(classes),
                "required": not multi_label,
            }
        ],
        "metadata": [{"type": "TermsMetadataProperty", "name": "why"}],
    }


def records(questions: Sequence[Question], model: str, multi_label: bool) -> list[dict[str, Any]]:
    """A record a document, with the suggestion as a suggestion."""
    return [
        {
            "id": one.id,
            "status": "pending",
            "fields": {"text": one.text},
            "metadata": {"why": one.why},
            "suggestions": {}
            if not one.suggested
            else {
                QUESTION: {
                    "value": list(one.suggested) if multi_label else one.suggested[0],
                    "score": one.score if not multi_label else None,
                    "agent": model,
                }
            },
            "responses": {},
            "vectors": {},
        }
        for one in questions
    ]


def answers(exported: Any) -> Iterator[Answer | str]:
    """What an export holds: submitted responses are tags, discarded ones ignored, drafts nothing yet."""
    if not isinstance(exported, list):
        yield f"expected a list of records (records.to_json), found {type(exported).__name__}"
        return
    for number, record in enumerate(exported, 1):
        place = f"record {number}"
        if not isinstance(record, Mapping) or not isinstance((record.get("fields") or {}).get("text"), str):
            yield f"{place}: expected a record with fields.text, found {str(record)[:80]!r}"
            continue
        identity, text = record.get("id"), record["fields"]["text"]
        responses = record.get("responses") or {}
        for response in responses.get(QUESTION) or []:
            status = response.get("status", "submitted") if isinstance(response, Mapping) else None
            if status is None or status not in ("submitted", "discarded", "draft"):
                yield f"{place}: a response that cannot be read: {str(response)[:80]!r}"
            elif status != "draft":
                value = response.get("value")
                labels = tuple(map(str, value)) if isinstance(value, list) else () if value is None else (str(value),)
                kind = Kind.ignored if status == "discarded" else Kind.tag
                person = str(response.get("user_id", ""))
                yield Answer(None if identity is None else str(identity), text, kind, labels, person, place)
