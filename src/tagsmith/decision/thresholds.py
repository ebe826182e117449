"""Score thresholds of classes and of abstention, chosen on documents that the model has not seen."""

from collections.abc import Mapping, Sequence
from math import ceil, log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from tagsmith.core.errors import counted

Floats = NDArray[np.float32]

POOLED_POSITIVES = 20.0
"""Positives of all classes together that are added to each class's own: a class with fewer follows the others.

Chosen on nlupp_hotels, see README.md.
"""

MOST_TIMES = 100
"""How many times as many documents are considered when it is estimated how many a promise takes."""

GRID = np.linspace(0.005, 0.995, 199)
"""Candidate thresholds."""


def class_thresholds(
    scores: Floats, truth: NDArray[np.int8], target_precision: float | None = None, target_recall: float | None = None
) -> tuple[NDArray[np.float64], list[int]]:
    """The score from which each class is predicted, float64 [classes]: for the best F1, or for a precision or recall.

    The counts of `POOLED_POSITIVES` positives of all classes are added to those of each class, so that a class with few
    documents follows the others; the noise of a rare class's own best threshold costs more than it gains (Lipton, Elkan
    and Naryanaswamy, arXiv 1402.1892). For a target precision it is the lowest threshold from which on every higher one
    keeps it, for a target recall the highest threshold that reaches it.

    Args:
        scores: float32 [documents, classes], calibrated, of documents that the model has not seen.
        truth: int8 [documents, classes].

    Returns:
        The thresholds, and the positions of classes that no threshold brings to the target: they get 1 for precision,
        the lowest threshold for recall.
    """
    right, predicted = _counts(scores, truth)
    positives = truth.sum(axis=0, dtype=np.float64)[:, None]
    pooled = POOLED_POSITIVES / max(float(positives.sum()), 1.0)
    right, predicted = right + pooled * right.sum(axis=0), predicted + pooled * predicted.sum(axis=0)
    positives = positives + pooled * positives.sum()
    if target_precision is not None:
        # Without a prediction, none is wrong.
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
    # The middle of equally good thresholds: new documents fall into the gap from both sides.
    middle = (np.cumsum(best, axis=1) * 2 > best.sum(axis=1, keepdims=True)).argmax(axis=1)
    return GRID[middle], []


def _counts(scores: Floats, truth: NDArray[np.int8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right and all predictions of each class at each threshold of the grid, float64 [classes, thresholds]."""
    grid = GRID.astype(np.float32)
    right, predicted = np.empty((scores.shape[1], len(grid))), np.empty((scores.shape[1], len(grid)))
    for i in range(scores.shape[1]):
        of_class, own = np.sort(scores[:, i]), np.sort(scores[truth[:, i] == 1, i])
        predicted[i] = len(of_class) - np.searchsorted(of_class, grid, side="left")
        right[i] = len(own) - np.searchsorted(own, grid, side="left")
    return right, predicted


def thresholds_of_costs(costs: Mapping[tuple[str, str], float], classes: Sequence[str]) -> NDArray[np.float64]:
    """The score from which predicting a class costs less than not predicting it, float64 [classes] (multi-label).

    Args:
        costs: (class, "") the cost of missing it, ("", class) of predicting it wrongly; 1 by default.
    """
    missed = np.asarray([costs.get((name, ""), 1.0) for name in classes])
    invented = np.asarray([costs.get(("", name), 1.0) for name in classes])
    return np.asarray(invented / (missed + invented), dtype=np.float64)


def abstention(confidence: Floats, right: NDArray[np.bool_], target: float, risk: float = 0.1) -> float | None:
    """The confidence below which a document goes to a person, so that a share `target` of the others is right.

    Among the 1 %, 2 %, ... most confident documents, it accepts the largest share that is safe: the lower bound of
    Clopper and Pearson (1934) on the share that is right is at least `target`. Starting from 10, 30, 50, 70 and 90 %,
    shares are tested in turn until one fails, each sequence at a fifth of `risk` (fixed sequences from several starts:
    Angelopoulos et al., Learn then Test, arXiv 2110.01052), so that the threshold reaches `target` with a probability
    of 1 - `risk`.

    Args:
        confidence: float32 [documents], of documents that the model has not seen.
        right: bool [documents], whether what is predicted is right.

    Returns:
        The threshold, half-way between two documents; None: no share is safe.
    """
    ordered, hits, sizes = _most_confident(confidence, right)
    largest = _safe(hits, sizes, len(right), target, risk)
    if not largest:
        return None
    return 0.0 if largest == len(right) else float(ordered[largest - 1 : largest + 1].mean())


def instead_of(
    confidence: Floats, right: NDArray[np.bool_], target: float, risk: float = 0.1
) -> tuple[float | None, int | None]:
    """What takes the place of a target for which `abstention` finds no threshold.

    Returns:
        The highest lower target, in whole percent and from 0.5, that these documents are enough for, and about how many
        documents like these are enough for `target`, rounded up to two digits. None: there is none, or more than
        `MOST_TIMES` as many.
    """
    _, hits, sizes = _most_confident(confidence, right)
    lower = (percent / 100 for percent in range(ceil(100 * target) - 1, 49, -1))
    possible = next((one for one in lower if _safe(hits, sizes, len(right), one, risk)), None)
    steps = 1.02 ** np.arange(1, log(MOST_TIMES, 1.02) + 1)
    times = next((step for step in steps if _safe(step * hits, step * sizes, step * len(right), target, risk)), None)
    return possible, None if times is None else rounded_up(ceil(times * len(right)))


def not_promised(missed: Mapping[str, Any]) -> str:
    """Which target could not be promised, and what takes its place.

    Args:
        missed: `not_promised` of a rule's `about`: the setting and the target asked of it, the held-out documents, the
            share of them that is right, and the results of `instead_of` as `possible` and `documents`.
    """
    name, target = missed["setting"], missed["target"]
    held_out = counted(missed["held_out"], "held-out document")
    parts = [f"{name}={missed['possible']:g} can be promised with them"] if missed["possible"] else []
    if missed["documents"]:
        parts.append(f"{target:g} takes about {missed['documents']:,} documents like these")
    instead = " and ".join(parts) or "no target from 0.5 on can, even with many more like these"
    return f"{name}={target:g} cannot be promised with {held_out}, of which {missed['right']:.0%} are right: {instead}."


def rounded_up(number: int) -> int:
    """An estimated number, rounded up to two digits."""
    step = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // step) * step


def _most_confident(
    confidence: Floats, right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Confidences in falling order [documents]; the 1 %, 2 %, ... most confident: how many are right, and how many."""
    order = np.argsort(-confidence, kind="stable")
    ordered, hits = confidence[order].astype(np.float64), np.cumsum(right[order])
    sizes = np.unique(np.ceil(np.arange(1, 101) / 100 * len(order)).astype(int))
    # Documents of equal confidence are on one side of a threshold.
    sizes = np.unique([np.searchsorted(-ordered, -ordered[size - 1], side="right") for size in sizes])
    return ordered, hits[sizes - 1], sizes


def _safe(hits: NDArray[Any], sizes: NDArray[Any], documents: float, target: float, risk: float) -> int:
    """The largest of the sizes that is safe, see `abstention`; 0: none is."""
    starts = (0.1, 0.3, 0.5, 0.7, 0.9)
    safe = lower_bound(hits, sizes, risk / len(starts)) >= target
    largest = 0
    for start in starts:
        row = np.flatnonzero(sizes >= start * documents)
        passed = row[: int(np.argmin(np.append(safe[row], False)))]
        largest = max(largest, int(sizes[passed[-1]]) if len(passed) else 0)
    return largest


def lower_bound(right: NDArray[Any], of: NDArray[Any], risk: float) -> NDArray[np.float64]:
    """Lower confidence bound, at level 1 - `risk`, on the share that is right: Clopper and Pearson, 1934."""
    wrong = of - right
    bound = beta.ppf(risk, np.maximum(right, 1e-12), wrong + 1)
    return np.where(right > 0, bound, 0.0)


def coverage_curve(confidence: Floats, right: NDArray[np.bool_], points: int = 100) -> list[dict[str, float]]:
    """The share of documents above each threshold (coverage), and the share of these that is right (precision)."""
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
