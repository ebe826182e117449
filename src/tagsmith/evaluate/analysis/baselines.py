"""Baselines on the same documents: the probe, and TF-IDF with a linear support vector machine."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.schema import Schema
from tagsmith.decision.bootstrap import contributions, difference
from tagsmith.decision.choose_rule import Goal, choose_rule
from tagsmith.decision.intervals import overall
from tagsmith.decision.rule import DecisionRule
from tagsmith.evaluate.tfidf import fit_and_predict, margins
from tagsmith.model.probe import fit_head, probe_c

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]
Indicators = NDArray[np.int8]


def probe_logits(vectors: Floats, truth: Indicators, new_vectors: Floats, multi_label: bool) -> Floats:
    """Logits float32 [documents, classes] of a logistic regression for `new_vectors` [documents, hidden].

    Args:
        vectors: float32 [training documents, hidden], from `PretrainedEncoder`.
        truth: int8 [training documents, classes].
    """
    if not multi_label and len(present := np.flatnonzero(truth.any(axis=0))) == 1:
        only = np.zeros((len(new_vectors), truth.shape[1]), dtype=np.float32)
        only[:, present] = 1
        return only  # A regression needs two classes.
    weights, bias = fit_head(vectors, truth, multi_label, probe_c(multi_label))
    return np.asarray(new_vectors @ weights.T + bias, dtype=np.float32)


def predict_with_rule(rule: DecisionRule, logits: Floats) -> Indicators:
    """The predictions of a rule, int8 [documents, classes]."""
    return rule.decide(rule.scores(logits)).predicted


def rule_for_baseline(rule: DecisionRule, logits: Floats, truth: Indicators, schema: Schema) -> DecisionRule:
    """A rule with a baseline's own thresholds, chosen for the same goal as the run's (multi-label).

    Args:
        rule: of the run.
        logits: float32 [training documents, classes], of the baseline, which has not seen them.
        truth: int8 [training documents, classes].
    """
    settings = rule.about.get("settings", {})
    goal = Goal(rule.costs, settings.get("target_precision"), settings.get("target_recall"))
    return choose_rule(logits, truth, schema, 0.5, goal)[0]


def tfidf_predictions(
    texts: Sequence[str],
    truth: Indicators,
    new_texts: Sequence[str],
    schema: Schema,
    rule: DecisionRule | None,
    folds: NDArray[np.int64],
    seed: int,
) -> Indicators | None:
    """The predictions of TF-IDF with a linear machine; None if there is nothing to learn.

    Args:
        rule: of the run, if its thresholds were chosen; see `rule_for_baseline`.
        folds: int64 [training documents].
    """
    try:
        if rule is None:
            return fit_and_predict(texts, truth, new_texts, schema.multi_label, seed)
        unseen = np.empty(truth.shape, dtype=np.float32)
        for fold in np.unique(folds):
            held_out = folds == fold
            seen, rest = ([text for text, one in zip(texts, held_out, strict=True) if one == out] for out in (0, 1))
            unseen[held_out] = margins(seen, truth[~held_out], rest, seed)
        own = rule_for_baseline(rule, unseen, truth, schema)
        return predict_with_rule(own, margins(texts, truth, new_texts, seed))
    except ValueError as error:
        log.warning(f"analysis: no TF-IDF baseline ({error})")
        return None


def compare_with_baseline(
    truth: Indicators, predicted: Indicators, baseline: Indicators, documents: int, resamples: int, seed: int
) -> dict[str, Any]:
    """The figures of a baseline, and the lead of the model on the same documents.

    Args:
        predicted, baseline: int8 [documents, classes].
        documents: how many the baseline was trained on.

    Returns:
        accuracy, micro_f1, macro_f1; `documents`; `lead`: the model's figures minus these, each with its interval
        [low, high].
    """
    figures, ours = overall(truth, baseline), overall(truth, predicted)
    both = contributions(truth, baseline), contributions(truth, predicted)
    low, high, _ = difference(*both, resamples, np.random.default_rng(seed))
    lead = {
        name: {
            "found": ours[name] - value,
            # A single document tells nothing.
            "interval": [float(low[i]), float(high[i])] if len(truth) > 1 else [-1.0, 1.0],
        }
        for i, (name, value) in enumerate(figures.items())
    }
    return {**figures, "documents": documents, "lead": lead}
