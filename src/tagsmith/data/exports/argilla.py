"""The answers in the records that Argilla's SDK writes, of versions 1 and 2.

In version 2.8, `records.to_list(flatten=True)` and `records.to_datasets()` write whether a response was submitted,
discarded or is a draft; `records.to_json` and `Dataset.to_disk` do not, and none of them writes responses without a
choice.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tagsmith.data.exports.answers import Answer, Kind

RESPONSES = ".responses"
OWN_FIELDS = {"id", "status", "_server_id", "inserted_at", "updated_at"}


def questions(record: Mapping[str, Any]) -> list[str]:
    """The names of the questions that the record has responses to."""
    if isinstance(record.get("fields"), Mapping):
        return list(record.get("responses") or {})
    flat = [name.removesuffix(RESPONSES) for name in record if name.endswith(RESPONSES)]
    return flat or [name for name, value in record.items() if _are_responses(value)]


def _are_responses(value: Any) -> bool:
    """Whether a field holds responses, as version 1 writes them into one field for each question."""
    return isinstance(value, list) and any(
        isinstance(one, Mapping) and {"value", "status"} <= one.keys() for one in value
    )


def is_first_generation(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of text classification of the first generation of Argilla, with one annotation."""
    return {"annotation", "annotation_agent", "status"} <= record.keys()


def first_generation_answer(record: Mapping[str, Any], text: str, place: str) -> Answer | None:
    """The annotation of a record, which is validated or discarded; None where it has none."""
    value = record.get("annotation")
    names = value if isinstance(value, list) else [] if value is None else [value]
    identity = None if record.get("id") is None else str(record["id"])
    if record.get("status") == "Discarded":
        return Answer(identity, text, Kind.ignored, place=place)
    if value is None:
        return None
    kind = Kind.tag if record.get("status") == "Validated" else Kind.unreviewed
    return Answer(identity, text, kind, tuple(map(str, names)), str(record.get("annotation_agent") or ""), place)


def record_answers(record: Mapping[str, Any], text: str, question: str, place: str) -> Iterator[Answer | str]:
    """The answers to a record: submitted responses are tags, discarded ones are ignored, drafts do not count.

    In an export without the status of responses, the only response to a completed record must have been submitted;
    others may be drafts or discarded, and count as unreviewed.
    """
    identity = record.get("id")
    responses = _responses(record, question)
    if isinstance(responses, str):
        yield f"{place}: {responses}"
        return
    alone = len(responses) == 1 and record.get("status") == "completed"
    for response in responses:
        kind = _kind(response, alone)
        if isinstance(kind, str):
            yield f"{place}: {kind}"
        elif kind is not None:
            value, user = response.get("value"), str(response.get("user_id") or "")
            names = value if isinstance(value, list) else [] if value is None or kind is Kind.ignored else [value]
            labels = tuple(dict.fromkeys(map(str, names))) if kind is not Kind.ignored else ()
            yield Answer(None if identity is None else str(identity), text, kind, labels, user, place)


def _responses(record: Mapping[str, Any], question: str) -> list[Any] | str:
    """The responses of a record, nested or flat, as {value, user_id, status}; a text says what is wrong with them."""
    if "fields" in record:
        return list((record.get("responses") or {}).get(question) or [])
    if _are_responses(record.get(question)):
        return list(record[question])
    name = f"{question}{RESPONSES}"
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
