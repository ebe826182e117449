"""From logits of documents that a model has not seen to the rule that suits it, a run's or a baseline's."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.schema import Schema
from tagsmith.decision.calibration import fit_scaling
from tagsmith.decision.metrics import mean_log_loss
from tagsmith.decision.rule import DecisionRule, cost_matrix, split_pair
from tagsmith.decision.thresholds import class_thresholds, thresholds_of_costs

Floats = NDArray[np.float32]


def chosen_rule(
    logits: Floats, truth: NDArray[np.int8], schema: Schema, threshold: float, costs: Mapping[str, float],
    target_precision: float | None, target_recall: float | None,
) -> tuple[DecisionRule, Floats, list[int]]:  # fmt: skip
    """Scaling, and multi-label thresholds, chosen on scores whose scaling has not seen the document.

    Where these scores are worse (log loss) than those that the model gives, there is no scaling.

    Args:
        logits: float32 [documents, classes], of documents that the model has not seen.
        truth: int8 [documents, classes].
        threshold: of every class, as long as none is chosen (single-label).
        costs, target_precision, target_recall: what thresholds are chosen for, see `CalibrateSettings`.

    Returns:
        The rule; these scores, float32 [documents, classes]; and the positions of classes that reach the target at no
        threshold.
    """
    scale, shift = fit_scaling(logits, truth, schema.multi_label)
    scores = unseen_scores(logits, truth, schema)
    plain, failed = DecisionRule.plain(schema, threshold), list[int]()
    uncalibrated = plain.scores(logits)
    if mean_log_loss(scores, truth, schema.multi_label) > mean_log_loss(uncalibrated, truth, schema.multi_label):
        # Too few documents to learn a scaling from: what helps those that it saw harms others.
        scale, shift, scores = np.ones_like(scale), np.zeros_like(shift), uncalibrated
    thresholds = plain.thresholds
    if schema.multi_label and costs:
        found = thresholds_of_costs({split_pair(pair, schema): cost for pair, cost in costs.items()}, schema.classes)
        thresholds = tuple(map(float, found))
    elif schema.multi_label:
        found, failed = class_thresholds(scores, truth, target_precision, target_recall)
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
    """Calibrated scores float32 [documents, classes], each by a scaling that has not seen the document."""
    scores = np.empty_like(logits)
    part = np.random.default_rng(0).permutation(len(logits)) % min(parts, len(logits))
    for number in np.unique(part):
        inside = part != number if len(logits) > 1 else part == number
        scale, shift = fit_scaling(logits[inside], truth[inside], schema.multi_label)
        rule = DecisionRule(schema.multi_label, tuple(scale), tuple(shift), ())
        scores[part == number] = rule.scores(logits[part == number])
    return scores
