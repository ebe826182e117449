"""Predictions with the names of classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.schema import Schema
from tagsmith.decision.rule import Decisions

Floats = NDArray[np.float32]

RUNNERS_UP = 3
"""Number of further classes that a prediction names."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for a document.

    Attributes:
        label: the predicted class (single-label); None: multi-label.
        labels: the predicted classes; exactly one if single-label.
        score: probability that the prediction is right: the score of the class; multi-label: for all classes together.
        runners_up: the most likely of the other classes with their scores, best first.
        to_person: whether a person should decide, because the prediction is too uncertain or the document is out of
            scope.
        set: the classes that are possible, best first; calibrated to include the right ones with the chosen coverage.
            None: not calibrated.
        out_of_scope: distance to the nearest training document, 0 to 2; None: not measured.
    """

    label: str | None
    labels: tuple[str, ...]
    score: float
    runners_up: tuple[tuple[str, float], ...]
    to_person: bool
    set: tuple[str, ...] | None
    out_of_scope: float | None


def predictions(schema: Schema, scores: Floats, decisions: Decisions) -> list[Prediction]:
    """A `Prediction` for each document, from scores [documents, classes] and decisions."""
    names, multi_label = schema.classes, schema.multi_label
    # Predicted classes first, then the others, each best first.
    order = np.argsort(-scores - 2 * decisions.predicted, axis=1, kind="stable")
    sorted_scores = np.take_along_axis(scores, order, axis=1).tolist()
    counts = decisions.predicted.sum(axis=1).tolist()
    shown = order[:, : max(counts, default=0) + RUNNERS_UP].tolist()
    sets = [None] * len(counts) if decisions.sets is None else _sets(schema, scores, decisions.sets)
    distances = [None] * len(counts) if decisions.distances is None else decisions.distances.tolist()
    found = []
    for i, (row, count) in enumerate(zip(shown, counts, strict=True)):
        labels = tuple(names[j] for j in row[:count])
        others = zip(row[count : count + RUNNERS_UP], sorted_scores[i][count:], strict=False)
        found.append(
            Prediction(
                label=None if multi_label else labels[0],
                labels=labels,
                score=float(decisions.confidence[i]),
                runners_up=tuple((names[j], score) for j, score in others),
                to_person=bool(decisions.to_person[i]),
                set=sets[i],
                out_of_scope=distances[i],
            )
        )
    return found


def _sets(schema: Schema, scores: Floats, sets: NDArray[np.bool_]) -> list[tuple[str, ...]]:
    """The names of the classes in each set, best first."""
    document, place = np.nonzero(np.take_along_axis(sets, order := np.argsort(-scores, axis=1), axis=1))
    names = [schema.classes[j] for j in order[document, place].tolist()]
    ends = np.cumsum(sets.sum(axis=1)).tolist()
    return [tuple(names[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
