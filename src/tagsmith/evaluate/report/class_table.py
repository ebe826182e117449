"""The page's table of classes: figures with their intervals, and what stands out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tagsmith.evaluate.class_limits import largest_class
from tagsmith.evaluate.report.confusion import Counts
from tagsmith.evaluate.report.wording import meaning

FIGURES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Figure:
    """A share with its 95% interval; None: it has no interval."""

    value: float
    bounds: Sequence[float] | None


@dataclass(frozen=True)
class ClassRow:
    """A row of the table."""

    name: str
    train: int | None
    support: int
    figures: list[Figure]
    threshold: float | None
    meaning: list[str]


def class_rows(evaluation: Mapping[str, Any], analysis: Mapping[str, Any], errors: Counts) -> list[ClassRow]:
    """One row per class, in the order of the schema. `errors`: from `missed_and_invented`."""
    names = list(evaluation["classes"])
    intervals = analysis.get("intervals", {}).get("classes", {})
    counts = analysis.get("data", {}).get("classes", {})
    train = {name: counts[name].get("train", 0) for name in names if name in counts}
    largest = largest_class(train) if train else None
    thresholds = evaluation.get("thresholds") or {}
    inner = errors[:-1, :-1]
    rows = []
    for i, (name, row) in enumerate(evaluation["classes"].items()):
        bounds = intervals.get(name, {})
        rows.append(
            ClassRow(
                name=name,
                train=train.get(name),
                support=row["support"],
                figures=[Figure(row[figure], bounds.get(figure)) for figure in FIGURES],
                threshold=thresholds.get(name, evaluation.get("threshold")),
                meaning=meaning(
                    row,
                    train.get(name),
                    (largest, train[largest]) if largest is not None else None,
                    bounds.get("f1"),
                    _most(inner[i], names),
                    _most(inner[:, i], names),
                ),
            )
        )
    return rows


def _most(counts: Counts, names: Sequence[str]) -> tuple[str, int] | None:
    best = int(np.argmax(counts))
    return (names[best], int(counts[best])) if counts[best] else None
