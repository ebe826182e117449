"""How far what the service sees has moved from what the bundle was tested on: the population stability index."""

import math
import threading
from collections import Counter, deque
from collections.abc import Sequence

from tagsmith.classify.bundle.reference import Reference
from tagsmith.serve.answers import Answer

LEAST = 100
"""Documents below which no index is told."""
CHANCE = 0.03
"""Nor is one of which chance alone would make more than this: in ten bins 300 documents are enough, and 0.1 is then
five standard deviations away."""

FLOOR = 1e-4
"""A share of nothing would make the index infinite; it counts as this one."""


def population_stability_index(reference: Sequence[float], actual: Sequence[float]) -> float:
    """Sum of (actual - reference) * ln(actual / reference) over bins; both are shares [bins] that sum to 1.

    The usual reading: below 0.1 nothing has moved, above 0.25 much has. (Siddiqi, Credit Risk Scorecards, 2006)
    """
    pairs = [(max(r, FLOOR), max(a, FLOOR)) for r, a in zip(reference, actual, strict=True)]
    return sum((a - r) * math.log(a / r) for r, a in pairs)


def by_chance(bins: int, documents: int) -> float:
    """The index that documents of exactly the shares of the reference have on average, (bins - 1) / documents.

    (Yurdakul and Naranjo, Statistical properties of the population stability index, 2020)
    """
    return (bins - 1) / documents


class Drift:
    """The last documents of a deployment beside the reference.

    Args:
        documents: how many of them.
    """

    def __init__(self, reference: Reference, documents: int):
        self.reference = reference
        self._last: deque[tuple[tuple[str, ...], int, int]] = deque()
        self._most = documents
        self._classes: Counter[str] = Counter()
        self._scores = [0] * len(reference.score.shares)
        self._tokens = [0] * len(reference.tokens.shares)
        self._lock = threading.Lock()

    def add(self, answers: Sequence[Answer]) -> None:
        """Take in documents; the oldest go."""
        with self._lock:
            for answer in answers:
                entry = (
                    answer.chosen or ("",),
                    self.reference.score.bin(float(answer.scores.max())),
                    self.reference.tokens.bin(answer.tokens),
                )
                self._count(entry, 1)
                self._last.append(entry)
                if len(self._last) > self._most:
                    self._count(self._last.popleft(), -1)

    def _count(self, entry: tuple[tuple[str, ...], int, int], by: int) -> None:
        for name in entry[0]:
            self._classes[name] += by
        self._scores[entry[1]] += by
        self._tokens[entry[2]] += by

    def figures(self) -> dict[str, float]:
        """The index of the classes, of the scores and of the lengths; without those that would be chance."""
        with self._lock:
            seen = len(self._last)
            if seen < LEAST:
                return {}
            own = self.reference.classes
            counts = [self._classes[name] for name in own]
            others = sum(self._classes.values()) - sum(counts)
            compared = {
                "class": ([*own.values(), self.reference.other_classes], [*counts, others]),
                "score": (list(self.reference.score.shares), list(self._scores)),
                "tokens": (list(self.reference.tokens.shares), list(self._tokens)),
            }
        return {
            name: population_stability_index(reference, [count / sum(counts) for count in counts])
            for name, (reference, counts) in compared.items()
            if len(reference) > 1 and by_chance(sum(share > 0 for share in reference), seen) <= CHANCE
        }
