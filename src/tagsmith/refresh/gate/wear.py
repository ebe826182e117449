"""How worn the frozen test documents are, and how far production has come on them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from math import log, sqrt
from typing import Any

import numpy as np

from tagsmith.core.errors import counted
from tagsmith.core.files import digest
from tagsmith.evaluate.comparison.margin import REACH, WRONG, Margin, in_words
from tagsmith.refresh.store import Store, Version

Json = dict[str, Any]

WORN = 0.25
"""The documents are worn where they flatter the version in production by this share of the margin."""

MOST = 1000
"""Decisions that are looked ahead; documents that are good for as many are not said to wear."""

DRAWS = 4000
"""Simulated stores."""


@dataclass(frozen=True)
class Wear:
    """Decisions on the same frozen documents.

    Attributes:
        test: identifies the frozen documents; other ones have another.
        decisions: how many versions were judged on them, the one that is judged now included.
        most: how many they are good for; None: more than `MOST`.
        flattered: by how much they now flatter the version in production, which was chosen on them.
        passes: how often an equally good version passes now.
    """

    test: str
    decisions: int
    most: int | None
    flattered: float
    passes: float
    margin: Margin

    @property
    def worn(self) -> bool:
        return self.most is not None and self.decisions >= self.most

    @property
    def wrong(self) -> float:
        """The chance that at least one of as many versions passes, if each was worse by the margin."""
        return 1 - (1 - WRONG) ** self.decisions

    @property
    def allowance(self) -> float:
        """By how much the best of as many equally good versions looks better than it is, at most expected.

        The maximum of k normal variables is expected below their standard deviation times sqrt(2 ln k); that of a
        version is 1 / sqrt(2) of that of a difference of two.
        """
        return self.margin.error * sqrt(log(self.decisions))

    @property
    def sentence(self) -> str:
        """What the promise of the gate is now."""
        used = f"{counted(self.decisions, 'decision')} on these frozen test documents"
        if not self.worn:
            return f"{used}; they are good for {'more than 1,000' if self.most is None else f'about {self.most:,}'}."
        return (
            f"{used}, which are good for about {self.most:,}: they flatter the version in production by about "
            f"{in_words(self.flattered, self.margin.by)}, so that an equally good one passes in about "
            f"{self.passes:.0%} of cases, not in {self.margin.passes:.0%}; action=renew_test puts those "
            f"of the slices in their place."
        )

    def as_json(self) -> Json:
        names = ("test", "decisions", "most", "worn", "flattered", "passes", "wrong", "sentence")
        return {name: getattr(self, name) for name in names}


def wear_of(store: Store, judged: Version, margin: Margin, gate: Sequence[str]) -> Wear:
    """The wear of the frozen documents by the decisions of a store, with the one about `judged`.

    Args:
        margin: on these documents.
        gate: what a version must be; `floor` alone chooses none on them.
    """
    test = identity(store)
    earlier = [one for one in store.versions() if one.finished and one.name != judged.name]
    before = earlier[-1].read_decision().get("wear") or {} if earlier else {}
    decisions = 1 + (int(before.get("decisions", 0)) if before.get("test") == test else 0)
    least = least_gain(margin, gate)
    if least is None:
        return Wear(test, decisions, None, 0.0, margin.passes, margin)
    most = good_for(least, WORN * margin.value / margin.error)
    flattered, passes = next(islice(chosen(least), min(decisions, MOST) - 1, None))
    return Wear(test, decisions, most, flattered * margin.error, passes, margin)


def least_gain(margin: Margin, gate: Sequence[str]) -> float | None:
    """The least gain on the documents with which a version passes, in standard errors; None: any does."""
    least = [REACH] * ("better" in gate) + [REACH - margin.value / margin.error] * ("not_worse" in gate)
    return max(least, default=None)


def chosen(least: float) -> Iterator[tuple[float, float]]:
    """What the documents do after 1, 2, ... decisions about equally good versions, by simulation.

    Versions vary independently on the documents; the next one replaces that in production where it looks better by at
    least `least`. All in standard errors of a difference.

    Yields:
        By how much they flatter the version in production, and how often the next one passes.
    """
    random = np.random.default_rng(0)
    production = random.normal(0, sqrt(0.5), DRAWS)
    while True:
        new = random.normal(0, sqrt(0.5), DRAWS)
        passes = new - production > least
        yield float(production.mean()), float(passes.mean())
        production = np.where(passes, new, production)


@cache
def good_for(least: float, most: float) -> int | None:
    """After how many decisions the version in production is flattered by `most`, in standard errors."""
    found = enumerate(islice(chosen(least), MOST), 1)
    return next((number for number, (flattered, _) in found if flattered >= most), None)


def identity(store: Store) -> str:
    """What identifies the frozen documents: the SHA-256 of their file; that of nothing where there is none."""
    path = store.test / "frozen.jsonl"
    return digest(path) if path.is_file() else hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Standing:
    """How far a version has come on the frozen documents, as the sum of the differences between versions in production.

    Each difference was measured on both versions by the tags of its day, so that neither changed tags nor changed
    classes move it.

    Attributes:
        value: of the version that is judged; 0 is the first version on these documents.
        highest: of any version that was in production.
    """

    value: float
    highest: float

    def as_json(self) -> Json:
        return {"value": self.value, "highest": self.highest}


def standing_of(champion: Version | None, test: str, gain: float | None) -> Standing:
    """The standing of a challenger.

    Args:
        test: identifies the frozen documents.
        gain: by how much its figure on them is better than the champion's; None: it cannot be compared.
    """
    before: Json = {}
    if champion is not None and champion.finished:
        decision = champion.read_decision()
        if (decision.get("wear") or {}).get("test") == test:
            before = decision.get("standing") or {}
    own = float(before.get("value", 0.0))
    highest = max(float(before.get("highest", 0.0)), own)
    return Standing(own + (gain or 0.0), highest)
