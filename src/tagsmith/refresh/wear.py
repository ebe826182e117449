"""How worn the frozen test documents are, and how far production has come on them."""

import hashlib
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Any

from tagsmith.core.errors import counted
from tagsmith.core.files import digest
from tagsmith.refresh.margin import WRONG, Margin, in_words
from tagsmith.refresh.store import Store, Version

Json = dict[str, Any]


@dataclass(frozen=True)
class Wear:
    """Decisions on the same frozen documents.

    Attributes:
        test: identifies the frozen documents; other ones have another.
        decisions: how many versions were judged on them, the one that is judged now included.
        most: after so many, the best of as many equally good versions looks better than it is by the margin.
        wrong: the chance that at least one version that was worse by the margin was let through, if all were.
        flattered: by how much the best of as many equally good versions looks better than it is, at most expected.
    """

    test: str
    decisions: int
    most: int
    wrong: float
    flattered: float
    margin: Margin

    @property
    def worn(self) -> bool:
        return self.decisions >= self.most

    @property
    def sentence(self) -> str:
        """How much the promise of the gate still holds."""
        used = f"{counted(self.decisions, 'version')} judged on the frozen test documents"
        flattered = in_words(self.flattered, self.margin.by)
        if not self.worn:
            return f"{used}: of {self.most:,} that they are good for."
        return (
            f"{used}, which are good for {self.most:,}: figures on them may be too good by {flattered}, and of as many "
            f"versions that are worse by {self.margin.amount}, at least one passes with {self.wrong:.0%} probability. "
            f"action=renew_test draws new ones."
        )

    def as_json(self) -> Json:
        return {
            "test": self.test,
            "decisions": self.decisions,
            "most": self.most,
            "worn": self.worn,
            "wrong": self.wrong,
            "flattered": self.flattered,
            "sentence": self.sentence,
        }


def wear_of(store: Store, judged: Version, margin: Margin) -> Wear:
    """The wear of the frozen documents by the decisions of a store, with the one about `judged`.

    The best of k equally good versions looks better than it is by up to error * sqrt(2 ln k) (the expected maximum of
    k normal variables; Blum and Hardt, The Ladder, 2015, on what that means for leaderboards).
    """
    test = identity(store)
    earlier = [one for one in store.versions() if one.finished and one.name != judged.name]
    before = earlier[-1].read_decision().get("wear") or {} if earlier else {}
    decisions = 1 + (int(before.get("decisions", 0)) if before.get("test") == test else 0)
    most = good_for(margin)
    flattered = margin.error * sqrt(2 * log(decisions))
    return Wear(test, decisions, most, 1 - (1 - WRONG) ** decisions, flattered, margin)


def good_for(margin: Margin) -> int:
    """After so many decisions, production may look better than it is by the margin: error * sqrt(2 ln k) = margin."""
    power = (margin.value / margin.error) ** 2 / 2
    return max(1, int(exp(min(power, 13.8))))  # A million is for ever.


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
