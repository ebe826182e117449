"""The figures of `metrics` as a metric of the `evaluate` library, whose import takes seconds.

`evaluate.load("src/tagsmith/decision/evaluate_metric.py", "single_label")` loads it without a network.
"""

from typing import Any

import datasets
import evaluate
import numpy as np

from tagsmith.core.schema import indicators
from tagsmith.decision.metrics import figures


class ClassificationFigures(evaluate.Metric):  # type: ignore[misc]
    """`figures` as a metric of the `evaluate` library, with the configurations `single_label` and `multi_label`."""

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in ("single_label", "multi_label"):
            raise ValueError(f"expected the configuration single_label or multi_label, found {self.config_name!r}")
        label = datasets.Value("int64")
        return evaluate.MetricInfo(
            description="Per-class, micro, macro and weighted figures of a text classifier, from its scores.",
            citation="",
            inputs_description=(
                "predictions: scores, a list of one float per class for each document; "
                "references: the class id (single_label) or the list of class ids (multi_label) of each document."
            ),
            features=datasets.Features(
                {
                    "predictions": datasets.List(datasets.Value("float32")),
                    "references": datasets.List(label) if self.config_name == "multi_label" else label,
                }
            ),
        )

    def _compute(self, predictions: Any, references: Any, classes: list[str], threshold: float = 0.5) -> Any:
        multi_label = self.config_name == "multi_label"
        scores = np.asarray(predictions, dtype=np.float32)
        return figures(scores, indicators(references, len(classes)), classes, multi_label, threshold)
