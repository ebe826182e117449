"""Parity of a format with the trained model: a certificate over a whole split, and the allowed differences."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import counted
from tagsmith.core.schema import Schema
from tagsmith.decision.metrics import figures
from tagsmith.decision.rule import DecisionRule, Decisions

Floats = NDArray[np.float32]

TOLERANCE = 1e-3
"""Largest difference of a score, or of a distance to training documents, in single precision."""
F1_LOST = 0.003
"""Largest loss of macro F1 that 8-bit integers may cause."""


@dataclass(frozen=True)
class Answers:
    """The answers about the documents of a split: scores float32 [documents, classes], and decisions."""

    scores: Floats
    decisions: Decisions


@dataclass(frozen=True)
class Certificate:
    """A format compared with the trained model, over the documents of a split.

    Attributes:
        largest_score_difference: over all documents and classes.
        largest_distance_difference: the same for distances to training documents; None: not measured.
        labels_differ: number of documents with another label, or other labels.
        decisions_differ: number of documents with the same labels, but another `to_person` or set of classes. Documents
            within `TOLERANCE` of the limit of the scope are not counted.
        macro_f1, micro_f1: F1 of this format.
        macro_f1_lost, micro_f1_lost: F1 of the trained model minus that of this format.
    """

    split: str
    documents: int
    largest_score_difference: float
    largest_distance_difference: float | None
    labels_differ: int
    decisions_differ: int
    macro_f1: float
    micro_f1: float
    macro_f1_lost: float
    micro_f1_lost: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def same(self) -> bool:
        """Whether no label or decision differs, and scores differ only by rounding."""
        largest = max(self.largest_score_difference, self.largest_distance_difference or 0.0)
        return largest <= TOLERANCE and not self.labels_differ and not self.decisions_differ

    def describe(self) -> str:
        """The certificate in one line."""
        several = f"{counted(self.labels_differ, 'label')} {'differs' if self.labels_differ == 1 else 'differ'}"
        labels = several if self.labels_differ else "no label differs"
        tested = counted(self.documents, f"{self.split} document")
        lost = f", {100 * self.macro_f1_lost:.2f} points of macro F1 lost" if self.labels_differ else ""
        return f"parity over {tested}: largest score difference {self.largest_score_difference:.1e}, {labels}{lost}"


def certify(
    split: str, rule: DecisionRule, model: Answers, found: Answers, truth: NDArray[np.int8], schema: Schema
) -> Certificate:
    """Compare the answers of a format with those of the trained model.

    Args:
        truth: int8 [documents, classes].
    """
    labels = (found.decisions.predicted != model.decisions.predicted).any(axis=1)
    others = found.decisions.to_person != model.decisions.to_person
    if found.decisions.sets is not None and model.decisions.sets is not None:
        others |= (found.decisions.sets != model.decisions.sets).any(axis=1)
    apart = None
    if rule.scope is not None and found.decisions.distances is not None and model.decisions.distances is not None:
        apart = float(np.abs(found.decisions.distances - model.decisions.distances).max())
        others &= np.abs(model.decisions.distances - rule.scope.limit) > TOLERANCE
    figures_of = [
        figures(one.scores, truth, list(schema.classes), schema.multi_label, 0.5, one.decisions.predicted)
        for one in (model, found)
    ]
    before, after = ({name: one[name]["f1"] for name in ("macro", "micro")} for one in figures_of)
    return Certificate(
        split=split,
        documents=len(truth),
        largest_score_difference=float(np.abs(found.scores - model.scores).max()),
        largest_distance_difference=apart,
        labels_differ=int(labels.sum()),
        decisions_differ=int((others & ~labels).sum()),
        macro_f1=after["macro"],
        micro_f1=after["micro"],
        macro_f1_lost=before["macro"] - after["macro"],
        micro_f1_lost=before["micro"] - after["micro"],
    )


@dataclass(frozen=True)
class ParityTest:
    """The documents that every format must classify as the trained model does.

    Attributes:
        split: name of their split.
        texts: their texts.
        truth: int8 [documents, classes].
        rule: the rule of the bundle, for logits that are already scaled and shifted.
        model: the answers of the trained model.
    """

    split: str
    texts: list[str]
    truth: NDArray[Any]
    schema: Schema
    rule: DecisionRule
    model: Answers

    def certify(self, found: Answers) -> Certificate:
        return certify(self.split, self.rule, self.model, found, self.truth, self.schema)
