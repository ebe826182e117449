"""Argilla: a data set as `rg.Dataset.from_disk` reads it, and the records that its SDK writes.

In version 2.8, the server does not publish a data set without a required question, so that `none` is offered as a
choice. Importing a record with an existing id replaces its text and keeps the responses to the old text; therefore the
id of a record includes a digest of its text.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tagsmith.data.check import same_text
from tagsmith.data.exports.answers import NONE, Answer, interpreted
from tagsmith.data.exports.argilla import record_answers
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
    """The answers in an export, one per response; a message for what cannot be read."""
    if not isinstance(exported, list):
        yield f"expected a list of records (records.to_list(flatten=True)), found {type(exported).__name__}"
        return
    for number, record in enumerate(exported, 1):
        place = f"record {number}"
        fields = record.get("fields", record) if isinstance(record, Mapping) else None
        if not isinstance(fields, Mapping) or not isinstance(fields.get(FIELD), str):
            yield f"{place}: expected a record with {FIELD}, flat or in fields, found {str(record)[:80]!r}"
            continue
        for answer in record_answers(record, fields[FIELD], QUESTION, place):
            if isinstance(answer, Answer):
                identity = None if answer.id is None else answer.id.removesuffix(_digest(answer.text))
                yield interpreted(replace(answer, id=identity), classes, multi_label)
            else:
                yield answer
