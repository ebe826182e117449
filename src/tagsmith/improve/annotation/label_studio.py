"""Label Studio's labelling configuration, its tasks, and its export as JSON."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from tagsmith.core.errors import SettingsError
from tagsmith.data.exports.answers import Answer
from tagsmith.data.exports.label_studio import is_task, task_answers
from tagsmith.improve.annotation.questions import Question

CLASS, TEXT = "class", "text"
"""The names of the two tags of the configuration."""


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


def annotated_tasks(documents: Iterable[tuple[str, str, Sequence[str] | None]]) -> list[dict[str, Any]]:
    """One task per document by its id, text and tags, which are its annotation; None: it has none yet."""
    return [
        {
            "data": {"id": name, TEXT: text},
            "annotations": [] if tags is None else [{"result": [_result(tags)] if tags else []}],
        }
        for name, text, tags in documents
    ]


def _predictions(question: Question, model: str) -> list[dict[str, Any]]:
    if question.suggested is None:
        return []
    return [{"model_version": model, "score": question.score, "result": [_result(question.suggested)]}]


def _result(classes: Sequence[str]) -> dict[str, Any]:
    return {"from_name": CLASS, "to_name": TEXT, "type": "choices", "value": {"choices": list(classes)}}


def answers(exported: Any) -> Iterator[Answer | str]:
    """The answers in an export (JSON, not JSON-MIN), one per annotation; a message for what cannot be read."""
    if not isinstance(exported, list):
        yield f"expected a list of tasks (Export, JSON), found {type(exported).__name__}"
        return
    for number, task in enumerate(exported, 1):
        place = f"task {number}"
        if not is_task(task):
            yield f"{place}: expected a task with data (Export as JSON, not JSON-MIN), found {str(task)[:80]!r}"
        elif not isinstance(task["data"].get(TEXT), str):
            yield f"{place}: expected a task that Tagsmith made, found no data.{TEXT}"
        else:
            yield from task_answers(task, task["data"][TEXT], place)
