"""What the documents looked like that a bundle was tested on: what a service compares with what it sees.

reference.json, shares that sum to 1 each:

    {"split": "test", "documents": 3080,
     "classes": {NAME: share of all predicted classes, "": share of documents without one},
     "other_classes": share of all classes that are not named,
     "score": {"edges": [0.61, 0.87, ...], "shares": [...]},     the highest score of a document
     "tokens": {"edges": [8, 11, ...], "shares": [...]}}         tokens of a document

Bin i holds values from edges[i-1] (inclusive) to edges[i] (exclusive); the first and the last bin are open, so there is
one share more than edges.
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
"""Most bins of a figure: deciles, as is usual for the index that compares them."""
DOCUMENTS = 50
"""Documents a bin, on average, so that chance in the reference adds no more than 1/50 to the index; fewer in all are no
reference."""
SCORE_STEP = 1e-4
"""Edges of scores are multiples of it: the sixth decimal differs between machines."""


@dataclass(frozen=True)
class Histogram:
    """Shares [bins] of a figure between edges [bins - 1], see the module."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    def bin(self, value: float) -> int:
        return bisect.bisect_right(self.edges, value)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"edges": self.edges, "shares": self.shares}


@dataclass(frozen=True)
class Reference:
    """The documents of one split, as the module describes them.

    Attributes:
        classes: share of each class that has a bin of its own; "" stands for documents without one.
        other_classes: share of all others together.
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
        """What `save` wrote; None where there is no such file: bundles had none at first.

        Raises:
            DataError: it is not what the module describes.
        """
        if not path.is_file():
            return None
        expected = "documents, classes, score and tokens with edges and shares"
        found = read_json(path, cls._parse, expected, "export the run again")
        problems = [
            f"{name}: expected rising edges and one share more than edges"
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
    """The reference of the documents of a split, at least `DOCUMENTS`.

    Args:
        names: of the classes.
        predicted, scores: [documents, classes].
        tokens: [documents], special tokens included.
    """
    documents = len(predicted)
    bins = 1 + documents // DOCUMENTS
    counts = {name: int(count) for name, count in zip(names, predicted.sum(axis=0), strict=True)}
    counts[""] = int((predicted.sum(axis=1) == 0).sum())
    total = sum(counts.values())
    common = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])
    # The last bin is that of all classes that have none: the rare ones, and those that were never predicted.
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
    """About equally full bins of values [documents], none of them empty; edges are multiples of `step`."""
    drawn = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
    edges = np.unique((np.floor(drawn / step) * step).round(9))
    edges = edges[(edges > values.min()) & (edges <= values.max())]
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return Histogram(tuple(edges.tolist()), tuple((counts / len(values)).tolist()))
