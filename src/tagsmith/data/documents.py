"""What every reader returns: documents, each with its file and row, and the problems found on the way."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tagsmith.config.settings import ClassNames, HubSettings, TableSettings
from tagsmith.config.settings.fields import names
from tagsmith.core.errors import counted
from tagsmith.core.schema import Task
from tagsmith.data.class_names import NameReader, one_spelling
from tagsmith.data.labels import read_column
from tagsmith.rows.fields import ABSENT, text_of, value_of
from tagsmith.rows.table import BadRow

SPELLINGS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
SPLIT_NAMES = {spelling: split for split, spellings in SPELLINGS.items() for spelling in spellings}
"""From common spellings, in lower case, to the three splits."""


@dataclass(slots=True)
class Document:
    """One tagged document, found in `row` (from 1) of `file`; its split is drawn where `split` is None."""

    file: str
    row: int
    text: Any
    labels: list[str]
    split: str | None = None
    id: str | None = None
    language: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one row; `content` is the row itself, for the file of rejected rows."""

    file: str
    row: int
    what: str
    content: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.row}: {self.what}"

    def as_dict(self) -> dict[str, Any]:
        """The problem as JSON in UTF-8; bytes that could not be decoded are escaped."""
        shown = {name: str(value).encode("utf-8", "backslashreplace").decode() for name, value in asdict(self).items()}
        return {**shown, "row": self.row}


@dataclass
class Source:
    """What a reader found.

    Attributes:
        documents: in the order of the files.
        problems: rows that could not be read.
        task: the task that the format declares, if any.
        classes: the classes that the source declares, in order, if any.
        notes: remarks for the user, one line each.
        names: reads the class names, and counts those that it changes.
        cells: documents whose labels `read_labels` has still to read, each with its label cell.
        text_fields: the fields whose texts are those of the documents.
        fields: the fields of the first rows of files of rows, in their order.
    """

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    task: Task | None = None
    classes: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    names: NameReader = field(default_factory=NameReader, compare=False)
    cells: list[tuple[Document, Any]] = field(default_factory=list)
    text_fields: list[str] = field(default_factory=lambda: ["text"], compare=False)
    fields: dict[str, None] = field(default_factory=dict, compare=False)

    def problem(self, file: str, row: int, what: str, content: object = "") -> None:
        self.problems.append(Problem(file, row, what, str(content)[:1000]))

    def read_labels(self, classes: Sequence[str] | None, delimiter: str | None = None) -> None:
        """Read the label cells of all documents together; the cells declare the task.

        Args:
            classes: the classes for which the items of vectors of 0 and 1 stand, if they are declared.

        Raises:
            DataError: there are such vectors, and no class for each item.
        """
        column = read_column([cell for _, cell in self.cells], self.names, classes, delimiter)
        for (document, _), labels in zip(self.cells, column.labels, strict=True):
            document.labels = labels
        for position, what in column.problems.items():
            document, cell = self.cells[position]
            self.problem(document.file, document.row, what, f"{document.text!r} {cell!r}")
        bad = {id(self.cells[position][0]) for position in column.problems}
        self.documents = [document for document in self.documents if id(document) not in bad]
        self.cells = []
        if column.lists or delimiter:
            self.task = Task.multi_label
        elif column.names:
            self.task = Task.single_label
        self.notes += column.notes
        if column.lists and column.names:
            one, many = counted(column.names, "row"), counted(column.lists, "row")
            self.notes.append(
                f"Found {one} with one class and {many} with a list of classes; the task is multi_label unless task= "
                "is set."
            )
        elif column.lists and all(len(labels) == 1 for labels in column.labels):
            self.notes.append("Each list of classes holds one class; task=single_label trains on one class a document.")

    def bad_row(self, file: str, row: int, bad: BadRow) -> None:
        """Report a row of a table that cannot be read."""
        hint = "; set data.encoding or data.fallback_encoding" if bad.not_decoded else ""
        self.problem(file, row, bad.what + hint, bad.content)


@dataclass(slots=True)
class SourceRow:
    """One row of a source: reads its fields, and reports what is wrong with them.

    Attributes:
        source: collects the documents and problems.
        file, row: where the row is.
        content: the row itself, for the file of rejected rows.
        bad: whether a problem was reported.
    """

    source: Source
    file: str
    row: int
    content: Any
    bad: bool = False

    def problem(self, what: str) -> None:
        self.source.problem(self.file, self.row, what, self.content)
        self.bad = True

    def class_names(self, values: Iterable[Any]) -> list[str]:
        """The class names, each once; a value that is not a name is a problem."""
        if isinstance(names := self.source.names.names(values), str):
            self.problem(names)
            return []
        return names

    def split_name(self, value: Any) -> str | None:
        """The split that `value` names; None where it is empty. Any other value is a problem."""
        if value is None or not str(value).strip():
            return None
        name = SPLIT_NAMES.get(str(value).strip().lower())
        if name is None:
            self.problem(f"expected train, validation or test as the split, found {value!r}")
        return name

    def _split_in(self, field: str) -> str | None:
        value = value_of(self.content, field)
        return None if value is ABSENT else self.split_name(value)

    def optional(self, name: str | None, remedy: str = "") -> str | None:
        """A field (id, language or group) as stripped text; None where it is absent or empty."""
        value = value_of(self.content, name) if name else None
        value = None if value is ABSENT else value
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not (value is None or isinstance(value, str) or number):
            self.problem(f"expected text or a number as {name}, found {value!r:.100}{remedy}")
            return None
        return None if value is None else str(value).strip() or None

    def add(
        self, settings: TableSettings | HubSettings, cell: Any, split: str | None, split_field: str | None = None
    ) -> None:
        """Add the document of this row, which is a record of fields, unless it has a problem.

        Args:
            cell: its label cell, which `Source.read_labels` reads.
            split: the split of the file; None where `split_field`, or else a draw, decides.
        """
        named = self._split_in(split_field) if split_field else None
        optional = [
            self.optional(getattr(settings, field), f"; data.{field}=null ignores the field")
            for field in ("id_field", "language_field", "group_field")
        ]
        if self.bad:
            return
        fields = names(settings.text_field)
        if (text := text_of(self.content, fields)) is ABSENT:
            found = ", ".join(self.content) or "no fields"
            self.problem(f"missing field {', '.join(fields)}, found {found}; set data.text_field to the text's field")
            return
        self.source.text_fields = fields
        document = Document(self.file, self.row, text, [], split or named, *optional)
        self.source.documents.append(document)
        self.source.cells.append((document, cell))


def one_name_per_class(
    source: Source, declared: Sequence[str] | None, apart: bool, class_names: ClassNames | None
) -> list[str] | None:
    """Give the documents one name per class where names differ by case or accents alone; see `one_spelling`.

    Args:
        apart: whether the settings declare the classes, rather than the source.

    Returns:
        The declared classes that are left.

    Raises:
        DataError: there are such names and `class_names` is None; all of them are listed.
    """
    counts = Counter(name for document in source.documents for name in document.labels)
    known = list(declared or ())
    if spelling := one_spelling(counts, known, known if apart else (), class_names):
        for document in source.documents:
            document.labels = list(dict.fromkeys(spelling.get(name, name) for name in document.labels))
        shown = ", ".join(f"{old} ({counts[old]:,}) as {new}" for old, new in spelling.items())
        source.notes.append(f"data.class_names=merge: read labels that differ by case or accents alone: {shown}.")
    return None if declared is None else list(dict.fromkeys(spelling.get(name, name) for name in known))
