"""What classified documents without tags show: how right they are expected to be, and whether they are as at the test.

The expected figures come from scores alone (`decision.expected`). They hold while documents with equal scores are as
often right as those on which the bundle was tested, which is doubtful where other figures have changed; the report says
so.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tagsmith.classify.bundle.reference import Reference
from tagsmith.classify.drift import MIN_DOCUMENTS, Classified, Drift
from tagsmith.core.schema import Schema
from tagsmith.decision.expected import Expected, Reliability, Sums, expect

BLOCKS = 20
"""The most recent documents are kept as the sums of so many blocks, of which the oldest is dropped."""

LARGE_DRIFT = 0.25
"""From this population stability index on, expected figures are doubtful."""

MORE_FOREIGN = 0.05
"""By so much may the share of documents that are unlike all training documents exceed that at the test."""

MEANINGS = {
    "class": "the predicted classes",
    "score": "the scores",
    "distance": "the distances to the nearest training document",
}


class _Block:
    """Sums over documents that came one after the other."""

    def __init__(self, classes: int, multi_label: bool):
        self.sums = Sums(classes, multi_label)
        self.to_person = self.foreign = 0


@dataclass(frozen=True)
class Report:
    """What documents show.

    Attributes:
        expected: None: there are no documents.
        to_person, out_of_scope: shares of the documents.
        drift: population stability indices by what they compare.
        doubts: why the expected figures cannot be trusted; empty: they can be.
    """

    documents: int
    expected: Expected | None
    to_person: float
    out_of_scope: float
    drift: dict[str, float]
    doubts: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; without the figures of each class."""
        found = self.expected
        return {
            "documents": self.documents,
            "accuracy": found.accuracy.as_dict() if found is not None else None,
            "macro_f1": found.macro_f1.as_dict() if found is not None else None,
            "trusted": not self.doubts,
            "doubts": list(self.doubts),
            "to_person": round(self.to_person, 6),
            "out_of_scope": round(self.out_of_scope, 6),
            "drift": {name: round(index, 6) for name, index in self.drift.items()},
        }


class Production:
    """The most recent documents that a bundle has classified. Several threads may add to it.

    Args:
        reference: of the bundle; None: it has none.
        documents: how many of them to keep, give or take a block; None: all, in memory that does not grow with them.
    """

    def __init__(self, schema: Schema, reference: Reference | None, documents: int | None):
        self.reference = reference
        self.drift = Drift(reference, documents) if reference is not None else None
        self._shape = len(schema.classes), schema.multi_label
        self._positions = schema.label2id
        self._per_block = None if documents is None else max(1, documents // BLOCKS)
        self._blocks = deque([_Block(*self._shape)], maxlen=BLOCKS if documents is not None else 1)
        self._lock = threading.Lock()

    def add(self, documents: Sequence[Classified]) -> None:
        """Add classified documents; the oldest are dropped."""
        if not documents:
            return
        if self.drift is not None:
            self.drift.add(documents)
        scores = np.stack([document.scores for document in documents])
        predicted = np.zeros(scores.shape, dtype=np.int8)
        for i, document in enumerate(documents):
            predicted[i, [self._positions[name] for name in document.chosen]] = 1
        confidence = np.array([document.confidence for document in documents], dtype=np.float32)
        with self._lock:
            block = self._blocks[-1]
            if self._per_block is not None and block.sums.documents >= self._per_block:
                block = _Block(*self._shape)
                self._blocks.append(block)
            block.sums.add(scores, predicted, confidence)
            block.to_person += sum(document.to_person for document in documents)
            block.foreign += sum(document.foreign for document in documents)

    def report(self) -> Report:
        """What the documents show."""
        with self._lock:
            sums = Sums.total((block.sums for block in self._blocks), *self._shape)
            to_person, foreign = (
                sum(getattr(block, name) for block in self._blocks) for name in ("to_person", "foreign")
            )
        count = sums.documents
        tested = self.reference.tested if self.reference is not None else None
        drift = self.drift.indices() if self.drift is not None else {}
        if not count:
            return Report(0, None, 0.0, 0.0, drift, ("there are no documents",))
        if tested is None:
            nothing = Reliability.unknown()
            expected = expect(sums, nothing, nothing)
        else:
            expected = expect(sums, tested.documents, tested.pairs)
        doubts = self._doubts(count, foreign / count, drift)
        return Report(count, expected, to_person / count, foreign / count, drift, tuple(doubts))

    def _doubts(self, count: int, foreign: float, drift: dict[str, float]) -> list[str]:
        found = []
        tested = self.reference.tested if self.reference is not None else None
        if count < MIN_DOCUMENTS:
            found.append(f"there are {count} documents; expected at least {MIN_DOCUMENTS}")
        if tested is None:
            found.append("the bundle does not say how right its scores were at the test; export the run again")
        elif foreign > tested.out_of_scope + MORE_FOREIGN:
            share = f"{foreign:.1%} of the documents are unlike all training documents"
            found.append(f"{share}; at the test it was {tested.out_of_scope:.1%}")
        # Distances say more than scores about whether documents are of another kind.
        kinds = ("class", "distance") if "distance" in drift else ("class", "score")
        for kind in kinds:
            if drift.get(kind, 0.0) > LARGE_DRIFT:
                index = f"a population stability index of {drift[kind]:.2f}, above {LARGE_DRIFT:g}"
                found.append(f"{MEANINGS[kind]} have drifted: {index}")
        return found
