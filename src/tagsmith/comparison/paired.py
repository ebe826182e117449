"""How sure the difference of two classifiers is that answered the same documents: pure arithmetic.

The interval of a difference is a paired bootstrap: documents are drawn, and both runs are judged on the same ones
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993). Where few documents changed sides it is too narrow, so
whether a difference is more than chance is asked of a second, exact way: approximate randomization, in which the two
runs' answers change places document by document (Yeh, More Accurate Tests for the Statistical Significance of Result
Differences, 2000), and for right and wrong the test of McNemar.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.stats import binomtest, norm

from tagsmith.comparison.figures import OVERALL, Addends, Decided, Floats, Indicators
from tagsmith.guidance.significance import LEVEL, holm

CONFIDENCE = 0.95
POWER = 0.8
"""How often a difference is to be noticed with the documents that are said to be needed."""

EXCHANGES = 10_000
"""Draws of the randomization test: enough for a p-value that survives the correction for 150 classes."""

AT_ONCE = 5_000_000
"""Numbers of a batch of draws: 40 MB."""


@dataclass(frozen=True)
class Differences:
    """Figures of two runs and their differences, second less first.

    Attributes:
        first, second, low, high, error: float64 [figures]; low and high are the interval of the difference, `error`
            its standard error. NaN where a figure has no denominator.
        chance: float64 [figures], p-values of there being no difference.
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
        """One figure by names."""
        names = ("first", "second", "difference", "low", "high", "error", "chance")
        return {name: float(getattr(self, name)[place]) for name in names}


@dataclass(frozen=True)
class Compared:
    """All that is known of the difference of two runs.

    Attributes:
        overall: float64 [6], the figures of `figures.OVERALL`.
        classes: float64 [classes, 3], those of `figures.OF_A_CLASS`.
        corrected: float64 [classes], p-values of the F1 of each, by Holm for all classes.
        only_first, only_second: documents that this run alone has right.
        mcnemar: p-value of both being right equally often.
        alike: documents that both answer with the same classes.
    """

    overall: Differences
    classes: Differences
    corrected: Floats
    only_first: int
    only_second: int
    mcnemar: float
    alike: int


def compare_answers(truth: Indicators, first: Decided, second: Decided, resamples: int, seed: int) -> Compared:
    """Compare what two runs made of the same documents; truth int8 [documents, classes].

    Raises:
        ValueError: there is no document.
    """
    if not len(truth):
        raise ValueError("expected a document or more, found none")
    addends = Addends.of(truth, first, second)
    random = np.random.default_rng(seed)
    overall, classes = _differences(addends, resamples, random)
    right = [(one.predicted == truth).all(axis=1) for one in (first, second)]
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    same = (first.predicted == second.predicted).all(axis=1)
    overall.chance[OVERALL.index("accuracy")] = mcnemar(*only)  # Exact, where the draws come near it.
    # A class that occurs in nothing has no figure and was not looked at.
    looked_at = np.flatnonzero(np.isfinite(classes.chance[:, 2]))
    corrected = np.full(len(classes.chance), np.nan)
    corrected[looked_at] = holm([float(classes.chance[i, 2]) for i in looked_at])
    return Compared(overall, classes, corrected, *only, mcnemar(*only), int(same.sum()))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact p-value of two runs being right equally often, from the documents that one alone has right.

    McNemar, Note on the Sampling Error of the Difference Between Correlated Proportions, 1947.
    """
    changed = only_first + only_second
    return float(binomtest(only_second, changed).pvalue) if changed else 1.0


def documents_needed(error: float, documents: int, smallest: float) -> int:
    """Test documents with which a difference of `smallest` would be noticed in `POWER` of cases; at least those here.

    The standard error falls with the root of the documents (Cohen, Statistical Power Analysis, 1988).
    """
    reach = float(norm.ppf((1 + CONFIDENCE) / 2) + norm.ppf(POWER)) * error
    return max(documents, ceil(documents * (reach / smallest) ** 2))


def _differences(addends: Addends, resamples: int, random: np.random.Generator) -> tuple[Differences, Differences]:
    totals = addends.totals()
    first, second = (_figures(one) for one in addends.sums(totals))
    drawn = []
    for weights in _resamples(addends.matrix.shape[0], resamples, random):
        both = addends.sums(addends.weighted(weights))
        drawn.append(_figures(both[1]) - _figures(both[0]))
    low, high, error = _spread(np.concatenate(drawn))
    # A figure that one of the runs has not has no difference, whatever some resamples say.
    unknown = ~np.isfinite(second - first)
    for bound in (low, high, error):
        bound[unknown] = np.nan
    chance = np.where(unknown, np.nan, _chance(addends, totals, second - first, random))
    parts = (first, second, low, high, error, chance)
    classes = addends.classes
    return (
        Differences(*(part[:-3 * classes] for part in parts)),
        Differences(*(part[-3 * classes :].reshape(classes, 3) for part in parts)),
    )  # fmt: skip


def _figures(sums: object) -> Floats:
    """Overall figures, then those of the classes, float64 [..., 6 + 3 * classes]."""
    overall, classes = sums.overall(), sums.of_classes()  # type: ignore[attr-defined]
    return np.concatenate([overall, classes.reshape(*overall.shape[:-1], -1)], axis=-1)


def _resamples(documents: int, resamples: int, random: np.random.Generator) -> Iterator[Floats]:
    """Batches of how often each document is drawn, float64 [documents, batch]."""
    batch = max(1, AT_ONCE // documents)
    for start in range(0, resamples, batch):
        size = min(batch, resamples - start)
        places = random.integers(0, documents, (documents, size)) * size + np.arange(size)
        yield np.bincount(places.ravel(), minlength=documents * size).reshape(documents, size).astype(np.float64)


def _spread(drawn: Floats) -> tuple[Floats, Floats, Floats]:
    """Percentiles and standard deviation of draws [draws, figures], of those in which a figure has a value."""
    edges = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    known = np.isfinite(drawn)
    low, high, error = (np.full(drawn.shape[1], np.nan) for _ in range(3))
    whole = known.all(axis=0)
    low[whole], high[whole] = np.quantile(drawn[:, whole], edges, axis=0)
    error[whole] = drawn[:, whole].std(axis=0)
    for i in np.flatnonzero(~whole & known.any(axis=0)):
        values = drawn[known[:, i], i]
        low[i], high[i] = np.quantile(values, edges)
        error[i] = values.std()
    return low, high, error


def _chance(addends: Addends, totals: Floats, found: Floats, random: np.random.Generator) -> Floats:
    """p-values, float64 [figures], of differences as large as `found` where the runs' answers change places at random.

    The answers as they were count as one draw more, so that no p-value is 0.
    """
    change = addends.exchanged()
    change = change[np.flatnonzero(np.diff(change.indptr))]
    if not change.shape[0]:
        return np.ones_like(found)
    reached = np.ones_like(found)
    batch = max(1, AT_ONCE // change.shape[0])
    # Sums of the same numbers in another order differ by rounding.
    least = np.abs(found) - 1e-12
    for start in range(0, EXCHANGES, batch):
        shape = (change.shape[0], min(batch, EXCHANGES - start))
        moved = (change.T @ random.integers(0, 2, shape, dtype=np.int8).astype(np.float64)).T
        first, second = addends.sums(_exchange(addends, totals, moved))
        reached += (~(np.abs(_figures(second) - _figures(first)) < least)).sum(axis=0)
    return reached / (EXCHANGES + 1)


def _exchange(addends: Addends, totals: Floats, moved: Floats) -> Floats:
    """Totals after `moved` has gone from the second run's to the first's, float64 [draws, columns]."""
    exchanged = np.repeat(totals[None], len(moved), axis=0)
    at = 0
    firsts, seconds = addends.columns(exchanged)
    for first, second in zip(firsts, seconds, strict=True):  # Views: what is added here is added there.
        part = moved[:, at : at + first.shape[1]]
        first += part
        second -= part
        at += first.shape[1]
    return exchanged


def certain(chance: float, low: float, high: float) -> bool:
    """Whether a difference is more than chance: by the randomization test and by the interval."""
    return chance < LEVEL and not low <= 0 <= high
