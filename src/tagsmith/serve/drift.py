"""Drift of the served documents from those on which the bundle was tested: the population stability index."""

import math
import threading
from collections import Counter, deque
from collections.abc import Sequence

from tagsmith.classify.bundle.reference import Reference
from tagsmith.serve.answers import Answer

MIN_DOCUMENTS = 100
"""With fewer documents no index is reported."""
MAX_CHANCE = 0.03
"""No index is reported while chance alone would cause more than this: with ten bins 300 documents are enough, and 0.1
is then five standard deviations away."""

FLOOR = 1e-4
"""Replaces a share of zero, which would make the index infinite."""


def population_stability_index(reference: Sequence[float], actual: Sequence[float]) -> float:
    """Sum of (actual - reference) * ln(actual / reference) over bins; both are shares [bins] that sum to 1.

    Usually below 0.1 is read as no shift, above 0.25 as a large one. (Siddiqi, Credit Risk Scorecards, 2006)
    """
    pairs = [(max(r, FLOOR), max(a, FLOOR)) for r, a in zip(reference, actual, strict=True)]
    return sum((a - r) * math.log(a / r) for r, a in pairs)


def index_by_chance(bins: int, documents: int) -> float:
    """The mean index of documents drawn from the distribution of the reference, (bins - 1) / documents.

    (Yurdakul and Naranjo, Statistical properties of the population stability index, 2020)
    """
    return (bins - 1) / documents


class Drift:
    """The most recent documents of a deployment, compared with the reference.

    Args:
        documents: how many of them to keep.
    """

    def __init__(self, reference: Reference, documents: int):
        self.reference = reference
        self._last: deque[tuple[tuple[str, ...], int, int]] = deque()
        self._max_documents = documents
        self._classes: Counter[str] = Counter()
        self._scores = [0] * len(reference.score.shares)
        self._tokens = [0] * len(reference.tokens.shares)
        self._lock = threading.Lock()

    def add(self, answers: Sequence[Answer]) -> None:
        """Add documents; the oldest are dropped."""
        with self._lock:
            for answer in answers:
                entry = (
                    answer.chosen or ("",),
                    self.reference.score.bin(float(answer.scores.max())),
                    self.reference.tokens.bin(answer.tokens),
                )
                self._count(entry, 1)
                self._last.append(entry)
                if len(self._last) > self._max_documents:
                    self._count(self._last.popleft(), -1)

    def _count(self, entry: tuple[tuple[str, ...], int, int], by: int) -> None:
        for name in entry[0]:
            self._classes[name] += by
        self._scores[entry[1]] += by
        self._tokens[entry[2]] += by

    def indices(self) -> dict[str, float]:
        """The index of the classes, the scores and the lengths, without those that chance could explain."""
        with self._lock:
            seen = len(self._last)
            if seen < MIN_DOCUMENTS:
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
            if len(reference) > 1 and index_by_chance(sum(share > 0 for share in reference), seen) <= MAX_CHANCE
        }
