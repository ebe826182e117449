"""The figures of two classifiers on one set of documents, from sums over the documents."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Indicators = NDArray[np.int8]
Flags = NDArray[np.bool_]

OVERALL = ("accuracy", "micro_f1", "macro_f1", "log_loss", "coverage", "precision")
"""The figures of all documents; coverage and precision are those of what a run handles by itself."""

OF_A_CLASS = ("precision", "recall", "f1")

LEAST_SCORE = 5e-7
"""Scores are written with six digits: what stands there as 0 may have been as much."""


@dataclass(frozen=True)
class Decided:
    """What a run made of the documents.

    Attributes:
        predicted: int8 [documents, classes].
        loss: float64 [documents], in nats.
        handled: bool [documents], what it does not send to a person; None: it says nothing of it.
    """

    predicted: Indicators
    loss: Floats
    handled: Flags | None = None


def losses(scores: NDArray[np.floating[Any]], truth: Indicators, multi_label: bool) -> Floats:
    """Log loss of each document, float64 [documents], in nats, of scores [documents, classes].

    Multi-label: the mean over classes. Scores of single-label data need not sum to 1: what a run gave to a class that
    the other does not know is lost. Scores below `LEAST_SCORE` count as that: they are rounded, and a true class with
    a 0 would cost without bound.
    """
    shares = scores.astype(np.float64)
    if multi_label:
        likely = np.where(truth == 1, shares, 1 - shares)
    else:
        likely = shares[np.arange(len(shares)), truth.argmax(axis=1), None]
    found: Floats = -np.log(np.clip(likely, LEAST_SCORE, 1)).mean(axis=1)
    return found


@dataclass(frozen=True)
class Sums:
    """What figures are made of: sums over documents, [...] and, by class, [..., classes].

    Attributes:
        truth, predicted, both: documents of a class, predicted as it, and both.
        documents, right, loss: how many, those with exactly their classes, their losses.
        handled, handled_right: those that do not go to a person, and the right ones among them.
    """

    truth: Floats
    predicted: Floats
    both: Floats
    documents: Floats
    right: Floats
    loss: Floats
    handled: Floats
    handled_right: Floats

    def overall(self) -> Floats:
        """The figures of `OVERALL`, float64 [..., 6]; NaN where a figure has no denominator.

        As `metrics.figures` has them: macro over the classes that occur in the truth or in the predictions.
        """
        either = self.truth + self.predicted
        occurring = either > 0
        f1 = np.divide(2 * self.both, either, out=np.zeros_like(either), where=occurring)
        micro = _share(2 * self.both.sum(axis=-1), either.sum(axis=-1), 0.0)
        macro = f1.sum(axis=-1) / np.maximum(1, occurring.sum(axis=-1))
        shares = [self.right / self.documents, micro, macro, self.loss / self.documents]
        shares += [self.handled / self.documents, _share(self.handled_right, self.handled)]
        return np.stack(shares, axis=-1)

    def of_classes(self) -> Floats:
        """The figures of `OF_A_CLASS`, float64 [..., classes, 3]; NaN where a figure has no denominator."""
        shares = [_share(self.both, self.predicted), _share(self.both, self.truth)]
        return np.stack([*shares, _share(2 * self.both, self.truth + self.predicted)], axis=-1)


def _share(found: Floats, of: Floats, otherwise: float = np.nan) -> Floats:
    return np.divide(found, of, out=np.full_like(found, otherwise), where=of > 0)


@dataclass(frozen=True)
class Addends:
    """What each document adds to the sums of two runs, and how sums are read again.

    Attributes:
        matrix: float64 [documents, 5 * classes + 9], sparse: most documents are of few classes.
    """

    matrix: sparse.csr_array
    classes: int

    @classmethod
    def of(cls, truth: Indicators, first: Decided, second: Decided) -> "Addends":
        """Args: truth: int8 [documents, classes]."""
        by_class = [truth, first.predicted, second.predicted, truth & first.predicted, truth & second.predicted]
        columns: list[NDArray[Any]] = [np.ones(len(truth))]
        for one in (first, second):
            right = (one.predicted == truth).all(axis=1)
            handled = np.zeros(len(truth), dtype=np.bool_) if one.handled is None else one.handled
            columns += [right, one.loss, handled, handled * right]
        parts = [sparse.csr_array(part.astype(np.float64)) for part in (*by_class, np.stack(columns, axis=1))]
        return cls(sparse.hstack(parts, format="csr"), truth.shape[1])

    def totals(self) -> Floats:
        """Sums over all documents, float64 [columns]."""
        found: Floats = self.matrix.sum(axis=0)
        return found

    def weighted(self, weights: Floats) -> Floats:
        """Sums, float64 [draws, columns], of documents that count so many times in each draw, [documents, draws]."""
        found: Floats = (self.matrix.T @ weights).T
        return found

    def exchanged(self) -> sparse.csr_array:
        """What a document would add to the first run's sums, if the runs had answered it the other way round.

        float64 [documents, columns]; nothing where they answer alike. The second run's sums lose as much.
        """
        first, second = self.columns(self.matrix)
        change = sparse.hstack([b - a for a, b in zip(first, second, strict=True)], format="csr")
        change.eliminate_zeros()
        return sparse.csr_array(change)

    def columns(self, matrix: Any) -> tuple[list[Any], list[Any]]:
        """The columns that the two runs have each, by class and of all: [predicted, both, the other four]."""
        c = self.classes
        blocks = [matrix[..., i * c : (i + 1) * c] for i in range(5)]
        rest = matrix[..., 5 * c + 1 :]
        return [blocks[1], blocks[3], rest[..., :4]], [blocks[2], blocks[4], rest[..., 4:]]

    def sums(self, totals: Floats) -> tuple[Sums, Sums]:
        """The sums of both runs out of totals, [..., columns]."""
        truth, documents = totals[..., : self.classes], totals[..., 5 * self.classes]
        return tuple(  # type: ignore[return-value]
            Sums(truth, predicted, both, documents, *np.moveaxis(rest, -1, 0))
            for predicted, both, rest in self.columns(totals)
        )
