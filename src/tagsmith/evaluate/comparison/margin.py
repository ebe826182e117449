"""The difference that counts as none, and what that means for good and bad versions."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import norm

from tagsmith.config.settings import BestMetric
from tagsmith.core.errors import counted
from tagsmith.decision.bootstrap import CONFIDENCE, OVERALL, Indicators
from tagsmith.evaluate.comparison.paired import POWER, Compared, certain

ASSUMED_SHARE = 0.05
"""Share of the documents that only one of two versions has right, where both are equally good: an assumption, as the
share that is found would widen the margin for a version that is worse. Measured, see README.md."""

ASSUMED_SPREAD = 0.3
"""Standard deviation over the documents of the difference of two versions' log losses, in nats: an assumption too."""

REACH = float(norm.ppf((1 + CONFIDENCE) / 2))
"""Standard errors from a difference to the ends of its interval."""

WRONG = 0.03
"""How often chance lets a version through that is worse by the margin.

0.025 of many documents, up to 0.034 of 200: measured, see the README of refresh."""


@dataclass(frozen=True)
class Margin:
    """The difference in a figure that counts as none.

    Attributes:
        value: as a share, or in nats.
        given: whether the settings name it.
        documents: those that it was derived for.
        error: the standard error that is expected of the difference of two equally good versions.
    """

    value: float
    given: bool
    documents: int
    by: BestMetric
    error: float

    @property
    def nats(self) -> bool:
        """Whether it is a difference of losses."""
        return self.by is BestMetric.log_loss

    @property
    def passes(self) -> float:
        """How often a version that is as good as the one in production is found to be not worse."""
        return float(norm.cdf(self.value / self.error - REACH))

    def lowest(self, gain: "Gain") -> float:
        """The lower end of the interval of a difference, which must lie above the margin.

        A bootstrap of few documents that differ is too narrow. Of two models of which one is worse by the margin, one
        alone is right on as large a share of the documents at least, so the standard error is at least that of this
        share (as in the score test of Tango, Equivalence Test and Confidence Interval for the Difference in Proportions
        for the Paired-Sample Design, 1998).
        """
        if self.nats:
            return gain.low
        least = self.error * sqrt(self.value / ASSUMED_SHARE)
        return min(gain.low, gain.value - REACH * least)

    @property
    def amount(self) -> str:
        """The margin in words."""
        return in_words(self.value, self.by)

    @property
    def sentence(self) -> str:
        """What the margin means."""
        if self.nats:
            assumed = f"whose losses differ by {ASSUMED_SPREAD:g} nats (standard deviation)"
        else:
            assumed = f"if one of the two is right and the other wrong on {ASSUMED_SHARE:.0%} of them"
        return (
            f"With {counted(self.documents, 'test document')}, a version that is equally good passes in about "
            f"{self.passes:.0%} of cases, {assumed}; one that is worse by {self.amount} or more in about {WRONG:.0%}."
        )


@dataclass(frozen=True)
class Gain:
    """The difference of two runs or versions in a figure, positive where the second is better.

    Attributes:
        first, second: the figure of each.
        low, high: the ends of the interval of the difference.
        p: its p-value.
    """

    by: BestMetric
    first: float
    second: float
    low: float
    high: float
    p: float

    @classmethod
    def of(cls, compared: Compared, by: BestMetric) -> "Gain":
        one = compared.overall[OVERALL.index(by.value)]
        ends = one["low"], one["high"]
        low, high = (-ends[1], -ends[0]) if by is BestMetric.log_loss else ends
        return cls(by, one["first"], one["second"], low, high, one["chance"])

    @property
    def value(self) -> float:
        return self.first - self.second if self.by is BestMetric.log_loss else self.second - self.first

    @property
    def better(self) -> bool:
        """Whether the second is significantly better."""
        return self.value > 0 and certain(self.p, self.low, self.high)


def margin_of(given: float | None, by: BestMetric, truth: Indicators) -> Margin:
    """The margin for test documents of these classes, int8 [documents, classes].

    Derived so that an equally good version passes with probability `POWER`: the interval reaches so many standard
    errors below the difference that is found, which itself varies (Blackwelder, "Proving the Null Hypothesis" in
    Clinical Trials, 1982). Rare classes make macro F1 vary more; they do not widen the margin, so that fewer good
    versions pass.

    Args:
        given: by the settings; None: it is derived.
    """
    spread = ASSUMED_SPREAD if by is BestMetric.log_loss else sqrt(ASSUMED_SHARE)
    value = (REACH + float(norm.ppf(POWER))) * spread / sqrt(len(truth)) if given is None else given
    effective = evenly_spread(truth) if by is BestMetric.macro_f1 else len(truth)
    return Margin(value, given is not None, len(truth), by, spread / sqrt(effective))


def evenly_spread(truth: Indicators) -> float:
    """How many documents in classes of equal size would give a macro F1 that varies as little.

    The F1 of a class varies with 1 / its documents, and macro F1 with the mean over the classes, squared.
    """
    counts = truth.sum(axis=0, dtype=np.float64)
    counts = counts[counts > 0]
    return float(len(counts) ** 2 / (1 / counts).sum()) if len(counts) else float(len(truth))


def in_words(value: float, by: BestMetric) -> str:
    """A difference of a figure: `2 points`, `0.0210 nats`."""
    if by is BestMetric.log_loss:
        return f"{value:.4f} nats"
    shown = f"{round(100 * value, 1) + 0.0:.1f}".removesuffix(".0")
    return f"{shown} point{'' if shown == '1' else 's'}"
