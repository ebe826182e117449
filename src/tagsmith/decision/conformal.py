"""Sets of classes that contain the right one with a wanted probability: split conformal prediction.

Sadinle, Lei and Wasserman, Least Ambiguous Set-Valued Classifiers, arXiv 1609.00451: a class is in the set if its score
is no lower than most scores of right classes were. Such sets are the smallest of their coverage, and may be empty.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def set_thresholds(
    scores: Floats, truth: NDArray[np.int8], coverage: float, by_class: bool = False
) -> NDArray[np.float64]:
    """The score from which a class is in the set, float64 [classes]; 0: every class always is.

    The set of a new document contains all its classes with a probability of at least `coverage`, if new documents are
    like these. `by_class` (single-label) guarantees that for the documents of each class separately; classes with too
    few of them share the threshold of all, as in Ding et al., arXiv 2306.09335.

    Args:
        scores: float32 [documents, classes], of documents that the model has not seen.
        truth: int8 [documents, classes].
    """
    lowest = np.where(truth == 1, scores, np.inf).min(axis=1)  # A document without a class has nothing to miss.
    found = np.full(scores.shape[1], _threshold(lowest, coverage))
    if by_class:
        for i in range(scores.shape[1]):
            own = lowest[truth[:, i] == 1]
            if math.ceil((len(own) + 1) * coverage) <= len(own):
                found[i] = _threshold(own, coverage)
    return found


def _threshold(lowest: NDArray[Any], coverage: float) -> float:
    """Half-way between the score that enough documents reach and the next lower one."""
    needed = math.ceil((len(lowest) + 1) * coverage)
    if needed > len(lowest):
        return 0.0
    falling = np.sort(lowest)[::-1]
    last, after = falling[needed - 1], falling[needed] if needed < len(falling) else 0.0
    # Any set covers a document without a class.
    return float((last + after) / 2) if np.isfinite(last) else 1.0


def set_figures(sets: NDArray[np.bool_], truth: NDArray[np.int8], coverage: float) -> dict[str, Any]:
    """Figures of sets bool [documents, classes]: coverage_wanted, coverage_found, mean_set_size, set_sizes."""
    sizes, counts = np.unique(sets.sum(axis=1), return_counts=True)
    return {
        "coverage_wanted": coverage,
        "coverage_found": float((sets | (truth == 0)).all(axis=1).mean()),
        "mean_set_size": float(sets.sum(axis=1).mean()),
        "set_sizes": {str(size): int(count) for size, count in zip(sizes, counts, strict=True)},
    }
