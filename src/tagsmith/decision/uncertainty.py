"""How uncertain scores are, for the choice of documents to tag."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def decision_uncertainty(scores: Floats, multi_label: bool) -> Floats:
    """How uncertain the decision on each class is, float32 [documents, classes].

    Single-label: 1 less the margin between the best two classes, shared between them in proportion to their scores.
    Multi-label: the entropy of each decision, in bits, which weighs a score of 0.1 more than its error probability.

    Args:
        scores: float32 [documents, classes].
    """
    if multi_label:
        likely = np.clip(scores, 1e-6, 1 - 1e-6)
        return np.asarray(-likely * np.log2(likely) - (1 - likely) * np.log2(1 - likely), dtype=np.float32)
    uncertain = np.zeros_like(scores)
    if scores.shape[1] > 1 and len(scores):
        best = np.argpartition(scores, -2, axis=1)[:, -2:]
        two = np.take_along_axis(scores, best, axis=1)
        unsure = 1 - np.abs(two[:, 1] - two[:, 0])
        np.put_along_axis(uncertain, best, unsure[:, None] * two / two.sum(axis=1, keepdims=True), axis=1)
    return uncertain


def uncertainty(scores: Floats, multi_label: bool) -> Floats:
    """How uncertain a model is about each document, float32 [documents].

    Single-label: 1 less the margin between the best two classes. Multi-label: the entropy of all decisions, in bits.
    """
    return np.asarray(decision_uncertainty(scores, multi_label).sum(axis=1), dtype=np.float32)
