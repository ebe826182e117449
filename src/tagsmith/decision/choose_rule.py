"""Choose the decision rule of a run or of a baseline, from its logits of documents that it has not seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.schema import Schema
from tagsmith.decision.calibration import fit_scaling
from tagsmith.decision.metrics import mean_log_loss
from tagsmith.decision.rule import DecisionRule, cost_matrix, split_pair
from tagsmith.decision.thresholds import class_thresholds, thresholds_of_costs

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Goal:
    """What thresholds are chosen for, see `CalibrateSettings`; with no field set, for the best F1.

    Attributes:
        costs: "TRUE>PREDICTED" -> what that error costs.
    """

    costs: Mapping[str, float] = field(default_factory=dict)
    target_precision: float | None = None
    target_recall: float | None = None


def choose_rule(
    logits: Floats, truth: NDArray[np.int8], schema: Schema, threshold: float, goal: Goal
) -> tuple[DecisionRule, Floats, list[int]]:
    """Choose the scaling and (multi-label) the thresholds, on scores whose scaling has not seen the document.

    If these scores have a higher log loss than those of the model, there is no scaling.

    Args:
        logits: float32 [documents, classes], of documents that the model has not seen.
        truth: int8 [documents, classes].
        threshold: of every class while none is chosen (single-label).

    Returns:
        The rule; these scores, float32 [documents, classes]; and the positions of classes that reach the target at no
        threshold.
    """
    costs = goal.costs
    scale, shift = fit_scaling(logits, truth, schema.multi_label)
    scores = unseen_scores(logits, truth, schema)
    plain, failed = DecisionRule.plain(schema, threshold), list[int]()
    uncalibrated = plain.scores(logits)
    if mean_log_loss(scores, truth, schema.multi_label) > mean_log_loss(uncalibrated, truth, schema.multi_label):
        # Too few documents to learn a scaling from: it helps those that it saw and harms others.
        scale, shift, scores = np.ones_like(scale), np.zeros_like(shift), uncalibrated
    thresholds = plain.thresholds
    if schema.multi_label and costs:
        found = thresholds_of_costs({split_pair(pair, schema): cost for pair, cost in costs.items()}, schema.classes)
        thresholds = tuple(map(float, found))
    elif schema.multi_label:
        found, failed = class_thresholds(scores, truth, goal.target_precision, goal.target_recall)
        thresholds = tuple(map(float, found))
    rule = replace(
        plain,
        scale=tuple(map(float, scale)),
        shift=tuple(map(float, shift)),
        thresholds=thresholds,
        costs=costs,
        matrix=cost_matrix(costs, schema) if costs and not schema.multi_label else None,
    )
    return rule, scores, failed


def unseen_scores(logits: Floats, truth: NDArray[np.int8], schema: Schema, parts: int = 5) -> Floats:
    """Calibrated scores float32 [documents, classes], each from a scaling that has not seen the document."""
    scores = np.empty_like(logits)
    part = np.random.default_rng(0).permutation(len(logits)) % min(parts, len(logits))
    for number in np.unique(part):
        inside = part != number if len(logits) > 1 else part == number
        scale, shift = fit_scaling(logits[inside], truth[inside], schema.multi_label)
        rule = DecisionRule(schema.multi_label, tuple(scale), tuple(shift), ())
        scores[part == number] = rule.scores(logits[part == number])
    return scores
