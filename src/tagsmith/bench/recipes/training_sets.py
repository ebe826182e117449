"""The documents that all contenders receive: every training set and the test set as a JSONL file."""

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
    """A training set: one file for all contenders.

    Attributes:
        per_class: documents per class; None for all documents.
        repetition: 0 for the first draw, or for the first measurement on all documents.
        documents: number of documents in the file.
        pool: file of the other training texts, without tags; None where there are none.
    """

    path: Path
    per_class: int | None
    repetition: int
    documents: int
    pool: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """The documents of the benchmark.

    Attributes:
        training_sets: in the order in which they are measured.
        test: file of the test documents, the same for all training sets.
        notes: remarks for the user, one line each.
    """

    schema: Schema
    training_sets: list[TrainingSet]
    test: Path
    test_documents: int
    notes: list[str]


def prepare(settings: BenchTrainRun, folder: Path) -> Prepared:
    """Load and check the documents, draw training sets, and write them into `folder`; leaves out validation documents.

    Raises:
        SettingsError: there is no test split.
        InputMissing, DataError: see `data.load`.
    """
    # Imported here: contenders import this module too, and would be charged for the memory of `datasets`.
    from tagsmith import data
    from tagsmith.core.errors import SettingsError

    tagged = data.load(settings.data, settings.task, settings.seed)
    schema, splits = tagged.schema, tagged.splits
    if "test" not in splits:
        raise SettingsError(
            "data.test_share=0: there is no test split to evaluate on; set data.test_share or a test file."
        )
    train = [_record(row, schema) for row in splits["train"]]
    truth = indicators(splits["train"]["labels"], len(schema.classes))
    sets: list[TrainingSet] = []
    for per_class in sorted(settings.per_class or []):
        for i in range(settings.draws):
            chosen = draw(truth, per_class, settings.seed + i)
            path = folder / f"train_{per_class}_{i}.jsonl"
            _write(path, (train[position] for position in chosen))
            pool = path.with_name(f"pool_{per_class}_{i}.jsonl")
            others = np.setdiff1d(np.arange(len(train)), chosen)
            _write(pool, ({"text": train[position]["text"]} for position in others))
            sets.append(TrainingSet(path, per_class, i, len(chosen), pool if len(others) else None))
    if settings.full_data:
        _write(folder / "train.jsonl", train)
        sets += [TrainingSet(folder / "train.jsonl", None, i, len(train)) for i in range(settings.repetitions)]
    _write(folder / "test.jsonl", (_record(row, schema) for row in splits["test"]))
    return Prepared(schema, sets, folder / "test.jsonl", len(splits["test"]), tagged.notes)


def draw(truth: NDArray[np.int8], per_class: int, seed: int) -> NDArray[np.int64]:
    """Positions of `per_class` random documents of each class, ascending; all documents of a class that has fewer.

    Multi-label: a document counts for each of its classes, documents without a class count as a class of their own, and
    rare classes are drawn first, so a common class may get more documents than `per_class`.

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
