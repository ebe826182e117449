"""Distributions of the documents on which a bundle was tested, with which a service compares those that it serves.

reference.json, with shares that sum to 1:

    {"split": "test", "documents": 3080,
     "classes": {NAME: share of all predicted classes, "": share of documents without one},
     "other_classes": share of all classes that are not listed,
     "score": {"edges": [0.61, 0.87, ...], "shares": [...]},     the highest score of a document
     "tokens": {"edges": [8, 11, ...], "shares": [...]},         tokens of a document
     "tested": {...}}                                            how right it was, see `tested`; not in early bundles
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.classify.bundle.histogram import Histogram, histogram_of, is_distribution
from tagsmith.classify.bundle.tested import AtTest
from tagsmith.core.files import read_json, write_json

BINS = 10
"""Maximum number of bins: deciles, as usual for the population stability index."""
DOCUMENTS = 50
"""Documents per bin on average, so that chance in the reference adds at most 1/50 to the index; a split with fewer
documents has no reference."""
SCORE_STEP = 1e-4
"""Edges of scores are multiples of this, since the sixth decimal differs between machines."""


@dataclass(frozen=True)
class Reference:
    """The distributions of one split, see the module.

    Attributes:
        classes: share of each class with a bin of its own; "" is for documents without a class.
        other_classes: share of all other classes together.
        tested: None in early bundles.
    """

    split: str
    documents: int
    classes: dict[str, float]
    other_classes: float
    score: Histogram
    tokens: Histogram
    tested: AtTest | None = None

    def save(self, path: Path) -> None:
        """Write `reference.json`."""
        content = {"split": self.split, "documents": self.documents, "classes": self.classes}
        bins = {"score": self.score.as_dict(), "tokens": self.tokens.as_dict()}
        tested = {"tested": self.tested.as_dict()} if self.tested is not None else {}
        write_json(path, {**content, "other_classes": self.other_classes, **bins, **tested})

    @classmethod
    def load(cls, path: Path) -> "Reference | None":
        """Read `reference.json`; None if there is none, as in early bundles.

        Raises:
            DataError: it is not as the module describes.
        """
        if not path.is_file():
            return None
        return read_json(path, cls._parse, "classes, score and tokens with edges and shares", "export the run again")

    @classmethod
    def _parse(cls, content: Any) -> "Reference":
        classes = {str(name): float(share) for name, share in content["classes"].items()}
        documents, other_classes = int(content["documents"]), float(content["other_classes"])
        if documents < 1:
            raise ValueError("documents: expected at least 1")
        if not is_distribution((*classes.values(), other_classes)):
            raise ValueError("classes: expected shares that sum to 1")
        tested = content.get("tested")
        return cls(
            str(content["split"]),
            documents,
            classes,
            other_classes,
            Histogram.from_dict(content["score"]),
            Histogram.from_dict(content["tokens"]),
            AtTest.from_dict(tested) if tested is not None else None,
        )


def reference_of(
    split: str,
    names: Sequence[str],
    predicted: NDArray[np.int8],
    scores: NDArray[np.float32],
    tokens: NDArray[np.int64],
    tested: AtTest | None = None,
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
        histogram_of(scores.max(axis=1).astype(np.float64), bins_for(documents), SCORE_STEP),
        histogram_of(tokens.astype(np.float64), bins_for(documents), 1.0),
        tested,
    )


def bins_for(documents: int) -> int:
    """The number of bins of a histogram of so many documents."""
    return min(BINS, 1 + documents // DOCUMENTS)
