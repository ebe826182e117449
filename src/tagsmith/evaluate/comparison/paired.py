"""How certain the difference of two classifiers on the same documents is: pure arithmetic.

The interval of a difference comes from a paired bootstrap. It is too narrow if few documents changed between right and
wrong, so significance comes from approximate randomization, which swaps the answers of the two runs document by
document (Yeh, More Accurate Tests for the Statistical Significance of Result Differences, 2000), and for accuracy from
McNemar's exact test.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import binomtest, norm

from tagsmith.decision.bootstrap import (
    AT_ONCE,
    CONFIDENCE,
    OVERALL,
    Floats,
    Indicators,
    contributions,
    difference,
    figures,
)
from tagsmith.decision.significance import LEVEL, holm

POWER = 0.8
"""Probability of detecting a difference with the documents that are needed."""

EXCHANGES = 10_000
"""Permutations of the randomization test: enough for a p-value that survives the correction for 150 classes."""

LEAST_SCORE = 5e-7
"""Scores are stored with six digits: what is stored as 0 may have been as much."""


@dataclass(frozen=True)
class Decided:
    """The decisions of a run on the documents.

    Attributes:
        predicted: int8 [documents, classes].
        loss: float64 [documents], in nats.
        handled: bool [documents], whether they do not go to a person; None: the run does not decide that.
    """

    predicted: Indicators
    loss: Floats
    handled: NDArray[np.bool_] | None = None


def losses(scores: NDArray[np.floating[Any]], truth: Indicators, multi_label: bool) -> Floats:
    """Log loss of each document, float64 [documents], in nats, of scores [documents, classes].

    Multi-label: the mean over classes. Single-label scores need not sum to 1: those of a class that the other run does
    not have are lost. Scores are at least `LEAST_SCORE`: they are rounded, and a true class with a 0 would have an
    infinite loss.
    """
    shares = scores.astype(np.float64)
    if multi_label:
        likely = np.where(truth == 1, shares, 1 - shares)
    else:
        likely = shares[np.arange(len(shares)), truth.argmax(axis=1), None]
    found: Floats = -np.log(np.clip(likely, LEAST_SCORE, 1)).mean(axis=1)
    return found


@dataclass(frozen=True)
class Differences:
    """Figures of two runs and their differences, second minus first.

    Attributes:
        first, second, low, high, error: float64 [figures]; low and high are the interval of the difference, `error`
            its standard error. NaN where a figure has no denominator.
        chance: float64 [figures], p-values of the difference.
    """

    first: Floats
    second: Floats
    low: Floats
    high: Floats
    error: Floats
    chance: Floats

    @property
    def difference(self) -> Floats:
        return self.second - self.first

    def __getitem__(self, place: int | tuple[int, int]) -> dict[str, float]:
        """One figure as a dictionary."""
        names = ("first", "second", "difference", "low", "high", "error", "chance")
        return {name: float(getattr(self, name)[place]) for name in names}


@dataclass(frozen=True)
class Compared:
    """The difference of two runs.

    Attributes:
        overall: float64 [6], the figures of `bootstrap.OVERALL`.
        classes: float64 [classes, 3], those of `bootstrap.OF_A_CLASS`.
        corrected: float64 [classes], Holm-corrected p-values of the F1 of each.
        only_first, only_second: documents that only this run has right.
        mcnemar: p-value of the difference in accuracy.
        alike: documents for which both predict the same classes.
    """

    overall: Differences
    classes: Differences
    corrected: Floats
    only_first: int
    only_second: int
    mcnemar: float
    alike: int


def compare_answers(truth: Indicators, first: Decided, second: Decided, resamples: int, seed: int) -> Compared:
    """Compare the decisions of two runs on the same documents; truth int8 [documents, classes].

    Raises:
        ValueError: there is no document.
    """
    if not len(truth):
        raise ValueError("expected at least one document, found none")
    parts = [contributions(truth, one.predicted, one.loss, one.handled) for one in (first, second)]
    overall, classes = _differences(parts[0], parts[1], resamples, np.random.default_rng(seed))
    right = [(one.predicted == truth).all(axis=1) for one in (first, second)]
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    same = (first.predicted == second.predicted).all(axis=1)
    overall.chance[OVERALL.index("accuracy")] = mcnemar(*only)  # Exact; the randomization only approximates it.
    # A class that occurs neither in the truth nor in the predictions has no figure and was not tested.
    tested = np.flatnonzero(np.isfinite(classes.chance[:, 2]))
    corrected = np.full(len(classes.chance), np.nan)
    corrected[tested] = holm([float(classes.chance[i, 2]) for i in tested])
    return Compared(overall, classes, corrected, *only, mcnemar(*only), int(same.sum()))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact p-value of a difference in accuracy, from the documents that only one of two runs has right.

    McNemar, Note on the Sampling Error of the Difference Between Correlated Proportions, 1947.
    """
    changed = only_first + only_second
    return float(binomtest(only_second, changed).pvalue) if changed else 1.0


def documents_needed(error: float, documents: int, smallest: float) -> int:
    """Test documents with which a difference of `smallest` is detected with probability `POWER`; at least `documents`.

    The standard error falls with the root of the number of documents (Cohen, Statistical Power Analysis, 1988).
    """
    reach = float(norm.ppf((1 + CONFIDENCE) / 2) + norm.ppf(POWER)) * error
    return max(documents, ceil(documents * (reach / smallest) ** 2))


def _differences(
    first: sparse.csr_array, second: sparse.csr_array, resamples: int, random: np.random.Generator
) -> tuple[Differences, Differences]:
    """Overall and per class, from the `contributions` of the runs."""
    figures_of = [figures(one.sum(axis=0)) for one in (first, second)]
    interval = difference(first, second, resamples, random)
    parts = (*figures_of, *interval, _chance(first, second, random))
    overall = len(OVERALL)
    return (
        Differences(*(part[:overall] for part in parts)),
        Differences(*(part[overall:].reshape(-1, 3) for part in parts)),
    )


def _chance(first: sparse.csr_array, second: sparse.csr_array, random: np.random.Generator) -> Floats:
    """p-values, float64 [figures]: the share of random swaps of the runs' answers with a difference at least as large.

    The original answers count as one permutation, so that no p-value is 0.
    """
    totals = [one.sum(axis=0) for one in (first, second)]
    found = figures(totals[1]) - figures(totals[0])
    change = sparse.csr_array(second - first)
    change.eliminate_zeros()
    change = change[np.flatnonzero(np.diff(change.indptr))]
    reached = np.ones_like(found)
    batch = max(1, AT_ONCE // max(change.shape))
    # Sums of the same numbers in a different order differ by rounding.
    least = np.abs(found) - 1e-12
    for start in range(0, EXCHANGES, batch):
        shape = (change.shape[0], min(batch, EXCHANGES - start))
        moved = (change.T @ random.integers(0, 2, shape, dtype=np.int8).astype(np.float64)).T
        gap = figures(totals[1] - moved) - figures(totals[0] + moved)
        reached += (~(np.abs(gap) < least)).sum(axis=0)
    return np.where(np.isnan(found), np.nan, reached / (EXCHANGES + 1))


def certain(chance: float, low: float, high: float) -> bool:
    """Whether a difference is significant, by both the randomization test and the interval."""
    return chance < LEVEL and not low <= 0 <= high
