"""Calibration: logits scaled so that of the documents scored 0.8, 80 % are right; pure arithmetic.

Single-label: one temperature, Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599. Multi-label: a
scale and a shift per class, Platt, Probabilistic Outputs for Support Vector Machines, 1999. A temperature alone leaves
a score of 0.5 at 0.5, and the scores of a rare class are first of all too high or too low.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

POOLED_POSITIVES = 10.0
"""Positives of all classes together that are added to each class's own: a class with fewer follows the others.

Chosen on nlupp_hotels, see README.md.
"""

UNIFORM_WEIGHT, PRIOR_WEIGHT = 0.25, 8.0
"""What keeps the temperature of few documents moderate: a fraction of a document whose class is uniform, and a prior
that draws the temperature towards 1, as the weight of half the square of its logarithm.

Without either, scores become 1 if none of the documents is wrong; measured on banking77, see README.md.
"""

BINS = 15
"""Bins of equal width in the calibration error and the reliability diagram."""


def fit_scaling(logits: Floats, truth: NDArray[np.int8], multi_label: bool) -> tuple[Doubles, Doubles]:
    """Scale and shift of each class's logits, float64 [classes] each, that minimize the log loss.

    Args:
        logits: float32 [documents, classes], of documents that the model has not seen.
        truth: int8 [documents, classes].
    """
    if multi_label:
        return _scales_and_shifts(logits.astype(np.float64), truth)
    classes = logits.shape[1]
    return np.full(classes, 1 / temperature(logits, truth)), np.zeros(classes)


def temperature(logits: Floats, truth: NDArray[np.int8], multi_label: bool = False) -> float:
    """The temperature that minimizes the log loss, from 0.05 to 20; logits are divided by it. See `PRIOR_WEIGHT`.

    Args:
        logits: float32 [documents, classes].
        truth: int8 [documents, classes].
        multi_label: log loss of the sigmoid of every document and class; else of the softmax.
    """
    doubles = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = doubles * np.exp(-log_temperature)
        if multi_label:
            known = log_expit(np.where(truth == 1, scaled, -scaled)).sum()
            uniform = (log_expit(scaled) + log_expit(-scaled)).mean() / 2
        else:
            likely = log_softmax(scaled, axis=1)
            known, uniform = likely[truth == 1].sum(), likely.mean()
        return float(PRIOR_WEIGHT * log_temperature**2 / 2 - known - UNIFORM_WEIGHT * uniform)

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def _scales_and_shifts(logits: Doubles, truth: NDArray[np.int8]) -> tuple[Doubles, Doubles]:
    """One regression per class, on its own documents and a share of those of all classes, see `POOLED_POSITIVES`."""
    pool = _pooled(logits, truth)
    if not truth.any() or truth.all():
        return np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    pooled = min(1.0, POOLED_POSITIVES / float(truth.sum()))
    values = np.concatenate([pool.logits, pool.logits])
    outcomes = np.repeat([1, 0], len(pool.logits))
    weights = np.concatenate([pool.positives, pool.negatives]) * pooled
    scales, shifts = np.empty(logits.shape[1]), np.empty(logits.shape[1])
    for i in range(logits.shape[1]):
        regression = LogisticRegression(C=1e6, tol=1e-6).fit(
            np.concatenate([logits[:, i], values])[:, None],
            np.concatenate([truth[:, i], outcomes]),
            np.concatenate([np.ones(len(logits)), weights]),
        )
        # The few logits of a class may happen to fall with its documents; that must not invert its scores.
        scales[i], shifts[i] = max(float(regression.coef_[0, 0]), 0.05), float(regression.intercept_[0])
    return scales, shifts


@dataclass(frozen=True)
class _Pool:
    """All pairs of document and class in groups of similar logits, float64 [groups] each."""

    logits: Doubles
    positives: Doubles
    negatives: Doubles


def _pooled(logits: Doubles, truth: NDArray[np.int8], groups: int = 1000) -> _Pool:
    order = np.argsort(logits, axis=None, kind="stable")
    values, outcomes = logits.ravel()[order], truth.ravel()[order].astype(np.float64)
    starts = np.unique(np.linspace(0, len(values), min(groups, len(values)), endpoint=False).astype(int))
    counts = np.diff(starts, append=len(values))
    positives = np.add.reduceat(outcomes, starts)
    return _Pool(np.add.reduceat(values, starts) / counts, positives, counts - positives)


def certainty(scores: Floats, truth: NDArray[np.int8], multi_label: bool) -> tuple[Floats, NDArray[np.bool_]]:
    """The confidence of each statement and whether it holds, from scores and truth [documents, classes].

    Single-label, one statement per document: its best class is the right one.
    Multi-label, one statement per pair of document and class: the document has the class.
    """
    if multi_label:
        return scores.ravel(), truth.ravel() == 1
    return scores.max(axis=1), truth[np.arange(len(scores)), scores.argmax(axis=1)] == 1


def reliability(confidence: Floats, holds: NDArray[np.bool_], bins: int = BINS) -> list[dict[str, Any]]:
    """Statements in bins of equal width by their confidence; an empty bin has bounds and no figures.

    Args:
        confidence: float32 [statements], from 0 to 1.
        holds: bool [statements].

    Returns:
        low, high, documents (statements), confidence (the mean), accuracy (the share that holds).
    """
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = np.bincount(place, confidence, bins), np.bincount(place, holds, bins)
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[i + 1]),
            "documents": int(counts[i]),
            "confidence": float(sums[0][i] / counts[i]) if counts[i] else None,
            "accuracy": float(sums[1][i] / counts[i]) if counts[i] else None,
        }
        for i in range(bins)
    ]


def calibration_error(confidence: Floats, holds: NDArray[np.bool_]) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy of the bins, weighted by statements.

    Guo et al. 2017, after Naeini et al. 2015; 15 bins of equal width.
    """
    rows = [row for row in reliability(confidence, holds) if row["documents"]]
    total = sum(row["documents"] for row in rows)
    return float(sum(row["documents"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / total)
