"""What every reader gives: documents with the place they came from, and the problems met on the way."""

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tagsmith.config.settings import HubSettings, TableSettings
from tagsmith.core.errors import InputMissing
from tagsmith.core.files import in_package
from tagsmith.core.rows import BadRow
from tagsmith.core.schema import Task

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""How people spell the three splits (compared in lower case)."""


@dataclass(slots=True)
class Document:
    """One tagged document. `file` and `row` (1 = first line) say where it stands; `split` None: to be drawn."""

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
    """What is wrong with one row; `content` is what stood there, for the file of rejected rows."""

    file: str
    row: int
    what: str
    content: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.row}: {self.what}"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON in UTF-8: bytes that could not be read stand as escapes."""
        shown = {name: str(value).encode("utf-8", "backslashreplace").decode() for name, value in asdict(self).items()}
        return {**shown, "row": self.row}


@dataclass
class Source:
    """What a reader found.

    Attributes:
        documents: in the order of the files.
        problems: rows that could not be read.
        task: what the format declares; None where it declares none.
        classes: the classes that the source declares, in order; None where it declares none.
        notes: remarks for the person, one line each.
    """

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    task: Task | None = None
    classes: list[str] | None = None
    notes: list[str] = field(default_factory=list)

    def problem(self, file: str, row: int, what: str, content: object = "") -> None:
        self.problems.append(Problem(file, row, what, str(content)[:1000]))

    def bad_row(self, file: str, row: int, bad: BadRow) -> None:
        """A row of a table that cannot be read."""
        hint = "; set data.encoding or data.fallback_encoding" if bad.not_decoded else ""
        self.problem(file, row, bad.what + hint, bad.content)


def locate(path: str, what: str) -> Path:
    """The path that `path` names; `package:NAME/sub/folder` is looked up in an installed package, unimported.

    Raises:
        InputMissing: there is no such file, folder or package.
    """
    if path.startswith("package:"):
        place = path.removeprefix("package:")
        if (found := in_package(place)) is None:
            name = place.partition("/")[0]
            raise InputMissing(f"{what}: the package {name} is not installed; `make install` installs it.")
        located = found
    else:
        located = Path(path)
    try:
        located = located.expanduser()
        there = bool(path) and located.exists()
    except (OSError, RuntimeError):
        there = False
    if not there:
        raise InputMissing(f"{what}: {located} does not exist (looked for it from {Path.cwd()}).")
    return located


def label_list(source: Source, file: str, row: int, values: Iterable[Any], content: object) -> list[str] | None:
    """Class names as stripped text, each once; None (and a problem) where a value is no name."""
    names: list[str] = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            source.problem(file, row, f"expected a class name, found {value!r}", content)
            return None
        if (name := str(value).strip()) not in names:
            names.append(sys.intern(name))  # One text a class, not one a document.
    return names


def split_name(source: Source, file: str, row: int, value: Any) -> str | None:
    """The split that `value` names; None where it is empty; a problem where it names none."""
    if value is None or not str(value).strip():
        return None
    name = SPLIT_NAMES.get(str(value).strip().lower())
    if name is None:
        source.problem(file, row, f"expected train, validation or test as split, found {value!r}", value)
    return name


def split_files(settings: TableSettings) -> Iterator[tuple[Path, str | None]]:
    """The files that the settings name, each with its split; None for the training file, which may be divided."""
    for split in ("train", "validation", "test"):
        if (name := getattr(settings, split)) is not None:
            yield locate(name, f"data.{split}"), None if split == "train" else split


def add_record(
    record: dict[str, Any], labels: list[Any], file: str, row: int, split: str | None, settings: TableSettings,
    source: Source,
) -> None:  # fmt: skip
    """Add the document of a record with these labels, or the problem that keeps it out."""
    names = label_list(source, file, row, labels, record)
    problems = len(source.problems)
    named = split_name(source, file, row, record.get(settings.split_field)) if settings.split_field else None
    identity, language, group = optional_fields(record, file, row, settings, source)
    if names is None or len(source.problems) > problems:
        return
    if settings.text_field not in record:
        what = f"no field {settings.text_field}, found {', '.join(record) or 'none'}; data.text_field= names another"
        source.problem(file, row, what, record)
        return
    text = record[settings.text_field]
    source.documents.append(Document(file, row, text, names, split or named, identity, language, group))


def optional_fields(
    record: dict[str, Any], file: str, row: int, settings: TableSettings | HubSettings, source: Source
) -> tuple[str | None, str | None, str | None]:
    """Id, language and group of a record as text; None where one is absent or empty, or is a problem."""

    def text(setting: str, name: str | None) -> str | None:
        value = record.get(name) if name else None
        if (wrong := not_text(value)) is not None:
            what = f"expected text or a number as {name}, found {wrong}; data.{setting}=null leaves the field unread"
            source.problem(file, row, what, record)
        return as_text(value)

    return (
        text("id_field", settings.id_field),
        text("language_field", settings.language_field),
        text("group_field", settings.group_field),
    )


def not_text(value: Any) -> str | None:
    """What an optional field holds where it is neither absent nor text nor a number."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return None if value is None or isinstance(value, str) or number else repr(value)[:100]


def as_text(value: Any) -> str | None:
    """An optional field (id, language, group) as text; None where it is absent or empty."""
    return None if value is None or str(value).strip() == "" else str(value).strip()
