"""What `if confidence > x` meant in a client, and the threshold of the successor that means the same; arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.decision.intervals import proportion

Floats = NDArray[np.float64]

CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Decisions:
    """What a client may act upon: of a single-label classifier the class of each document, else each class of each.

    Attributes:
        confidence: float64 [decisions].
        right: bool [decisions].
    """

    confidence: Floats
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, scores: NDArray[Any], predicted: NDArray[Any], truth: NDArray[Any], multi_label: bool) -> "Decisions":
        """From arrays [documents, classes]; a class that was not named has the score 0, and is no decision."""
        if multi_label:
            named = scores > 0
            return cls(scores[named].astype(np.float64), truth[named] == 1)
        at = np.arange(len(scores)), predicted.argmax(axis=1)
        return cls(scores[at].astype(np.float64), truth[at] == 1)

    def above(self, threshold: float) -> tuple[int, int]:
        """How many are above a confidence, and how many of these are right."""
        chosen = self.confidence > threshold
        return int(chosen.sum()), int(self.right[chosen].sum())


def thresholds(azure: Decisions, run: Decisions, confidences: Sequence[float] = CONFIDENCES) -> list[dict[str, Any]]:
    """For each confidence x of Azure, the confidence of the run above which as large a share of decisions is right.

    Returns:
        confidence (x) and `azure`: decisions above x, right ones, precision and its interval; `run`: the same of the
        lowest threshold with at least this precision, with `threshold`; `same_number`: the same of the threshold with
        as many decisions. None: Azure has no decision above x, or no threshold of the run reaches its precision.
    """
    cuts = _cuts(run)
    found = []
    for x in confidences:
        number, right = azure.above(x)
        row: dict[str, Any] = {"confidence": x, "azure": None, "run": None, "same_number": None}
        if number:
            row["azure"] = _about(number, right)
            # Exact in whole numbers: right / number of the run is at least that of Azure.
            reached = [cut for cut in cuts if cut[2] * number >= right * cut[1]]
            nearest = min(cuts, key=lambda cut: (abs(cut[1] - number), -cut[1]), default=None)
            for name, cut in (("run", reached[0] if reached else None), ("same_number", nearest)):
                row[name] = None if cut is None else {"threshold": round(cut[0], 4)} | _about(cut[1], cut[2])
        found.append(row)
    return found


def _cuts(run: Decisions) -> list[tuple[float, int, int]]:
    """Each threshold that separates decisions, the lowest first: (threshold, decisions above, right ones)."""
    order = np.argsort(-run.confidence, kind="stable")
    ordered, hits = run.confidence[order], np.cumsum(run.right[order])
    last = np.flatnonzero(np.append(np.diff(ordered) < 0, True)) if len(ordered) else np.zeros(0, dtype=np.int64)
    lower = np.append(ordered, 0.0)
    # Half-way to the next decision, so that new documents fall on both sides.
    return [(float((lower[i] + lower[i + 1]) / 2), int(i) + 1, int(hits[i])) for i in last[::-1]]


def _about(number: int, right: int) -> dict[str, Any]:
    return {"decisions": number, "right": right, "precision": right / number, "interval": proportion(right, number)}
