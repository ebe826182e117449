"""Label Studio's labelling configuration, its tasks, and its export as JSON.

As version 1.23 does it: what a person submits has a `lead_time`. What the action "Create annotations from predictions"
makes has none, nor has what is imported, though both carry a person's name and an imported annotation is `ground_truth`
unless it says otherwise. So neither name nor star is a sign that somebody has looked.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from tagsmith.core.errors import SettingsError
from tagsmith.improve.annotation.answers import Answer, Kind
from tagsmith.improve.annotation.queue import Question

CLASS, TEXT = "class", "text"
"""Names of the two tags of the configuration."""

LOOKED_AT = 1.0
"""Seconds below which nobody has read the document who says what was suggested."""

BY_PERSON = {"submitted", "updated", "accepted", "fixed_and_accepted"}
"""Last actions of an annotation that only a person takes; 1.23 leaves them empty in its free edition."""


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


def widened(label_config: str, classes: Sequence[str], multi_label: bool) -> str | None:
    """The configuration of a project with the classes that it lacks; None: it lacks none.

    Raises:
        SettingsError: it has no such choices, or lets a person choose one where several are wanted, or the other way.
    """
    try:
        view = ElementTree.fromstring(label_config)
    except ElementTree.ParseError:
        view = ElementTree.Element("View")
    choices = next((node for node in view.iter("Choices") if node.get("name") == CLASS), None)
    if choices is None or (choices.get("choice") == "multiple") is not multi_label:
        kind = "any number of classes" if multi_label else "one class"
        raise SettingsError(
            f"project=: its labelling interface has no Choices named {CLASS!r} for {kind} a document; "
            "push to another project, or take the interface that scripts/annotate.py give tool=label_studio writes."
        )
    there = {choice.get("value") for choice in choices.iter("Choice")}
    if not (missing := [name for name in classes if name not in there]):
        return None
    for name in missing:
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


def answers(exported: Any) -> Iterator[Answer | str]:
    """What an export (JSON, not JSON-MIN) holds, an answer an annotation; what cannot be read, as a message.

    A cancelled annotation is a skipped document. One that took no time, being made of a prediction or imported, or that
    repeats a prediction without the time to read the document, is no person's.
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
            yield _answer(annotation, task, None if identity is None else str(identity), text, place)


def _answer(annotation: Any, task: Mapping[str, Any], identity: str | None, text: str, place: str) -> Answer | str:
    try:
        by = annotation.get("completed_by")
        annotator = str(by.get("email") or by.get("id")) if isinstance(by, Mapping) else str(by)
        at = str(annotation.get("updated_at") or annotation.get("created_at") or "")
        labels = _choices(annotation.get("result") or [])
        if annotation.get("was_cancelled"):
            return Answer(identity, text, Kind.ignored, (), annotator, place, at)
        if not _was_looked_at(annotation, labels, task):
            return Answer(identity, text, Kind.unreviewed, labels, annotator, place, at)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"{place}: an annotation that cannot be read: {error!r}"
    return Answer(identity, text, Kind.tag, labels, annotator, place, at)


def _choices(result: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found = [name for part in result if part.get("type") == "choices" for name in part["value"]["choices"]]
    return tuple(dict.fromkeys(found))


def _was_looked_at(annotation: Mapping[str, Any], labels: tuple[str, ...], task: Mapping[str, Any]) -> bool:
    if annotation.get("last_action") in BY_PERSON or annotation.get("bulk_created"):
        return True
    if not (seconds := float(annotation.get("lead_time") or 0.0)):
        return False
    return seconds >= LOOKED_AT or set(labels) not in _predicted(annotation, task)


def _predicted(annotation: Mapping[str, Any], task: Mapping[str, Any]) -> list[set[str]]:
    """What was suggested: the API has it in the task, a file in the annotation, as its person saw it."""
    shown = [*(task.get("predictions") or []), annotation.get("prediction")]
    return [set(_choices(each["result"])) for each in shown if isinstance(each, Mapping) and each.get("result")]
