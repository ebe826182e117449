"""Distributions of the documents on which a bundle was tested, with which a service compares those that it serves.

reference.json, with shares that sum to 1:

    {"split": "test", "documents": 3080,
     "classes": {NAME: share of all predicted classes, "": share of documents without one},
     "other_classes": share of all classes that are not listed,
     "score": {"edges": [0.61, 0.87, ...], "shares": [...]},     the highest score of a document
     "tokens": {"edges": [8, 11, ...], "shares": [...]}}         tokens of a document

Bin i holds values from edges[i-1] (inclusive) to edges[i] (exclusive); the first and the last bin are open, so there is
one more share than edges.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import DataError
from tagsmith.core.files import read_json, write_json

BINS = 10
"""Maximum number of bins: deciles, as usual for the population stability index."""
DOCUMENTS = 50
"""Documents per bin on average, so that chance in the reference adds at most 1/50 to the index; a split with fewer
documents has no reference."""
SCORE_STEP = 1e-4
"""Edges of scores are multiples of this, since the sixth decimal differs between machines."""


@dataclass(frozen=True)
class Histogram:
    """Shares [bins] between edges [bins - 1], see the module."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    def bin(self, value: float) -> int:
        return bisect.bisect_right(self.edges, value)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"edges": self.edges, "shares": self.shares}


@dataclass(frozen=True)
class Reference:
    """The distributions of one split, see the module.

    Attributes:
        classes: share of each class with a bin of its own; "" is for documents without a class.
        other_classes: share of all other classes together.
    """

    split: str
    documents: int
    classes: dict[str, float]
    other_classes: float
    score: Histogram
    tokens: Histogram

    def save(self, path: Path) -> None:
        """Write `reference.json`."""
        content = {"split": self.split, "documents": self.documents, "classes": self.classes}
        bins = {"score": self.score.as_dict(), "tokens": self.tokens.as_dict()}
        write_json(path, {**content, "other_classes": self.other_classes, **bins})

    @classmethod
    def load(cls, path: Path) -> "Reference | None":
        """Read `reference.json`; None if there is none, as in early bundles.

        Raises:
            DataError: it is not as the module describes.
        """
        if not path.is_file():
            return None
        expected = "documents, classes, score and tokens with edges and shares"
        found = read_json(path, cls._parse, expected, "export the run again")
        problems = [
            f"{name}: expected ascending edges and one more share than edges"
            for name, bins in (("score", found.score), ("tokens", found.tokens))
            if len(bins.shares) != len(bins.edges) + 1 or list(bins.edges) != sorted(bins.edges)
        ]
        shares = {"classes": (*found.classes.values(), found.other_classes)}
        shares |= {"score": found.score.shares, "tokens": found.tokens.shares}
        problems += [
            f"{name}: expected shares that sum to 1"
            for name, row in shares.items()
            if not (min(row) >= 0 and abs(sum(row) - 1) < 1e-6)
        ]
        if found.documents < 1:
            problems.append("documents: expected at least 1")
        if problems:
            raise DataError(f"{path}: {'; '.join(problems)}; export the run again.")
        return found

    @classmethod
    def _parse(cls, content: Any) -> "Reference":
        histograms = [
            Histogram(tuple(map(float, content[name]["edges"])), tuple(map(float, content[name]["shares"])))
            for name in ("score", "tokens")
        ]
        classes = {str(name): float(share) for name, share in content["classes"].items()}
        documents, other_classes = int(content["documents"]), float(content["other_classes"])
        return cls(str(content["split"]), documents, classes, other_classes, *histograms)


def reference_of(
    split: str,
    names: Sequence[str],
    predicted: NDArray[np.int8],
    scores: NDArray[np.float32],
    tokens: NDArray[np.int64],
) -> Reference:
    """The reference of a split with at least `DOCUMENTS` documents.

    Args:
        names: names of the classes.
        predicted, scores: [documents, classes].
        tokens: [documents], special tokens included.
    """
    documents = len(predicted)
    bins = 1 + documents // DOCUMENTS
    counts = {name: int(count) for name, count in zip(names, predicted.sum(axis=0), strict=True)}
    counts[""] = int((predicted.sum(axis=1) == 0).sum())
    total = sum(counts.values())
    common = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])
    # The last bin is for all other classes: the rare ones, and those that were never predicted.
    own = common if len(common) <= bins else common[: bins - 1]
    return Reference(
        split,
        documents,
        {name: counts[name] / total for name in own},
        sum(count for name, count in counts.items() if name not in own) / total,
        _histogram(scores.max(axis=1).astype(np.float64), min(BINS, bins), SCORE_STEP),
        _histogram(tokens.astype(np.float64), min(BINS, bins), 1.0),
    )


def _histogram(values: NDArray[np.float64], bins: int, step: float) -> Histogram:
    """Bins with about equal numbers of values [documents], none of them empty; edges are multiples of `step`."""
    drawn = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
    edges = np.unique((np.floor(drawn / step) * step).round(9))
    edges = edges[(edges > values.min()) & (edges <= values.max())]
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return Histogram(tuple(edges.tolist()), tuple((counts / len(values)).tolist()))
