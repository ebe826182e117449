"""Settings of calibration, thresholds and routing to a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from tagsmith.config.settings.fields import setting


class HeldOutFrom(Enum):
    """Source of documents that the model has not been trained on."""

    validation = "validation"
    out_of_fold = "out_of_fold"


@dataclass
class CalibrateSettings:
    """How scores become decisions, fitted on held-out documents."""

    target_precision: float | None = setting(
        None,
        "single-label: accuracy among the documents that are not routed to a person; null: 0.95. "
        "Multi-label: thresholds with this precision for each class; null: those with the best F1",
        low=0.01,
        high=0.9999,
    )
    target_recall: float | None = setting(
        None, "multi-label: thresholds with this recall for each class", low=0.01, high=0.9999
    )
    target_exact: float | None = setting(
        None,
        "multi-label: share of documents with exactly the right classes among those not routed to a person; "
        "null: no document is routed because of its scores",
        low=0.01,
        high=0.9999,
    )
    coverage: float | None = setting(
        0.9,
        "share of documents whose prediction set has all their classes; null: no prediction sets",
        low=0.01,
        high=0.9999,
    )
    coverage_by_class: bool = setting(False, "single-label: reach the coverage within each class; sets are larger")
    costs: list[str] | None = setting(
        None,
        "cost of errors, as TRUE>PREDICTED=COST, or (multi-label) CLASS>=COST for a false negative and >CLASS=COST "
        "for a false positive; all others cost 1, and the prediction has the lowest expected cost",
    )
    false_alarms: float | None = setting(
        0.05,
        "accepted share of in-scope documents flagged as out of scope; null: no out-of-scope detection",
        low=0.0001,
        high=0.5,
    )

    # A constant, by the name that it had as a setting.
    scope_documents: ClassVar[int] = 5000
    """Maximum number of training documents, drawn with every class, for the distance of out-of-scope detection."""

    def problems(self) -> Iterator[str]:
        if self.target_precision is not None and self.target_recall is not None:
            yield "target_precision, target_recall: expected at most one of them, found both"
        for text in self.costs or []:
            if (wrong := _cost_problem(text)) is not None:
                yield f"costs: {wrong}"

    def named_costs(self) -> dict[str, float]:
        """The costs by "TRUE>PREDICTED"."""
        return {pair: float(cost) for pair, _, cost in (text.rpartition("=") for text in self.costs or [])}


def _cost_problem(text: str) -> str | None:
    pair, _, cost = text.rpartition("=")
    try:
        usable = ">" in pair and 0 <= float(cost) < float("inf")
    except ValueError:
        usable = False
    return None if usable else f"expected TRUE>PREDICTED=COST with a cost of at least 0, found {text!r}"
