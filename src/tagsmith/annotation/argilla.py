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


def answers(exported: Any, accept_unreviewed: bool) -> Iterator[Answer | str]:
    """What an export holds: submitted responses are tags, discarded ones ignored, drafts nothing yet.

    `records.to_json` leaves out the status of a response: of a record that is not completed it may be a draft or
    discarded, and counts as not looked at.
    """
    if not isinstance(exported, list):
        yield f"expected a list of records (records.to_json), found {type(exported).__name__}"
        return
    for number, record in enumerate(exported, 1):
        place = f"record {number}"
        if not isinstance(record, Mapping) or not isinstance((record.get("fields") or {}).get("text"), str):
            yield f"{place}: expected a record with fields.text, found {str(record)[:80]!r}"
            continue
        identity = None if record.get("id") is None else str(record["id"])
        for response in (record.get("responses") or {}).get(QUESTION) or []:
            kind = _kind(response, record.get("status") == "completed" or accept_unreviewed)
            if isinstance(kind, str):
                yield f"{place}: {kind}"
            elif kind is not None:
                value = response.get("value")
                labels = tuple(map(str, value)) if isinstance(value, list) else () if value is None else (str(value),)
                person = str(response.get("user_id", ""))
                yield Answer(identity, record["fields"]["text"], kind, labels, person, place)


def _kind(response: Any, completed: bool) -> Kind | str | None:
    """What a response is worth; None: a draft; a text: what is wrong with it."""
    if not isinstance(response, Mapping) or response.get("status", "draft") not in ("submitted", "discarded", "draft"):
        return f"a response that cannot be read: {str(response)[:80]!r}"
    if response.get("status") == "discarded" or ("status" not in response and response.get("value") is None):
        return Kind.ignored
    if response.get("status") == "draft":
        return None
    return Kind.tag if completed or "status" in response else Kind.unreviewed
