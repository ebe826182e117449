"""Drift of classified documents from those on which the bundle was tested: the population stability index."""

import math
import threading
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from tagsmith.classify.bundle.histogram import Histogram
from tagsmith.classify.bundle.reference import Reference

MIN_DOCUMENTS = 100
"""With fewer documents no index is reported."""
MAX_CHANCE = 0.03
"""No index is reported while chance alone would cause more than this: with ten bins 300 documents are enough, and 0.1
is then five standard deviations away."""

FLOOR = 1e-4
"""Replaces a share of zero, which would make the index infinite."""


class Classified(Protocol):
    """A classified document: scores float32 [classes], the predicted classes, and what else is known about it.

    `confidence` is as in `Decisions`, `out_of_scope` the distance to the nearest training document (None: not
    measured), `foreign` whether it exceeds the limit; `tokens` is None where they were not counted.
    """

    @property
    def scores(self) -> NDArray[Any]: ...
    @property
    def chosen(self) -> tuple[str, ...]: ...
    @property
    def confidence(self) -> float: ...
    @property
    def to_person(self) -> bool: ...
    @property
    def foreign(self) -> bool: ...
    @property
    def out_of_scope(self) -> float | None: ...
    @property
    def tokens(self) -> int | None: ...


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
    """The most recent documents, compared with the reference.

    Args:
        documents: how many of them to keep; None: all, in memory that does not grow with them.
    """

    def __init__(self, reference: Reference, documents: int | None):
        self.reference = reference
        tested = reference.tested
        self._histograms: dict[str, Histogram] = {"score": reference.score, "tokens": reference.tokens}
        if tested is not None and tested.distance is not None:
            self._histograms["distance"] = tested.distance
        self._last: deque[tuple[tuple[str, ...], dict[str, int]]] = deque()
        self._max_documents, self._seen = documents, 0
        self._classes: Counter[str] = Counter()
        self._counts = {name: [0] * len(histogram.shares) for name, histogram in self._histograms.items()}
        self._lock = threading.Lock()

    def add(self, documents: Sequence[Classified]) -> None:
        """Add documents; the oldest are dropped."""
        with self._lock:
            for document in documents:
                values = {
                    "score": float(document.scores.max()),
                    "tokens": document.tokens,
                    "distance": document.out_of_scope,
                }
                bins = {
                    name: histogram.bin(value)
                    for name, histogram in self._histograms.items()
                    if (value := values[name]) is not None
                }
                entry = document.chosen or ("",), bins
                self._count(entry, 1)
                if self._max_documents is not None:
                    self._last.append(entry)
                    if len(self._last) > self._max_documents:
                        self._count(self._last.popleft(), -1)

    def _count(self, entry: tuple[tuple[str, ...], dict[str, int]], by: int) -> None:
        self._seen += by
        for name in entry[0]:
            self._classes[name] += by
        for name, place in entry[1].items():
            self._counts[name][place] += by

    def indices(self) -> dict[str, float]:
        """The index of the classes, the scores, the lengths and the distances to the nearest training document.

        Without those that were not measured for every document, or that chance could explain.
        """
        with self._lock:
            seen = self._seen
            if seen < MIN_DOCUMENTS:
                return {}
            own = self.reference.classes
            counts = [self._classes[name] for name in own]
            others = sum(self._classes.values()) - sum(counts)
            compared = {"class": ([*own.values(), self.reference.other_classes], [*counts, others])} | {
                name: (list(histogram.shares), list(self._counts[name]))
                for name, histogram in self._histograms.items()
                if sum(self._counts[name]) == seen
            }
        return {
            name: population_stability_index(reference, [count / sum(counts) for count in counts])
            for name, (reference, counts) in compared.items()
            if len(reference) > 1 and index_by_chance(sum(share > 0 for share in reference), seen) <= MAX_CHANCE
        }
