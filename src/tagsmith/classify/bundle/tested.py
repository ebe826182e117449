"""How right a bundle was on the tagged documents on which it was tested, as a part of reference.json:

    "tested": {"accuracy": 0.93, "macro_f1": 0.91, "to_person": share, "out_of_scope": share,
     "distance": null, or edges and shares of the distances to the nearest training document,
     "edges": [0.001, ...], "documents": {"statements": [...], "scores": [...], "right": [...]},
     "pairs": null, or (multi-label) the same of all pairs of document and class}

`documents` and `pairs` say for each bin of scores how many statements there were, the sum of their scores, and how many
were right; see `decision.expected`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.classify.bundle.histogram import Histogram, histogram_of
from tagsmith.decision.expected import EDGES, Reliability
from tagsmith.decision.rule import Decisions

DISTANCE_STEP = 1e-4
"""Edges of distances are multiples of this."""


@dataclass(frozen=True)
class AtTest:
    """How right the bundle was, see the module.

    Attributes:
        accuracy, macro_f1: as `metrics.figures` defines them.
        to_person, out_of_scope: shares of the documents.
        distance: None if distances are not measured.
        pairs: None if single-label.
    """

    accuracy: float
    macro_f1: float
    to_person: float
    out_of_scope: float
    distance: Histogram | None
    documents: Reliability
    pairs: Reliability | None

    @classmethod
    def of(
        cls,
        truth: NDArray[np.int8],
        scores: NDArray[np.float32],
        decisions: Decisions,
        limit: float | None,
        multi_label: bool,
        bins: int,
    ) -> "AtTest":
        """Of tagged documents.

        Args:
            truth, scores: [documents, classes].
            limit: distance beyond which a document is out of scope; None: not detected.
            bins: maximum number of bins of the distances.
        """
        predicted = decisions.predicted
        right = (truth == predicted).all(axis=1)
        either = truth.sum(axis=0) + predicted.sum(axis=0)
        occurs = either > 0
        f1 = 2 * (truth & predicted).sum(axis=0)[occurs] / either[occurs]
        distances = decisions.distances
        distance = histogram_of(distances.astype(np.float64), bins, DISTANCE_STEP) if distances is not None else None
        return cls(
            float(right.mean()),
            float(f1.mean()) if len(f1) else 0.0,
            float(decisions.to_person.mean()),
            float((distances > limit).mean()) if distances is not None and limit is not None else 0.0,
            distance,
            Reliability.of(decisions.confidence, right),
            Reliability.of(scores, truth) if multi_label else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        figures = {name: getattr(self, name) for name in ("accuracy", "macro_f1", "to_person", "out_of_scope")}
        return {
            **figures,
            "distance": self.distance.as_dict() if self.distance is not None else None,
            "edges": list(EDGES),
            "documents": self.documents.as_dict(),
            "pairs": self.pairs.as_dict() if self.pairs is not None else None,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "AtTest":
        """The inverse of `as_dict`. Raises: KeyError, ValueError, TypeError."""
        if list(content["edges"]) != list(EDGES):
            raise ValueError("expected the edges of this version")
        figures = [float(content[name]) for name in ("accuracy", "macro_f1", "to_person", "out_of_scope")]
        if not all(0 <= figure <= 1 for figure in figures):
            raise ValueError("expected shares from 0 to 1")
        distance, pairs = content["distance"], content["pairs"]
        return cls(
            figures[0],
            figures[1],
            figures[2],
            figures[3],
            Histogram.from_dict(distance) if distance is not None else None,
            Reliability.from_dict(content["documents"]),
            Reliability.from_dict(pairs) if pairs is not None else None,
        )
