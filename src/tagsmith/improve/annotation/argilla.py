"""Argilla: a data set as `rg.Dataset.from_disk` reads it, and the records that its SDK writes.

In version 2.8, `records.to_list(flatten=True)` and `records.to_datasets()` write whether a response was submitted,
discarded or is a draft; `records.to_json` and `Dataset.to_disk` do not, and none of them writes responses without a
choice. The server does not publish a data set without a required question, so that `none` is offered as a choice.
Importing a record with an existing id replaces its text and keeps the responses to the old text; therefore the id of a
record includes a digest of its text.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tagsmith.data.check import same_text
from tagsmith.improve.annotation.annotator_answers import NONE, Answer, Kind, answer_of
from tagsmith.improve.annotation.questions import Question

QUESTION, FIELD = "class", "text"


def dataset(name: str) -> dict[str, Any]:
    """The content of `.argilla/dataset.json`."""
    return {"name": name, "status": "draft", "guidelines": None, "allow_extra_metadata": False}


def settings(classes: Sequence[str], multi_label: bool) -> dict[str, Any]:
    """The content of `.argilla/settings.json`: the fields `text` and `why`, and the question."""
    options = [{"text": name, "value": name} for name in (*classes, *_none(classes, multi_label))]
    kind = "multi_label_selection" if multi_label else "label_selection"
    order = {"options_order": "natural"} if multi_label else {}
    question = {
        "name": QUESTION,
        "title": "Class",
        "required": True,
        "settings": {"type": kind, "options": options, "visible_options": None, **order},
    }
    fields = [
        {"name": name, "title": name, "required": name == FIELD, "settings": {"type": "text", "use_markdown": False}}
        for name in (FIELD, "why")
    ]
    return {
        "guidelines": None,
        "questions": [question],
        "fields": fields,
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _digest(text: str) -> str:
    return f" #{hashlib.sha256(same_text(text).encode()).hexdigest()[:8]}"


def _none(classes: Sequence[str], multi_label: bool) -> list[str]:
    return [NONE] if multi_label and NONE not in classes else []


def records(
    questions: Sequence[Question], model: str, classes: Sequence[str], multi_label: bool
) -> list[dict[str, Any]]:
    """One record per document, with its suggestion."""
    suggested = [
        None if one.suggested is None else list(one.suggested) or _none(classes, multi_label) for one in questions
    ]
    return [
        {
            "id": f"{one.id}{_digest(one.text)}",
            "status": "pending",
            "fields": {FIELD: one.text, **({"why": one.why} if one.why else {})},
            "metadata": {},
            "suggestions": {}
            if not names
            else {
                QUESTION: {
                    "value": names if multi_label else names[0],
                    "score": one.score if not multi_label else None,
                    "agent": model,
                }
            },
            "responses": {},
            "vectors": {},
        }
        for one, names in zip(questions, suggested, strict=True)
    ]


def answers(exported: Any, classes: Sequence[str], multi_label: bool) -> Iterator[Answer | str]:
    """The answers in an export: submitted responses are tags, discarded ones are ignored, drafts do not count.

    In an export without the status of responses, the only response to a completed record must have been submitted;
    others may be drafts or discarded, and count as unreviewed.
    """
    if not isinstance(exported, list):
        yield f"expected a list of records (records.to_list(flatten=True)), found {type(exported).__name__}"
        return
    for number, record in enumerate(exported, 1):
        place = f"record {number}"
        fields = record.get("fields", record) if isinstance(record, Mapping) else None
        if not isinstance(fields, Mapping) or not isinstance(fields.get(FIELD), str):
            yield f"{place}: expected a record with {FIELD}, flat or in fields, found {str(record)[:80]!r}"
            continue
        identity = None if record.get("id") is None else str(record["id"]).removesuffix(_digest(fields[FIELD]))
        responses = _responses(record)
        if isinstance(responses, str):
            yield f"{place}: {responses}"
            continue
        alone = len(responses) == 1 and record.get("status") == "completed"
        for response in responses:
            kind = _kind(response, alone)
            if isinstance(kind, str):
                yield f"{place}: {kind}"
            elif kind is not None:
                value, user = response.get("value"), str(response.get("user_id") or "")
                names = value if isinstance(value, list) else [] if value is None else [value]
                if kind is Kind.ignored:
                    names = []
                answer = answer_of(list(map(str, names)), classes, multi_label, identity, fields[FIELD], place, user)
                if isinstance(answer, Answer) and answer.kind is Kind.tag:
                    answer = replace(answer, kind=kind)
                yield answer


def _responses(record: Mapping[str, Any]) -> list[Any] | str:
    """The responses of a record, nested or flat, as {value, user_id, status}; a text says what is wrong with them."""
    if "fields" in record:
        return list((record.get("responses") or {}).get(QUESTION) or [])
    name = f"{QUESTION}.responses"
    columns = [record.get(f"{name}{part}") or [] for part in ("", ".users", ".status")]
    if any(not isinstance(column, list) or len(column) != len(columns[0]) for column in columns):
        return f"expected as many values in {name} as in {name}.users and {name}.status"
    return [{"value": value, "user_id": user, "status": status} for value, user, status in zip(*columns, strict=True)]


def _kind(response: Any, completed: bool) -> Kind | str | None:
    """How a response counts; None for a draft; a text says what is wrong with it.

    Args:
        completed: whether a response without a status must have been submitted.
    """
    if not isinstance(response, Mapping) or response.get("status", "draft") not in ("submitted", "discarded", "draft"):
        return f"this response cannot be read: {str(response)[:80]!r}"
    if response.get("status") == "discarded" or ("status" not in response and response.get("value") is None):
        return Kind.ignored
    if response.get("status") == "draft":
        return None
    return Kind.tag if completed or "status" in response else Kind.unreviewed
