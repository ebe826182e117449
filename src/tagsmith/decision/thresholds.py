"""From which score on something is decided, chosen on documents that the model has not seen; pure arithmetic."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Floats = NDArray[np.float32]

BORROWED = 20.0
"""Positives of all classes together that join each class's own: with fewer own ones it follows the others.

Measured as `calibration.BORROWED`, chosen on a half: micro / macro F1 at 0.5 0.829 / 0.735, thresholds with 0, 5, 20,
50 borrowed 0.812 / 0.759, 0.822 / 0.761, 0.825 / 0.759, 0.827 / 0.755; chosen on 136 documents, at 0.5 0.826 / 0.736,
with 5, 20, 40 borrowed 0.815 / 0.758, 0.823 / 0.761, 0.826 / 0.761.
"""

GRID = np.linspace(0.005, 0.995, 199)
"""Thresholds that are tried."""


def class_thresholds(
    scores: Floats, truth: NDArray[np.int8], target_precision: float | None = None, target_recall: float | None = None
) -> tuple[NDArray[np.float64], list[int]]:
    """Score from which each class is predicted, float64 [classes]: of the best F1, or of a wanted precision or recall.

    Each class's counts are joined by those of `BORROWED` positives of all classes together, so that a class with few
    documents follows the others; noise in a rare class's own best threshold costs more than it gains (Lipton, Elkan and
    Naryanaswamy, arXiv 1402.1892). Of a wanted precision it is the lowest threshold that keeps it from there on up, of
    a wanted recall the highest that reaches it.

    Args:
        scores: float32 [documents, classes], calibrated, of documents that the model has not seen.
        truth: int8 [documents, classes].

    Returns:
        The thresholds, and the positions of classes that reach the target at none: precision: these get 1; recall:
        they get the lowest.
    """
    right, predicted = _counts(scores, truth)
    positives = truth.sum(axis=0, dtype=np.float64)[:, None]
    borrowed = BORROWED / max(float(positives.sum()), 1.0)
    right, predicted = right + borrowed * right.sum(axis=0), predicted + borrowed * predicted.sum(axis=0)
    positives = positives + borrowed * positives.sum()
    if target_precision is not None:
        # Where nothing is predicted, nothing is wrong.
        met = right >= target_precision * predicted - 1e-9
        kept = np.logical_and.accumulate(met[:, ::-1], axis=1)[:, ::-1] & (right > 0)
        place = kept.argmax(axis=1)
        return np.where(kept.any(axis=1), GRID[place], 1.0), [int(i) for i in np.flatnonzero(~kept.any(axis=1))]
    if target_recall is not None:
        met = right >= target_recall * positives - 1e-9
        place = len(GRID) - 1 - met[:, ::-1].argmax(axis=1)
        return np.where(met.any(axis=1), GRID[place], GRID[0]), [int(i) for i in np.flatnonzero(~met.any(axis=1))]
    f1 = 2 * right / np.maximum(predicted + positives, 1e-12)
    best = f1 >= f1.max(axis=1, keepdims=True) - 1e-9
    # The middle of those that are equally good: new documents fall into the gap from both sides.
    middle = (np.cumsum(best, axis=1) * 2 > best.sum(axis=1, keepdims=True)).argmax(axis=1)
    return GRID[middle], []


def _counts(scores: Floats, truth: NDArray[np.int8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right and all predictions of each class from each threshold of the grid up, float64 [classes, thresholds]."""
    grid = GRID.astype(np.float32)
    right, predicted = np.empty((scores.shape[1], len(grid))), np.empty((scores.shape[1], len(grid)))
    for i in range(scores.shape[1]):
        of_class, own = np.sort(scores[:, i]), np.sort(scores[truth[:, i] == 1, i])
        predicted[i] = len(of_class) - np.searchsorted(of_class, grid, side="left")
        right[i] = len(own) - np.searchsorted(own, grid, side="left")
    return right, predicted


def thresholds_of_costs(costs: Mapping[tuple[str, str], float], classes: Sequence[str]) -> NDArray[np.float64]:
    """Score from which predicting a class costs less than not predicting it, float64 [classes] (multi-label).

    Args:
        costs: (class, "") what missing it costs, ("", class) what inventing it costs; 1 where nothing is said.
    """
    missed = np.asarray([costs.get((name, ""), 1.0) for name in classes])
    invented = np.asarray([costs.get(("", name), 1.0) for name in classes])
    return np.asarray(invented / (missed + invented), dtype=np.float64)


def abstention(confidence: Floats, right: NDArray[np.bool_], target: float, doubt: float = 0.1) -> float | None:
    """Confidence below which a document goes to a person, so that of the others a share `target` is right.

    Among shares of 1 %, 2 %, ... of the documents, the most confident first, it is the largest that is safe: the lower
    bound of Clopper and Pearson (1934) of the share that is right is at least `target`. The shares are tested one after
    the other from 10, 30, 50, 70 and 90 % on until one fails, each row of tests at a fifth of `doubt` (fixed sequences
    from several starts: Angelopoulos et al., Learn then Test, arXiv 2110.01052), so that the threshold keeps its
    promise with a probability of 1 - `doubt`.

    Args:
        confidence: float32 [documents], of documents that the model has not seen.
        right: bool [documents], whether what is predicted is right.

    Returns:
        None: no share is safe. A threshold lies half-way between two documents.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered, hits = confidence[order].astype(np.float64), np.cumsum(right[order])
    sizes = np.unique(np.ceil(np.arange(1, 101) / 100 * len(order)).astype(int))
    # Documents of equal confidence stand on one side of a threshold.
    sizes = np.unique([np.searchsorted(-ordered, -ordered[size - 1], side="right") for size in sizes])
    starts = (0.1, 0.3, 0.5, 0.7, 0.9)
    safe = lower_bound(hits[sizes - 1], sizes, doubt / len(starts)) >= target
    largest = 0
    for start in starts:
        row = np.flatnonzero(sizes >= start * len(order))
        passed = row[: int(np.argmin(np.append(safe[row], False)))]
        largest = max(largest, int(sizes[passed[-1]]) if len(passed) else 0)
    if not largest:
        return None
    return 0.0 if largest == len(order) else float(ordered[largest - 1 : largest + 1].mean())


def lower_bound(right: NDArray[Any], of: NDArray[Any], doubt: float) -> NDArray[np.float64]:
    """Below which the share that is right lies with a probability of at most `doubt`: Clopper and Pearson, 1934."""
    wrong = of - right
    bound = beta.ppf(doubt, np.maximum(right, 1e-12), wrong + 1)
    return np.where(right > 0, bound, 0.0)


def coverage_curve(confidence: Floats, right: NDArray[np.bool_], points: int = 100) -> list[dict[str, float]]:
    """What share of documents is handled from each threshold up (coverage), and what share of these is right."""
    order = np.argsort(-confidence, kind="stable")
    ordered, hits = confidence[order], np.cumsum(right[order])
    sizes = np.unique(np.ceil(np.arange(1, points + 1) / points * len(order)).astype(int))
    sizes = np.unique([np.searchsorted(-ordered, -ordered[size - 1], side="right") for size in sizes])
    return [
        {
            "threshold": float(ordered[size - 1]),
            "coverage": float(size / len(order)),
            "precision": float(hits[size - 1] / size),
        }
        for size in sizes
    ]
