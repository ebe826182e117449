"""Whether a decision rule keeps its promises on documents that it was not chosen on: the figures of an evaluation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tagsmith.core.schema import Schema
from tagsmith.decision.calibration import calibration_error, certainty, reliability
from tagsmith.decision.conformal import set_figures
from tagsmith.decision.metrics import mean_log_loss
from tagsmith.decision.rule import DecisionRule, Decisions
from tagsmith.decision.scope import Scope
from tagsmith.decision.thresholds import coverage_curve

Floats = NDArray[np.float32]


def quality(scores: Floats, truth: NDArray[np.int8], multi_label: bool) -> dict[str, float]:
    """Calibration error (`ece`) and log loss of scores and truth, both [documents, classes]."""
    error = calibration_error(*certainty(scores, truth, multi_label))
    return {"ece": error, "log_loss": mean_log_loss(scores, truth, multi_label)}


def before_and_after(before: Floats, after: Floats, truth: NDArray[np.int8], multi_label: bool) -> dict[str, float]:
    """`quality` of two tables of scores: ece_before, ece_after, log_loss_before, log_loss_after."""
    found = {"before": quality(before, truth, multi_label), "after": quality(after, truth, multi_label)}
    return {f"{name}_{when}": found[when][name] for name in ("ece", "log_loss") for when in found}


def decision_figures(
    rule: DecisionRule,
    logits: Floats,
    decisions: Decisions,
    foreign: Floats | None,
    truth: NDArray[np.int8],
    schema: Schema,
) -> dict[str, Any]:
    """The figures of a rule on documents, ready for JSON.

    Args:
        logits: float32 [documents, classes].
        decisions: of the rule on these documents.
        foreign: float32 [texts], distances of texts that belong to none of the classes; None: there are none.
        truth: int8 [documents, classes].

    Returns:
        scores, thresholds (multi-label), coverage, operating_point, not_promised, conformal, out_of_scope; None where
        the rule does not decide it.
    """
    after = rule.scores(logits)
    right = (decisions.predicted == truth).all(axis=1)
    about = rule.about
    found: dict[str, Any] = {
        "scores": {
            "calibrated": rule.calibrated,
            "from": about.get("from"),
            "temperature": _temperature(rule, schema),
            **before_and_after(DecisionRule.plain(schema, 0.5).scores(logits), after, truth, schema.multi_label),
            "reliability": reliability(*certainty(after, truth, schema.multi_label)),
        }
    }
    if schema.multi_label:
        found["thresholds"] = dict(zip(schema.classes, rule.thresholds, strict=True))
        found["scores"]["shift"] = dict(zip(schema.classes, rule.shift, strict=True))
    found["coverage"] = coverage_curve(decisions.confidence, right)
    found["operating_point"] = None
    if rule.abstain_below is not None:
        handled = ~decisions.to_person
        found["operating_point"] = {
            "target_precision": about["target"],
            "threshold": rule.abstain_below,
            "coverage": float(handled.mean()),
            "precision": float(right[handled].mean()) if handled.any() else None,
        }
    found["not_promised"] = about.get("not_promised")
    found["conformal"] = None if decisions.sets is None else set_figures(decisions.sets, truth, about["coverage"])
    found["out_of_scope"] = _scope_figures(rule.scope, decisions.distances, foreign, about)
    return found


def _temperature(rule: DecisionRule, schema: Schema) -> float | dict[str, float]:
    if not schema.multi_label:
        return 1 / rule.scale[0]
    return {name: 1 / scale for name, scale in zip(schema.classes, rule.scale, strict=True)}


def _scope_figures(
    scope: Scope | None, distances: Floats | None, foreign: Floats | None, about: Any
) -> dict[str, Any] | None:
    if scope is None or distances is None:
        return None
    far = [np.zeros(len(distances)), np.ones(len(foreign))] if foreign is not None else None
    return {
        "threshold": scope.limit,
        "false_alarm_rate_wanted": about["false_alarms"],
        "false_alarm_rate_found": float((distances > scope.limit).mean()),
        "detection_rate": float((foreign > scope.limit).mean()) if foreign is not None else None,
        "auroc": float(roc_auc_score(np.concatenate(far), np.concatenate([distances, foreign]))) if far else None,
    }
