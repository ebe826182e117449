"""How sure figures are: intervals that hold the figure of all such documents in 95 of 100 cases."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tagsmith.decision.bootstrap import CONFIDENCE, OVERALL, addends, corrected_interval, figures

Indicators = NDArray[np.int8]

FIGURES = OVERALL[:3]
"""Those of what is predicted, and not of the scores."""


def overall(truth: Indicators, predicted: Indicators) -> dict[str, float]:
    """Accuracy, micro and macro F1 of predictions int8 [documents, classes]."""
    found = figures(addends(truth, predicted).sum(axis=0))
    return {name: float(found[i]) for i, name in enumerate(FIGURES)}


def overall_intervals(truth: Indicators, predicted: Indicators, resamples: int, seed: int) -> dict[str, list[float]]:
    """Intervals [low, high] of accuracy, micro and macro F1 by a bootstrap over documents.

    Where all documents are alike, all right for one, no resample shows an error, and Wilson's interval of the accuracy
    stands in.
    """
    low, high = corrected_interval(addends(truth, predicted), resamples, np.random.default_rng(seed))
    stand_in = proportion(int((truth == predicted).all(axis=1).sum()), len(truth))
    result = {}
    for i, name in enumerate(FIGURES):
        sure = low[i] < high[i]
        result[name] = [float(low[i]), float(high[i])] if sure or stand_in is None else stand_in
    return result


def class_intervals(tp: int, fp: int, fn: int) -> dict[str, list[float] | None]:
    """Intervals [low, high] of precision, recall and F1 of a class; None where the figure has no denominator.

    Wilson's, as a bootstrap of a class with a handful of documents, all right, would say that it is surely perfect. F1
    is a function of tp / (tp + fp + fn), a proportion, and has the interval of that one: the indirect method of Lam,
    Gopal and Qian, Confidence Intervals for the F1 Score, arXiv 2309.14621.
    """
    share = proportion(tp, tp + fp + fn)
    return {
        "precision": proportion(tp, tp + fp),
        "recall": proportion(tp, tp + fn),
        "f1": [2 * edge / (1 + edge) for edge in share] if share else None,
    }


def proportion(found: int, of: int) -> list[float] | None:
    """Wilson's interval [low, high] of a proportion; None of nothing."""
    if not of:
        return None
    interval = binomtest(found, of).proportion_ci(CONFIDENCE, method="wilson")
    return [float(interval.low), float(interval.high)]
