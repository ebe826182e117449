"""Which tool or service exported the rows of a file, and its answers to each row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tagsmith.core.errors import DataError
from tagsmith.data.exports import argilla, clouds, doccano, label_studio, prodigy
from tagsmith.data.exports.answers import Answer, Kind, interpreted
from tagsmith.rows.fields import ABSENT, text_of

Record = Mapping[str, Any]
Answers = Iterable[Answer | str]


@dataclass(frozen=True)
class Export:
    """The shape of an export.

    Attributes:
        tool: its name, for the log.
        text_field: the names of the fields of the text, among `fields`.
        fields: the fields of a document, without those of the tool.
        answers: the answers in (record, text, annotator, place); a message for each one that cannot be read.
        identity: the tool's own id of a document, if it has one.
        one_each: each record is a document, even if another one has the same text.
        split: the split that a record names.
        together: several answers of one annotator to one text are one.
        has_header: whether the first line of a table names the columns.
    """

    tool: str
    text_field: Sequence[str]
    fields: Callable[[Record], Record]
    answers: Callable[[Record, str, str, str], Answers]
    identity: Callable[[Record], Any] = lambda record: record.get("id")
    split: Callable[[Record], Any] = lambda record: None
    together: Callable[[Sequence[Answer]], list[Answer]] = list
    one_each: bool = False
    has_header: bool = True

    def text(self, record: Record) -> Any:
        return text_of(self.fields(record), self.text_field)


@dataclass(frozen=True)
class Asked:
    """What the settings say about fields: the names of the texts, of the class, and between two classes.

    Attributes:
        file: for messages.
    """

    file: str
    texts: Sequence[str]
    label: str | None
    delimiter: str | None = None


def recognise(records: Sequence[Record], asked: Asked, columns: Sequence[str] | None = None) -> Export | None:
    """The export whose shape all of these records have; None where it is none that is known.

    Args:
        records: the first ones of a file.
        columns: the header of a table.

    Raises:
        DataError: a field has to be chosen; the message asks which one.
    """
    if not records:
        return None
    for has_shape, export in _SHAPES:
        if all(map(has_shape, records)):
            return export(records, asked)
    return _without_header(records, asked, columns) if columns is not None else None


def _label_studio(records: Sequence[Record], asked: Asked) -> Export:
    question = _chosen("choices", [name for task in records for name in label_studio.questions(task)], asked)

    def fields(task: Record) -> Record:
        return dict(task["data"])

    def answers(task: Record, text: str, annotator: str, place: str) -> Answers:
        return label_studio.task_answers(task, text, place, question)

    def identity(task: Record) -> Any:
        return task["data"].get("id", task.get("id"))

    return Export(
        "an export of Label Studio (JSON)", _texts(map(fields, records), asked, "data."), fields, answers, identity
    )


def _label_studio_min(records: Sequence[Record], asked: Asked) -> Export:
    def fields(row: Record) -> Record:
        return {name: value for name, value in row.items() if name not in label_studio.OWN_COLUMNS}

    texts = _texts(map(fields, records), asked)
    label = _chosen("columns", [name for row in records for name in fields(row) if name not in texts], asked)

    def answers(row: Record, text: str, annotator: str, place: str) -> Answers:
        return [label_studio.row_answer(row, text, label or "", place)]

    return Export("an export of Label Studio (one row per annotation)", texts, fields, answers)


def _argilla(records: Sequence[Record], asked: Asked) -> Export:
    question = _chosen("questions", [name for record in records for name in argilla.questions(record)], asked)

    def fields(record: Record) -> Record:
        nested = record.get("fields")
        if isinstance(nested, Mapping):
            return nested
        return {name: value for name, value in record.items() if name not in argilla.OWN_FIELDS and "." not in name}

    def answers(record: Record, text: str, annotator: str, place: str) -> Answers:
        return argilla.record_answers(record, text, question or "", place)

    return Export("an export of Argilla", _texts(map(fields, records), asked, "fields."), fields, answers)


def _argilla_first(records: Sequence[Record], asked: Asked) -> Export:
    def answers(record: Record, text: str, annotator: str, place: str) -> Answers:
        return filter(None, [argilla.first_generation_answer(record, text, place)])

    return Export("an export of Argilla", _texts(records, asked), dict, answers)


def _doccano(records: Sequence[Record], asked: Asked) -> Export:
    def answers(record: Record, text: str, annotator: str, place: str) -> Answers:
        answer = doccano.line_answer(record, annotator, place)
        if isinstance(answer, Answer) and "tagsmith_id" in record:  # A project of scripts/annotate.py.
            answer = interpreted(answer, (), multi_label=True)
        return [] if answer is None else [answer]

    return Export("an export of doccano", ["text" if "text" in records[0] else "data"], dict, answers)


def _prodigy(records: Sequence[Record], asked: Asked) -> Export:
    def answers(record: Record, text: str, annotator: str, place: str) -> Answers:
        return [prodigy.line_answer(record, text, place)]

    return Export(
        "an export of Prodigy", _texts(records, asked), dict, answers, lambda _: None, together=prodigy.together
    )


def _manifest(records: Sequence[Record], asked: Asked) -> Export:
    job = _chosen("labelling jobs", [name for record in records for name in clouds.jobs(record)], asked)

    def answers(record: Record, text: str, annotator: str, place: str) -> Answers:
        return [clouds.manifest_answer(record, text, job or "", place)]

    return Export("an augmented manifest of Amazon", ["source"], dict, answers, one_each=True)


def _vertex(records: Sequence[Record], asked: Asked) -> Export:
    def answers(record: Record, text: str, annotator: str, place: str) -> Answers:
        return [clouds.vertex_answer(record, text, place)]

    return Export("lines of Vertex AI", ["textContent"], dict, answers, split=clouds.vertex_split, one_each=True)


_SHAPES: tuple[tuple[Callable[[Record], bool], Callable[[Sequence[Record], Asked], Export]], ...] = (
    (lambda record: label_studio.is_task(record) and "annotations" in record, _label_studio),
    (lambda record: record.keys() >= label_studio.MIN_COLUMNS, _label_studio_min),
    (lambda record: bool(argilla.questions(record)) or {"fields", "responses"} <= record.keys(), _argilla),
    (argilla.is_first_generation, _argilla_first),
    (doccano.is_line, _doccano),
    (lambda record: record.get("answer") in prodigy.ANSWERS and "text" in record, _prodigy),
    (lambda record: bool(clouds.jobs(record)), _manifest),
    (clouds.is_vertex, _vertex),
)


def _without_header(records: Sequence[Record], asked: Asked, columns: Sequence[str]) -> Export | None:
    """A table of a class and a text (Amazon Comprehend), or a text and a class, whose first line is a row already."""
    if len(columns) != 2 or {*asked.texts, asked.label} & set(columns):
        return None
    seen = [{str(record.get(name)).strip() for record in records} for name in columns]
    repeated = [name in values for name, values in zip(columns, seen, strict=True)]
    if repeated not in ([True, False], [False, True]):
        return None
    label, text = columns if repeated[0] else reversed(columns)
    # Comprehend separates several classes by a bar.
    delimiter = asked.delimiter or ("|" if repeated[0] else None)

    def answers(record: Record, text: str, annotator: str, place: str) -> Answers:
        names = str(record[label]).split(delimiter) if delimiter else [str(record[label])]
        labels = tuple(dict.fromkeys(filter(None, (name.strip() for name in names))))
        return [Answer(None, text, Kind.tag, labels, place=place)]

    order = "the class first (Amazon Comprehend)" if repeated[0] else "the text first"
    return Export(f"a table without a header line, {order}", [text], dict, answers, one_each=True, has_header=False)


def _texts(records: Iterable[Record], asked: Asked, inside: str = "") -> list[str]:
    """The fields of the text: those of the settings, or else the only one that holds texts of several words.

    Args:
        inside: what a user may write before the name of a field, as in `data.text`.
    """
    some = list(records)
    texts = [name.removeprefix(inside) for name in asked.texts]
    if text_of(some[0], texts) is not ABSENT:
        return texts
    candidates = [
        name
        for name in some[0]
        if all(isinstance(record.get(name), str) for record in some) and any(" " in record[name] for record in some)
    ]
    if len(candidates) == 1:
        return candidates
    raise DataError(
        f"{asked.file}: expected the text in {', '.join(texts)}, found the fields {', '.join(some[0]) or 'none'}. "
        "Set data.text_field to the one of the text."
    )


def _chosen(what: str, found: Iterable[str], asked: Asked) -> str | None:
    """The one of several questions that the settings name, or the only one; None where there is none yet."""
    names = list(dict.fromkeys(found))
    if asked.label in names:
        return asked.label
    if len(names) > 1:
        raise DataError(
            f"{asked.file}: the export has the {what} {', '.join(names)}. Which one holds the class? Type "
            f"data.label_field={names[0]}."
        )
    return names[0] if names else None
