"""The classes, their fixed order and the task: the only source of class ids."""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.files import read_json
from tagsmith.core.text import is_broken

if TYPE_CHECKING:  # Imported on use, because settings name the task and are read in a fraction of a second.
    import numpy as np
    from numpy.typing import NDArray


class Task(Enum):
    """How many classes a document has: exactly one (softmax), or any number (sigmoid)."""

    single_label = "single_label"
    multi_label = "multi_label"


@dataclass(frozen=True)
class Schema:
    """The classes in their order (class id = position) and the task."""

    classes: tuple[str, ...]
    task: Task

    def __post_init__(self) -> None:
        if unusable := [name for name in self.classes if not isinstance(name, str) or is_broken(name)]:
            raise DataError(f"Expected class names that are Unicode text, found {unusable}.")
        if repeated := sorted(name for name, count in Counter(self.classes).items() if count > 1):
            raise DataError(f"Expected each class once, found twice: {', '.join(repeated)}.")
        if unusable := [name for name in self.classes if not name or name != name.strip()]:
            raise DataError(f"A class name may not be empty or start or end with a space; found {unusable}.")

    @property
    def multi_label(self) -> bool:
        return self.task is Task.multi_label

    @property
    def label2id(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.classes)}

    @property
    def hash(self) -> str:
        """SHA-256 of the task and the classes in order, as hex; equal schemas have equal hashes."""
        return hashlib.sha256(json.dumps([self.task.value, self.classes]).encode()).hexdigest()

    def names(self, ids: Iterable[int]) -> list[str]:
        return [self.classes[i] for i in ids]

    def save(self, path: Path) -> None:
        content = {"task": self.task.value, "classes": self.classes, "hash": self.hash}
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Schema":
        """Read what `save` wrote.

        Raises:
            InputMissing: the file does not exist.
            DataError: it is not a schema, or its hash differs from that of its content.
        """
        if not path.is_file():
            raise InputMissing(f"{path}: no schema here; expected the schema.json of a run or a bundle.")
        schema, stated = read_json(path, cls._parse, "task, classes and hash", "restore it")
        if stated != schema.hash:
            raise DataError(f"{path}: the hash does not match the classes, so the file was edited; restore it.")
        return schema

    @classmethod
    def _parse(cls, content: Any) -> tuple["Schema", str]:
        return cls(tuple(content["classes"]), Task(content["task"])), content["hash"]


def indicators(labels: Sequence[Any], classes: int) -> "NDArray[np.int8]":
    """Class ids (one, or a list of them, per document) as int8 [documents, classes]: 1 where a document has a class."""
    import numpy as np

    ids = [label if isinstance(label, list | tuple | np.ndarray) else (label,) for label in labels]
    matrix = np.zeros((len(ids), classes), dtype=np.int8)
    rows = np.repeat(np.arange(len(ids)), [len(some) for some in ids])
    matrix[rows, np.fromiter(chain.from_iterable(ids), np.int64, len(rows))] = 1
    return matrix


def indicators_of_names(names: Sequence[Sequence[str]], classes: Sequence[str]) -> "NDArray[np.int8]":
    """As `indicators`, from the names of the classes of each document.

    Raises:
        KeyError: a name is not a class.
    """
    ids = {name: i for i, name in enumerate(classes)}
    return indicators([[ids[name] for name in some] for some in names], len(classes))


_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
    # Joiners are part of the spelling in Persian, Hindi and emoji; beside Latin letters they are leftovers.
    "|(?<![\u0590-\U0010ffff])[\u200c\u200d]|[\u200c\u200d](?![\u0590-\U0010ffff])"
)


def normal_name(name: str) -> str:
    """A class name as a person reads it: without invisible characters and surplus white space, in Unicode form NFC."""
    name = " ".join(name.split())
    return (
        name
        if name.isascii() and name.isprintable()
        else " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFC", name)).split())
    )


def natural_order(names: Iterable[str]) -> list[str]:
    """Distinct names in natural order: numbers by value ("2" before "10"), text by letter.

    The order depends on the set of names alone.
    """

    def key(name: str) -> tuple[list[tuple[int, int, str]], str]:
        parts = re.split(r"(\d+)", name.casefold())
        return [
            (0, int(part), "") if part.isdecimal() and len(part) < 4000 else (1, 0, part) for part in parts if part
        ], name

    return sorted(set(names), key=key)


def ordered_classes(declared: Sequence[str] | None, found: Iterable[str]) -> tuple[str, ...]:
    """Declared classes in their declared order, otherwise the found ones in natural order."""
    return tuple(declared) if declared is not None else tuple(natural_order(found))
