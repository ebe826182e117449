"""Figures of classifiers from sums over documents, and their uncertainty: a bootstrap over the documents.

Documents are resampled, and all classifiers are compared on the same resamples (Efron and Tibshirani, An Introduction
to the Bootstrap, 1993).
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Indicators = NDArray[np.int8]

OVERALL = ("accuracy", "micro_f1", "macro_f1", "log_loss", "coverage", "precision")
"""The figures over all documents; coverage and precision concern documents that do not go to a person."""

OF_A_CLASS = ("precision", "recall", "f1")

CONFIDENCE = 0.95

EDGES = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)

AT_ONCE = 5_000_000
"""Numbers in a batch of resamples: 40 MB."""


def contributions(
    truth: Indicators, predicted: Indicators, loss: Floats | None = None, handled: NDArray[np.bool_] | None = None
) -> sparse.csr_array:
    """The terms that each document adds to the sums behind the figures, float64 [documents, 3 * classes + 5].

    Per class: truth, predicted, both; overall: 1, whether exactly the right classes are predicted, the loss, whether
    the model handles it alone, and whether it does and is right. Sparse, as most documents have few classes.

    Args:
        truth, predicted: int8 [documents, classes].
        loss: float64 [documents].
        handled: bool [documents].
    """
    right = (predicted == truth).all(axis=1)
    alone = np.zeros(len(truth), dtype=np.bool_) if handled is None else handled
    columns = [np.ones(len(truth)), right, np.zeros(len(truth)) if loss is None else loss, alone, alone & right]
    parts: list[NDArray[Any]] = [truth, predicted, truth & predicted, np.stack(columns, axis=1)]
    return sparse.hstack([sparse.csr_array(part.astype(np.float64)) for part in parts], format="csr")


def figures(sums: Floats) -> Floats:
    """The figures of `OVERALL`, then those of `OF_A_CLASS` for each class, float64 [..., 6 + 3 * classes].

    Defined as in `metrics.figures`: macro over the classes that occur in the truth or in the predictions. NaN where a
    figure has no denominator.

    Args:
        sums: [..., 3 * classes + 5], of `contributions`.
    """
    outer = sums.shape[:-1]
    truth, predicted, both = np.moveaxis(sums[..., :-5].reshape(*outer, 3, -1), -2, 0)
    documents, right, loss, handled, handled_right = np.moveaxis(sums[..., -5:], -1, 0)
    either = truth + predicted
    f1 = _share(2 * both, either)
    micro = _share(2 * both.sum(axis=-1), either.sum(axis=-1), 0.0)
    macro = np.nansum(f1, axis=-1) / np.maximum(1, (either > 0).sum(axis=-1))
    shares = [right / documents, micro, macro, loss / documents, handled / documents, _share(handled_right, handled)]
    of_classes = np.stack([_share(both, predicted), _share(both, truth), f1], axis=-1).reshape(*outer, -1)
    return np.concatenate([np.stack(shares, axis=-1), of_classes], axis=-1)


def _share(found: Floats, of: Floats, otherwise: float = np.nan) -> Floats:
    return np.divide(found, of, out=np.full_like(found, otherwise), where=of > 0)


def bootstrap_sums(
    parts: Sequence[sparse.csr_array], resamples: int, random: np.random.Generator, size: int | None = None
) -> list[Floats]:
    """Sums, float64 [resamples, 3 * classes + 5], of each of several classifiers over the same resamples of documents.

    Args:
        parts: `contributions` of each.
        size: documents of a resample; None: as many as there are.
    """
    documents = parts[0].shape[0]
    batch = max(1, AT_ONCE // max(parts[0].shape))
    found = []
    for start in range(0, resamples, batch):
        draws = min(batch, resamples - start)
        places = random.integers(0, documents, (size or documents, draws)) * draws + np.arange(draws)
        times = np.bincount(places.ravel(), minlength=documents * draws).reshape(documents, draws)
        weights = times.astype(np.float64)
        found.append([(part.T @ weights).T for part in parts])
    return [np.concatenate(batches) for batches in zip(*found, strict=True)]


def difference(
    first: sparse.csr_array,
    second: sparse.csr_array,
    resamples: int,
    random: np.random.Generator,
    size: int | None = None,
) -> tuple[Floats, Floats, Floats]:
    """Interval ends (low, high) of the second's figures minus the first's, and their standard errors, [figures] each.

    Paired: errors that both share do not widen it. NaN where a figure has no denominator in either.

    Args:
        first, second: `contributions` of the two.
        size: documents of a resample. A figure on n documents and one on m others differ by the noise of both, whose
            variance is that of a sample of n m / (n + m).
    """
    before, after = bootstrap_sums((first, second), resamples, random, size)
    drawn = figures(after) - figures(before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # A figure that no resample has.
        low, high = np.nanquantile(drawn, EDGES, axis=0)
        error = np.nanstd(drawn, axis=0)
    # A figure that one of the two lacks has no difference, even if some resamples have one.
    unknown = np.isnan(figures(second.sum(axis=0)) - figures(first.sum(axis=0)))
    low[unknown] = high[unknown] = error[unknown] = np.nan
    return low, high, error


def corrected_interval(part: sparse.csr_array, resamples: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Interval ends (low, high) of a classifier's overall figures, [6] each, corrected for bias and skew (BCa).

    Efron, Better Bootstrap Confidence Intervals, 1987: the macro F1 of a resample is lower than that of all documents,
    as small classes lose their few right answers. NaN where a figure does not vary.

    Args:
        part: its `contributions`.
    """
    totals = part.sum(axis=0)
    overall = len(OVERALL)
    found, drawn = figures(totals)[:overall], figures(bootstrap_sums((part,), resamples, random)[0])[:, :overall]
    batch = max(1, AT_ONCE // part.shape[1])
    starts = range(0, part.shape[0], batch)
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.concatenate([figures(totals - part[at : at + batch].toarray())[:, :overall] for at in starts])
        # Sums in a different order differ in their last digits.
        below, upto = ((drawn < found + by).mean(axis=0) for by in (-1e-12, 1e-12))
        bias = ndtri((below + upto) / 2)
        moved = without.mean(axis=0) - without
        skew = (moved**3).sum(axis=0) / (6 * (moved**2).sum(axis=0) ** 1.5)
        reach = bias + ndtri(EDGES)[:, None]
        places = ndtr(bias + reach / (1 - skew * reach))
    low, high = np.full((2, overall), np.nan)
    for i in np.flatnonzero(np.isfinite(places).all(axis=0) & np.isfinite(drawn).all(axis=0)):
        low[i], high[i] = np.quantile(drawn[:, i], places[:, i])
    return low, high
