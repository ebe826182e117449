"""Documents that arrive night by night, and what may be wrong with the file that they come in."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tagsmith import data
from tagsmith.config.settings import DataSettings
from tagsmith.core.schema import Schema, Task


@dataclass(frozen=True)
class Arrival:
    """A document as its owner's system exports it."""

    id: str
    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Arrivals:
    """All documents of a simulation.

    Attributes:
        documents: in the order in which they arrive.
        hidden: never part of any file; production is measured on them.
    """

    schema: Schema
    documents: list[Arrival]
    hidden: list[Arrival]


def read_arrivals(settings: DataSettings, task: Task | None, hidden: int, seed: int) -> Arrivals:
    """Read tagged documents, put them in a random order, and hide some of them.

    Args:
        hidden: how many documents are hidden.
    """
    tagged = data.load(settings, task, seed)
    schema = tagged.schema
    found = []
    for split in tagged.splits.values():
        for row in split:
            labels = row["labels"] if schema.multi_label else [row["labels"]]
            found.append(Arrival(row["id"], row["text"], tuple(schema.names(labels))))
    order = np.random.default_rng(seed).permutation(len(found))
    shuffled = [replace(found[i], id=f"d{place}") for place, i in enumerate(order)]
    return Arrivals(schema, shuffled[hidden:], shuffled[:hidden])


def write_file(path: Path, documents: Sequence[Arrival], multi_label: bool) -> None:
    """Write the export of the owner's system."""
    with path.open("w", encoding="utf-8") as file:
        for document in documents:
            labels = {"labels": list(document.labels)} if multi_label else {"label": document.labels[0]}
            file.write(json.dumps({"id": document.id, "text": document.text, **labels}, ensure_ascii=False) + "\n")


def with_turned_tags(documents: Sequence[Arrival], schema: Schema) -> list[Arrival]:
    """Each class takes the name of the next one."""
    turned = dict(zip(schema.classes, [*schema.classes[1:], schema.classes[0]], strict=True))
    return [replace(one, labels=tuple(turned[name] for name in one.labels)) for one in documents]


def as_copies(documents: Sequence[Arrival]) -> list[Arrival]:
    """The same texts under other ids, every second one with a full stop."""
    return [replace(one, id=f"{one.id}-copy", text=one.text + "." * (i % 2)) for i, one in enumerate(documents)]
