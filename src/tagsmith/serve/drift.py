"""How far what the service sees has moved from what the bundle was tested on: the population stability index.

The reference is the optional object `reference` of a bundle's decision.json, written from its test documents:

    {"documents": 3080,
     "classes": {NAME: share of all predicted classes, "": share of documents without one},
     "score": {"edges": [0.1, ..., 0.9], "shares": [...]},     the highest score of a document
     "tokens": {"edges": [8, 16, ...], "shares": [...]}}        tokens of a document

Bin i holds values from edges[i-1] (inclusive) to edges[i] (exclusive); the first and the last bin are open, so there is
one share more than edges. Shares of each of the three sum to 1.
"""

import bisect
import json
import math
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.bundle.contents import DECISION
from tagsmith.errors import DataError
from tagsmith.serve.answers import Answer

LEAST = 100
"""Documents below which no index is told: it would be chance."""

FLOOR = 1e-4
"""A share of nothing would make the index infinite; it counts as this one."""


def population_stability_index(reference: Sequence[float], actual: Sequence[float]) -> float:
    """Sum of (actual - reference) * ln(actual / reference) over bins; both are shares [bins] that sum to 1.

    The usual reading: below 0.1 nothing has moved, above 0.25 much has. (Siddiqi, Credit Risk Scorecards, 2006)
    """
    pairs = [(max(r, FLOOR), max(a, FLOOR)) for r, a in zip(reference, actual, strict=True)]
    return sum((a - r) * math.log(a / r) for r, a in pairs)


@dataclass(frozen=True)
class Histogram:
    """Shares [bins] of a figure between edges [bins - 1], see the module."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    def bin(self, value: float) -> int:
        return bisect.bisect_right(self.edges, value)


@dataclass(frozen=True)
class Reference:
    """What the bundle's test documents looked like."""

    classes: dict[str, float]
    score: Histogram
    tokens: Histogram

    @classmethod
    def load(cls, bundle: Path) -> "Reference | None":
        """That of a bundle, None where it holds none.

        Raises:
            DataError: it is not what the module describes.
        """
        path = bundle / DECISION
        content: Any = json.loads(path.read_text(encoding="utf-8")).get("reference")
        if content is None:
            return None
        try:
            histograms = [
                Histogram(tuple(map(float, content[name]["edges"])), tuple(map(float, content[name]["shares"])))
                for name in ("score", "tokens")
            ]
            reference = cls({str(name): float(share) for name, share in content["classes"].items()}, *histograms)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{path}: reference: expected classes, score and tokens with edges and shares: {error!r}."
            ) from error
        for name, histogram in (("score", reference.score), ("tokens", reference.tokens)):
            if len(histogram.shares) != len(histogram.edges) + 1 or list(histogram.edges) != sorted(histogram.edges):
                raise DataError(f"{path}: reference.{name}: expected rising edges and one share more than edges.")
        return reference


class Drift:
    """The last documents of a deployment beside the reference."""

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
        """The index of the classes, of the scores and of the lengths; empty below `LEAST` documents."""
        with self._lock:
            if len(self._last) < LEAST:
                return {}
            names = sorted(self.reference.classes.keys() | self._classes.keys())
            compared = {
                "class": ([self.reference.classes.get(n, 0.0) for n in names], [self._classes[n] for n in names]),
                "score": (list(self.reference.score.shares), list(self._scores)),
                "tokens": (list(self.reference.tokens.shares), list(self._tokens)),
            }
        return {
            name: population_stability_index(reference, [count / sum(counts) for count in counts])
            for name, (reference, counts) in compared.items()
        }
