"""Label Studio's labelling configuration, its tasks, and its export as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from tagsmith.annotation.answers import Answer, Kind
from tagsmith.annotation.queue import Question

CLASS, TEXT = "class", "text"
"""Names of the two tags of the configuration."""

LOOKED_AT = 1.0
"""Seconds below which nobody has read the document: what Label Studio makes of predictions has no such time."""


def config(classes: Sequence[str], multi_label: bool) -> str:
    """The labelling configuration; XML escapes what class names hold."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Text", name=TEXT, value=f"${TEXT}")
    choice = "multiple" if multi_label else "single"
    choices = ElementTree.SubElement(
        view, "Choices", name=CLASS, toName=TEXT, choice=choice, showInline="true",
        required="false" if multi_label else "true",
    )  # fmt: skip
    for name in classes:
        ElementTree.SubElement(choices, "Choice", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def tasks(questions: Sequence[Question], model: str) -> list[dict[str, Any]]:
    """A task a document, with the suggestion as a prediction of `model`."""
    return [
        {"data": {"id": one.id, TEXT: one.text, "why": one.why}, "predictions": _predictions(one, model)}
        for one in questions
    ]


def _predictions(question: Question, model: str) -> list[dict[str, Any]]:
    if question.suggested is None:
        return []
    choices = {"choices": list(question.suggested)}
    result = {"from_name": CLASS, "to_name": TEXT, "type": "choices", "value": choices}
    return [{"model_version": model, "score": question.score, "result": [result]}]


def answers(exported: Any, accept_unreviewed: bool) -> Iterator[Answer | str]:
    """What an export (JSON, not JSON-MIN) holds, an answer an annotation; what cannot be read, as a message.

    A cancelled annotation is a skipped document. One that was made of a prediction and never opened, or says the same
    without the time to read it, is no person's.
    """
    if not isinstance(exported, list):
        yield f"expected a list of tasks (Export, JSON), found {type(exported).__name__}"
        return
    for number, task in enumerate(exported, 1):
        place = f"task {number}"
        if not isinstance(task, Mapping) or not isinstance(task.get("data"), Mapping):
            yield f"{place}: expected a task with data (Export as JSON, not JSON-MIN), found {str(task)[:80]!r}"
            continue
        identity, text = task["data"].get("id"), task["data"].get(TEXT)
        if not isinstance(text, str):
            yield f"{place}: no data.{TEXT}; expected a task that Tagsmith has made"
            continue
        for annotation in task.get("annotations") or []:
            yield _answer(annotation, task, None if identity is None else str(identity), text, place, accept_unreviewed)


def _answer(
    annotation: Any, task: Mapping[str, Any], identity: str | None, text: str, place: str, accept: bool
) -> Answer | str:
    try:
        by = annotation.get("completed_by")
        annotator = str(by.get("email") or by.get("id")) if isinstance(by, Mapping) else str(by)
        labels = _choices(annotation.get("result") or [])
        if annotation.get("was_cancelled"):
            return Answer(identity, text, Kind.ignored, (), annotator, place)
        if not accept and _is_prediction(annotation, task):
            return Answer(identity, text, Kind.unreviewed, labels, annotator, place)
    except (AttributeError, KeyError, TypeError) as error:
        return f"{place}: an annotation that cannot be read: {error!r}"
    return Answer(identity, text, Kind.tag, labels, annotator, place)


def _choices(result: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found = [name for part in result if part.get("type") == "choices" for name in part["value"]["choices"]]
    return tuple(dict.fromkeys(found))


def _is_prediction(annotation: Mapping[str, Any], task: Mapping[str, Any]) -> bool:
    """Whether an annotation says what a prediction said, in no time."""
    seconds = annotation.get("lead_time")
    if seconds is not None and float(seconds) >= LOOKED_AT:
        return False
    said = _choices(annotation.get("result") or [])
    predicted = [
        _choices(each.get("result") or []) for each in task.get("predictions") or [] if isinstance(each, Mapping)
    ]
    own = annotation.get("prediction")
    if isinstance(own, Mapping) and own.get("result"):
        predicted.append(_choices(own["result"]))
    return annotation.get("parent_prediction") is not None or said in predicted
