"""How certain figures are: 95% confidence intervals."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tagsmith.decision.bootstrap import CONFIDENCE, OVERALL, contributions, corrected_interval, figures

Indicators = NDArray[np.int8]

FIGURES = OVERALL[:3]
"""The figures of predictions, which need no scores."""


def overall(truth: Indicators, predicted: Indicators) -> dict[str, float]:
    """Accuracy, micro F1 and macro F1 of predictions int8 [documents, classes]."""
    found = figures(contributions(truth, predicted).sum(axis=0))
    return {name: float(found[i]) for i, name in enumerate(FIGURES)}


def overall_intervals(truth: Indicators, predicted: Indicators, resamples: int, seed: int) -> dict[str, list[float]]:
    """Intervals [low, high] of accuracy, micro F1 and macro F1 from a bootstrap over documents.

    If all documents are right, no resample contains an error, and Wilson's interval of the accuracy is used instead.
    """
    low, high = corrected_interval(contributions(truth, predicted), resamples, np.random.default_rng(seed))
    wilson = proportion(int((truth == predicted).all(axis=1).sum()), len(truth))
    result = {}
    for i, name in enumerate(FIGURES):
        varies = low[i] < high[i]
        result[name] = [float(low[i]), float(high[i])] if varies or wilson is None else wilson
    return result


def class_intervals(tp: int, fp: int, fn: int) -> dict[str, list[float] | None]:
    """Intervals [low, high] of precision, recall and F1 of a class; None where the figure has no denominator.

    Wilson's interval, as a bootstrap of a class with a handful of documents, all right, would have no width. F1 is a
    function of the proportion tp / (tp + fp + fn) and gets the interval of that: the indirect method of Lam, Gopal and
    Qian, Confidence Intervals for the F1 Score, arXiv 2309.14621.
    """
    share = proportion(tp, tp + fp + fn)
    return {
        "precision": proportion(tp, tp + fp),
        "recall": proportion(tp, tp + fn),
        "f1": [2 * edge / (1 + edge) for edge in share] if share else None,
    }


def proportion(found: int, of: int) -> list[float] | None:
    """Wilson's interval [low, high] of a proportion; None if `of` is 0."""
    if not of:
        return None
    interval = binomtest(found, of).proportion_ci(CONFIDENCE, method="wilson")
    return [float(interval.low), float(interval.high)]
