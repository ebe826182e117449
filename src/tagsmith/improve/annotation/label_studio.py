"""Label Studio's labelling configuration, its tasks, and its export as JSON.

In version 1.23, an annotation that a person submits has a `lead_time`. Annotations that were imported, or made by the
action "Create annotations from predictions", have none, although they carry a person's name, and imported ones are
`ground_truth` by default. So neither the name nor the star shows that somebody reviewed the document.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from tagsmith.core.errors import SettingsError
from tagsmith.improve.annotation.annotator_answers import Answer, Kind
from tagsmith.improve.annotation.questions import Question

CLASS, TEXT = "class", "text"
"""The names of the two tags of the configuration."""

MIN_REVIEW = 1.0
"""Seconds; an annotation that equals the suggestion and took less counts as unreviewed."""

BY_PERSON = {"submitted", "updated", "accepted", "fixed_and_accepted"}
"""Values of `last_action` that only a person causes; the free edition of 1.23 leaves it empty."""


def config(classes: Sequence[str], multi_label: bool) -> str:
    """The labelling configuration, with class names escaped for XML."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Text", name=TEXT, value=f"${TEXT}")
    choice = "multiple" if multi_label else "single"
    required = "false" if multi_label else "true"
    attributes = {"name": CLASS, "toName": TEXT, "choice": choice, "showInline": "true", "required": required}
    choices = ElementTree.SubElement(view, "Choices", attributes)
    for name in classes:
        ElementTree.SubElement(choices, "Choice", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def with_missing_classes(label_config: str, classes: Sequence[str], multi_label: bool) -> str | None:
    """The configuration of a project with the classes that it lacks added; None if it lacks none.

    Raises:
        SettingsError: it has no such choices, or choices for another task.
    """
    try:
        view = ElementTree.fromstring(label_config)
    except ElementTree.ParseError:
        view = ElementTree.Element("View")
    choices = next((node for node in view.iter("Choices") if node.get("name") == CLASS), None)
    if choices is None or (choices.get("choice") == "multiple") is not multi_label:
        kind = "any number of classes" if multi_label else "one class"
        raise SettingsError(
            f"project=: the labelling interface has no Choices named {CLASS!r} for {kind} per document; "
            "push to another project, or use the interface that scripts/annotate.py give tool=label_studio writes."
        )
    existing = {choice.get("value") for choice in choices.iter("Choice")}
    if not (missing := [name for name in classes if name not in existing]):
        return None
    for name in missing:
        ElementTree.SubElement(choices, "Choice", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def tasks(questions: Sequence[Question], model: str) -> list[dict[str, Any]]:
    """One task per document, with its suggestion as a prediction of `model`."""
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


def answers(exported: Any) -> Iterator[Answer | str]:
    """The answers in an export (JSON, not JSON-MIN), one per annotation; a message for what cannot be read.

    A cancelled annotation is a skipped document. An annotation without `lead_time` was imported or made from a
    prediction, and one that repeats a prediction in too short a time was not read: both count as unreviewed.
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
            yield f"{place}: expected a task that Tagsmith made, found no data.{TEXT}"
            continue
        for annotation in task.get("annotations") or []:
            yield _answer(annotation, task, None if identity is None else str(identity), text, place)


def _answer(annotation: Any, task: Mapping[str, Any], identity: str | None, text: str, place: str) -> Answer | str:
    try:
        by = annotation.get("completed_by")
        annotator = str(by.get("email") or by.get("id")) if isinstance(by, Mapping) else str(by)
        at = str(annotation.get("updated_at") or annotation.get("created_at") or "")
        labels = _choices(annotation.get("result") or [])
        if annotation.get("was_cancelled"):
            return Answer(identity, text, Kind.ignored, (), annotator, place, at)
        if not _was_reviewed(annotation, labels, task):
            return Answer(identity, text, Kind.unreviewed, labels, annotator, place, at)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"{place}: this annotation cannot be read: {error!r}"
    return Answer(identity, text, Kind.tag, labels, annotator, place, at)


def _choices(result: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found = [name for part in result if part.get("type") == "choices" for name in part["value"]["choices"]]
    return tuple(dict.fromkeys(found))


def _was_reviewed(annotation: Mapping[str, Any], labels: tuple[str, ...], task: Mapping[str, Any]) -> bool:
    if annotation.get("last_action") in BY_PERSON or annotation.get("bulk_created"):
        return True
    if not (seconds := float(annotation.get("lead_time") or 0.0)):
        return False
    return seconds >= MIN_REVIEW or set(labels) not in _predicted(annotation, task)


def _predicted(annotation: Mapping[str, Any], task: Mapping[str, Any]) -> list[set[str]]:
    """The suggestions: the API has them in the task, an export in the annotation, as its annotator saw them."""
    shown = [*(task.get("predictions") or []), annotation.get("prediction")]
    return [set(_choices(each["result"])) for each in shown if isinstance(each, Mapping) and each.get("result")]
