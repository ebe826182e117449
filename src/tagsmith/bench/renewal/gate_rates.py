"""How often the gate of a refresh passes good and bad versions, by simulation.

`python -m tagsmith.bench.renewal.gate_rates REPETITIONS` prints the table in the README of refresh.

Two versions answer the same documents, of which each has 90 % right and one alone a share; wrong answers are mostly the
next class. The one in production is as good as the other, or better by the margin in macro F1.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import BestMetric
from tagsmith.decision.bootstrap import OVERALL, Indicators, contributions, figures
from tagsmith.decision.significance import LEVEL
from tagsmith.evaluate.comparison.margin import ASSUMED_SHARE, Gain, margin_of
from tagsmith.evaluate.comparison.paired import Decided, compare_answers
from tagsmith.refresh.gate.checks import corrected

Ints = NDArray[np.int64]

RIGHT = 0.9
"""Share of the documents that the version in production has right."""

RESAMPLES = 500

FIXED = 0.005
"""The margin of a gate that compares point estimates, for comparison."""

MACRO = OVERALL.index("macro_f1")

BY = BestMetric.macro_f1


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    Attributes:
        skewed: whether the k-th class has 1 / k of the first one's documents, rather than as many.
        share: of the documents that only one of two equally good versions has right.
        worse: by how many margins the challenger is worse.
    """

    documents: int
    classes: int
    skewed: bool
    worse: float
    share: float = ASSUMED_SHARE


@dataclass(frozen=True)
class Rates:
    """How often a version passes, from 0 to 1: each check of `not_worse`, both, `better`, and a fixed margin."""

    setting: Setting
    margin: float
    not_worse: float
    both: float
    better: float
    fixed: float


def rates(setting: Setting, repetitions: int) -> Rates:
    """Simulate so many decisions."""
    draw = np.random.default_rng([setting.documents, setting.classes, setting.skewed, round(setting.worse)])
    sizes = _sizes(setting)
    tags = np.repeat(np.arange(setting.classes), sizes)
    truth = _one_hot(tags, setting.classes)
    margin = margin_of(None, BY, truth)
    lost = _loss_of_documents(draw, setting, sizes, margin.value)
    passed = np.zeros((repetitions, 4), dtype=np.bool_)
    for i in range(repetitions):
        first, second = (Decided(one, np.zeros(len(tags))) for one in _answers(draw, tags, setting, lost))
        found = compare_answers(truth, first, second, RESAMPLES, i)
        gain = Gain.of(found, BY)
        p_values = corrected(found, sizes, 20)
        fell = (p_values < LEVEL) & (found.classes.difference[:, 2] < 0)
        not_worse = margin.lowest(gain) > -margin.value
        passed[i] = not_worse, not_worse and not fell.any(), gain.better, gain.value > -FIXED
    return Rates(setting, margin.value, *(float(share) for share in passed.mean(axis=0)))


def _sizes(setting: Setting) -> Ints:
    """Documents of each class, at least one."""
    weights = 1 / np.arange(1, setting.classes + 1) if setting.skewed else np.ones(setting.classes)
    wanted = setting.documents * weights / weights.sum()
    sizes: Ints = np.maximum(1, wanted.astype(np.int64))
    for _ in range(setting.documents - int(sizes.sum())):
        sizes[np.argmax(wanted - sizes)] += 1
    sizes[0] -= sizes.sum() - setting.documents
    return sizes


def _one_hot(tags: Ints, classes: int) -> Indicators:
    found: Indicators = np.eye(classes, dtype=np.int8)[tags]
    return found


def _answers(draw: np.random.Generator, tags: Ints, setting: Setting, lost: float) -> tuple[Indicators, Indicators]:
    """What both predict; of the documents, the second has a share of `lost` fewer right."""
    share = max(setting.share, 1.2 * lost)
    only_first, only_second = (share + lost) / 2, (share - lost) / 2
    place = draw.random(len(tags))
    first = place < RIGHT
    second = (place < RIGHT - only_first) | ((place >= RIGHT) & (place < RIGHT + only_second))
    next_one = draw.random(len(tags)) < 0.7
    wrong = (tags + np.where(next_one, 1, draw.integers(1, setting.classes, len(tags)))) % setting.classes
    both = (_one_hot(np.where(right, tags, wrong), setting.classes) for right in (first, second))
    return next(both), next(both)


def _loss_of_documents(draw: np.random.Generator, setting: Setting, sizes: Ints, margin: float) -> float:
    """The share of documents that a challenger has to lose to be worse by so many margins in macro F1."""
    wanted = setting.worse * margin
    if not wanted:
        return 0.0
    many = np.repeat(np.arange(setting.classes), sizes * max(1, 200_000 // setting.documents))
    truth = _one_hot(many, setting.classes)
    lost = wanted
    for _ in range(4):
        first, second = (figures(contributions(truth, one).sum(axis=0)) for one in _answers(draw, many, setting, lost))
        lost *= wanted / float(first[MACRO] - second[MACRO])
    return lost


def table(repetitions: int) -> Iterator[str]:
    """The rows of the table in the README of refresh: even and skewed classes, equally good versions and worse ones."""
    checks = "not worse | and no class | better | fixed"
    yield f"| documents | classes | margin | equal: {checks} | worse: {checks} |"
    yield f"|{'---|' * 11}"
    for documents in (200, 1000, 3000):
        for classes, skewed in ((5, False), (20, False), (77, False), (20, True), (77, True)):
            both = [rates(Setting(documents, classes, skewed, worse), repetitions) for worse in (0.0, 1.0)]
            shares = [f"{share:.1%}" for one in both for share in (one.not_worse, one.both, one.better, one.fixed)]
            name = f"{classes}, skewed" if skewed else f"{classes}"
            yield f"| {documents:,} | {name} | {100 * both[0].margin:.1f} | {' | '.join(shares)} |"


if __name__ == "__main__":
    for row in table(int(sys.argv[1])):
        print(row, flush=True)
