"""The documents that all contenders are given: every training set and the test set as a JSONL file."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import BenchTrainRun
from tagsmith.core.schema import Schema, indicators, indicators_of_names


@dataclass(frozen=True)
class TrainingSet:
    """One training set: a file that all contenders learn from.

    Attributes:
        per_class: documents a class; None: all documents.
        repetition: 0 for the first draw, or for the first measurement on all documents.
        documents: number of them in the file.
    """

    path: Path
    per_class: int | None
    repetition: int
    documents: int


@dataclass(frozen=True)
class Prepared:
    """What is compared on.

    Attributes:
        training_sets: in the order in which they are measured.
        test: file of the test documents, the same for all training sets.
        notes: remarks for the person, one line each.
    """

    schema: Schema
    training_sets: list[TrainingSet]
    test: Path
    test_documents: int
    notes: list[str]


def prepare(settings: BenchTrainRun, folder: Path) -> Prepared:
    """Load and check the documents, draw from them, and write them into `folder`. Validation documents are left out.

    Raises:
        SettingsError: there is no test split.
        InputMissing, DataError: see `data.load`.
    """
    # Imported here: the process that starts the contenders knows this module, and is to stay a small one, because
    # a new process counts the peak of the one that started it as its own.
    from tagsmith import data
    from tagsmith.core.errors import SettingsError

    tagged = data.load(settings.data, settings.task, settings.seed)
    schema, splits = tagged.schema, tagged.splits
    if "test" not in splits:
        raise SettingsError("data.test_share=0: there is no test split to compare on; draw one, or name one.")
    train = [_record(row, schema) for row in splits["train"]]
    truth = indicators(splits["train"]["labels"], len(schema.classes))
    sets: list[TrainingSet] = []
    for per_class in sorted(settings.per_class or []):
        for i in range(settings.draws):
            chosen = draw(truth, per_class, settings.seed + i)
            path = folder / f"train_{per_class}_{i}.jsonl"
            _write(path, (train[position] for position in chosen))
            sets.append(TrainingSet(path, per_class, i, len(chosen)))
    if settings.full_data:
        _write(folder / "train.jsonl", train)
        sets += [TrainingSet(folder / "train.jsonl", None, i, len(train)) for i in range(settings.repetitions)]
    _write(folder / "test.jsonl", (_record(row, schema) for row in splits["test"]))
    return Prepared(schema, sets, folder / "test.jsonl", len(splits["test"]), tagged.notes)


def draw(truth: NDArray[np.int8], per_class: int, seed: int) -> NDArray[np.int64]:
    """Positions of `per_class` random documents of each class, rising; all of a class that has fewer.

    Multi-label: a document counts for each of its classes, those without a class are drawn as if that were one,
    and rare classes are drawn first; so a common class may have more documents than were asked for.

    Args:
        truth: int8 [documents, classes], 1 where a document has a class.
    """
    order = np.random.default_rng(seed).permutation(len(truth))
    has = np.column_stack([truth, ~truth.any(axis=1)])[order].astype(bool)
    drawn = np.zeros(len(truth), dtype=bool)
    for i in np.argsort(has.sum(axis=0), kind="stable"):
        missing = max(0, per_class - int(has[drawn, i].sum()))
        drawn[np.flatnonzero(has[:, i] & ~drawn)[:missing]] = True
    return np.sort(order[drawn])


def read(path: Path, schema: Schema) -> tuple[list[str], NDArray[np.int8]]:
    """The texts of a file that `prepare` wrote, and their classes, int8 [documents, classes]."""
    texts: list[str] = []
    tags: list[list[str]] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            texts.append(record["text"])
            tags.append(record["labels"] if schema.multi_label else [record["label"]])
    return texts, indicators_of_names(tags, schema.classes)


def _record(row: dict[str, Any], schema: Schema) -> dict[str, Any]:
    tags = {"labels": schema.names(row["labels"])} if schema.multi_label else {"label": schema.classes[row["labels"]]}
    return {"id": row["id"], "text": row["text"], **tags}


def _write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    def lines() -> Iterator[str]:
        for record in records:
            yield json.dumps(record) + "\n"

    with path.open("w", encoding="utf-8") as file:
        file.writelines(lines())
