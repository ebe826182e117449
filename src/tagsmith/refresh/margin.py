"""The difference that counts as none, and what that means for good and bad versions."""

from dataclasses import dataclass
from math import sqrt

from scipy.stats import norm

from tagsmith.config.settings import BestMetric
from tagsmith.core.errors import counted
from tagsmith.decision.bootstrap import CONFIDENCE
from tagsmith.evaluate.comparison.paired import POWER

ASSUMED_SHARE = 0.05
"""Share of the documents that only one of two versions has right, where both are equally good: an assumption, as the
share that is found would widen the margin for a version that is worse. Measured, see README.md."""

ASSUMED_SPREAD = 0.3
"""Standard deviation over the documents of the difference of two versions' log losses, in nats: an assumption too."""

REACH = float(norm.ppf((1 + CONFIDENCE) / 2))
"""Standard errors from a difference to the ends of its interval."""

WRONG = (1 - CONFIDENCE) / 2
"""How often chance lets a version through that is worse by the margin."""


@dataclass(frozen=True)
class Margin:
    """The difference in a figure that counts as none.

    Attributes:
        value: as a share, or in nats.
        given: whether the settings name it.
        documents: those that it was derived for.
        error: the standard error of a difference that is expected with them.
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
            f"{self.passes:.0%} of cases, {assumed}; one that is worse by {self.amount} or more in at most {WRONG:.1%}."
        )


def margin_of(given: float | None, by: BestMetric, documents: int) -> Margin:
    """The margin for so many test documents; `given`: by the settings, None: derived.

    Derived so that an equally good version passes with probability `POWER`: the interval reaches so many standard
    errors below the difference that is found, which itself varies (Blackwelder, "Proving the Null Hypothesis" in
    Clinical Trials, 1982).
    """
    error = ASSUMED_SPREAD / sqrt(documents) if by is BestMetric.log_loss else sqrt(ASSUMED_SHARE / documents)
    value = (REACH + float(norm.ppf(POWER))) * error if given is None else given
    return Margin(value, given is not None, documents, by, error)


def in_words(value: float, by: BestMetric) -> str:
    """A difference of a figure: `2 points`, `0.0210 nats`."""
    if by is BestMetric.log_loss:
        return f"{value:.4f} nats"
    shown = f"{round(100 * value, 1) + 0.0:.1f}".removesuffix(".0")
    return f"{shown} point{'' if shown == '1' else 's'}"
