"""Settings of scores, thresholds and what goes to a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tagsmith.config.settings.fields import setting


class HeldOutFrom(Enum):
    """Documents that the model has not seen."""

    validation = "validation"
    out_of_fold = "out_of_fold"


@dataclass
class CalibrateSettings:
    """What is decided from scores, on documents that the model has not seen."""

    target_precision: float | None = setting(
        None,
        "single-label: share of right ones among the documents that are not sent to a person; null: 0.95. "
        "Multi-label: thresholds that give each class this precision; null: those of the best F1",
        low=0.01,
        high=0.9999,
    )
    target_recall: float | None = setting(
        None, "multi-label: thresholds that give each class this recall", low=0.01, high=0.9999
    )
    target_exact: float | None = setting(
        None,
        "multi-label: share of documents with all classes right among those that are not sent to a person; "
        "null: none is sent for its scores",
        low=0.01,
        high=0.9999,
    )
    coverage: float | None = setting(
        0.9, "how often the set of classes that may be holds all right ones; null: no sets", low=0.01, high=0.9999
    )
    coverage_by_class: bool = setting(
        False, "single-label: keep the coverage for the documents of each class by themselves; sets are larger"
    )
    costs: list[str] | None = setting(
        None,
        "what errors cost, as TRUE>PREDICTED=COST, or (multi-label) CLASS>=COST where it is missed and >CLASS=COST "
        "where it is invented; all others cost 1, and what costs least is predicted",
    )
    false_alarms: float | None = setting(
        0.05,
        "share of documents of the classes that may be taken for out of scope; null: nothing is out of scope",
        low=0.0001,
        high=0.5,
    )
    scope_documents: int = setting(
        5000,
        "most training documents, drawn with every class among them, that a document's distance is measured to",
        unit="documents",
        low=1,
    )

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
