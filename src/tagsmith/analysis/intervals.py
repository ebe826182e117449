"""How sure figures are: intervals that hold the figure of all such documents in 95 of 100 cases."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, binomtest, bootstrap

Floats = NDArray[np.floating[Any]]
Indicators = NDArray[np.int8]

CONFIDENCE = 0.95

FIGURES = ("accuracy", "micro_f1", "macro_f1")

MOST_FOR_BCA = 10_000
"""Documents up to which the bootstrap is corrected for bias and skew; beyond, the correction is of no weight."""

AT_ONCE = 5_000_000
"""Numbers of a batch of resamples."""


@dataclass(frozen=True)
class Tally:
    """What each kind of document adds to the counts; those of a kind have the same classes, true and predicted.

    Attributes:
        kind: int64 [documents].
        right: float64 [kinds], 1 where exactly the true classes are predicted.
        tp, fp, fn: float64 [kinds, classes].
    """

    kind: NDArray[np.int64]
    right: Floats
    tp: Floats
    fp: Floats
    fn: Floats

    def figures(self, counts: Floats) -> Floats:
        """Accuracy, micro and macro F1, float [3, ...], of so many documents of each kind, [..., kinds].

        As `metrics.figures` has them: macro over the classes that occur in the truth or in the predictions.
        """
        tp, errors = counts @ self.tp, counts @ (self.fp + self.fn)
        occurring = (tp + errors) > 0
        f1 = np.divide(2 * tp, 2 * tp + errors, out=np.zeros_like(tp), where=occurring)
        whole = 2 * tp.sum(axis=-1) + errors.sum(axis=-1)
        micro = np.divide(2 * tp.sum(axis=-1), whole, out=np.zeros_like(whole), where=whole > 0)
        macro = f1.sum(axis=-1) / np.maximum(1, occurring.sum(axis=-1))
        return np.stack([(counts @ self.right) / counts.sum(axis=-1), micro, macro])

    def counts(self, documents: NDArray[np.int64]) -> Floats:
        """How many documents of each kind, float64 [..., kinds], are at these positions, [..., n]."""
        kinds = len(self.right)
        rows = self.kind[documents].reshape(-1, documents.shape[-1])
        flat = (rows + np.arange(len(rows))[:, None] * kinds).ravel()
        counted = np.bincount(flat, minlength=len(rows) * kinds)
        return counted.reshape(*documents.shape[:-1], kinds).astype(np.float64)


def tallies(truth: Indicators, *predictions: Indicators) -> list[Tally]:
    """A tally for each of several predictions [documents, classes] of the same documents, of the same kinds."""
    packed = np.packbits(np.hstack([truth, *predictions]), axis=1)
    _, first, kind = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    known = truth[first].astype(np.float64)
    found = []
    for predicted in predictions:
        said = predicted[first].astype(np.float64)
        right = (known == said).all(axis=1).astype(np.float64)
        found.append(Tally(kind.ravel(), right, known * said, (1 - known) * said, known * (1 - said)))
    return found


def overall(truth: Indicators, predicted: Indicators) -> dict[str, float]:
    """Accuracy, micro and macro F1 of predictions int8 [documents, classes]."""
    (tally,) = tallies(truth, predicted)
    found = tally.figures(tally.counts(np.arange(len(truth))))
    return {name: float(value) for name, value in zip(FIGURES, found, strict=True)}


def overall_intervals(truth: Indicators, predicted: Indicators, resamples: int, seed: int) -> dict[str, list[float]]:
    """Intervals [low, high] of accuracy, micro and macro F1 by a bootstrap over documents.

    Bias-corrected and accelerated (Efron, Better Bootstrap Confidence Intervals, 1987) up to `MOST_FOR_BCA` documents,
    by percentiles beyond. Where all documents are alike, all right for one, no resample shows an error, and Wilson's
    interval of the accuracy stands in.
    """
    (tally,) = tallies(truth, predicted)
    low, high = _bootstrap(len(truth), lambda documents: tally.figures(tally.counts(documents)), resamples, seed)
    stand_in = proportion(int(tally.right[tally.kind].sum()), len(truth))
    result = {}
    for i, name in enumerate(FIGURES):
        sure = np.isfinite([low[i], high[i]]).all() and low[i] < high[i]
        result[name] = [float(low[i]), float(high[i])] if sure or stand_in is None else stand_in
    return result


def difference_intervals(
    truth: Indicators, predicted: Indicators, other: Indicators, resamples: int, seed: int
) -> dict[str, list[float]]:
    """Intervals [low, high] of the figures of `predicted` less those of `other`: both on the same resamples."""
    ours, theirs = tallies(truth, predicted, other)

    def differences(documents: NDArray[np.int64]) -> Floats:
        counts = ours.counts(documents)
        return ours.figures(counts) - theirs.figures(counts)

    low, high = _bootstrap(len(truth), differences, resamples, seed, method="percentile")
    known = np.isfinite([low, high]).all()  # Of a single document nothing is.
    return {name: [float(low[i]), float(high[i])] if known else [-1.0, 1.0] for i, name in enumerate(FIGURES)}


def _bootstrap(documents: int, figures: Any, resamples: int, seed: int, method: str | None = None) -> tuple[Any, Any]:
    def statistic(drawn: NDArray[np.int64], axis: int = -1) -> Floats:
        found: Floats = figures(drawn)
        return found

    if documents < 2:
        return np.full(len(FIGURES), np.nan), np.full(len(FIGURES), np.nan)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):  # Where no resample differs.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            (np.arange(documents),),
            statistic,
            n_resamples=resamples,
            batch=max(1, AT_ONCE // documents),
            vectorized=True,
            axis=-1,
            confidence_level=CONFIDENCE,
            method=method or ("BCa" if documents <= MOST_FOR_BCA else "percentile"),
            rng=np.random.default_rng(seed),
        )
    return found.confidence_interval.low, found.confidence_interval.high


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
