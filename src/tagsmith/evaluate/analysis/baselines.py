"""What simpler classifiers reach on the same documents: the probe, and words without an encoder."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.schema import Schema
from tagsmith.decision.bootstrap import addends, difference
from tagsmith.decision.chosen import chosen_rule
from tagsmith.decision.intervals import overall
from tagsmith.decision.rule import DecisionRule
from tagsmith.evaluate.tfidf import fit_and_predict, margins
from tagsmith.model.probe import fit_head, probe_c

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]
Indicators = NDArray[np.int8]


def probe_logits(vectors: Floats, truth: Indicators, new_vectors: Floats, multi_label: bool) -> Floats:
    """Logits float32 [documents, classes] of a regression for `new_vectors` [documents, hidden].

    Args:
        vectors: float32 [training documents, hidden], of `pretrained.PretrainedEncoder`.
        truth: int8 [training documents, classes].
    """
    if not multi_label and len(present := np.flatnonzero(truth.any(axis=0))) == 1:
        only = np.zeros((len(new_vectors), truth.shape[1]), dtype=np.float32)
        only[:, present] = 1
        return only  # Nothing to regress on.
    weights, bias = fit_head(vectors, truth, multi_label, probe_c(multi_label))
    return np.asarray(new_vectors @ weights.T + bias, dtype=np.float32)


def decided(rule: DecisionRule, logits: Floats) -> Indicators:
    """What a rule predicts, int8 [documents, classes]."""
    return rule.decide(rule.scores(logits)).predicted


def chosen_as(rule: DecisionRule, logits: Floats, truth: Indicators, schema: Schema) -> DecisionRule:
    """A baseline's own thresholds, chosen for what the run's were (multi-label).

    Args:
        rule: the run's.
        logits: float32 [training documents, classes] of the baseline, which has not seen them.
        truth: int8 [training documents, classes].
    """
    wanted = rule.about.get("settings", {})
    targets = wanted.get("target_precision"), wanted.get("target_recall")
    return chosen_rule(logits, truth, schema, 0.5, rule.costs, *targets)[0]


def tfidf_predictions(
    texts: Sequence[str], truth: Indicators, new_texts: Sequence[str], schema: Schema, rule: DecisionRule | None,
    folds: NDArray[np.int64], seed: int,
) -> Indicators | None:  # fmt: skip
    """What words without an encoder predict; None where there is nothing to learn.

    Args:
        rule: the run's, where thresholds are chosen for it; see `chosen_as`.
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
        own = chosen_as(rule, unseen, truth, schema)
        return decided(own, margins(texts, truth, new_texts, seed))
    except ValueError as error:
        log.warning(f"analysis: no TF-IDF baseline: {error}")
        return None


def beside(
    truth: Indicators, predicted: Indicators, baseline: Indicators, documents: int, resamples: int, seed: int
) -> dict[str, Any]:
    """The figures of a baseline, and how much better the model is on the same documents.

    Args:
        predicted, baseline: int8 [documents, classes].
        documents: those that the baseline was trained on.

    Returns:
        accuracy, micro_f1, macro_f1; `documents`; `lead`: the model's figures less these, each with its interval
        [low, high].
    """
    figures, ours = overall(truth, baseline), overall(truth, predicted)
    both = addends(truth, baseline), addends(truth, predicted)
    low, high, _ = difference(*both, resamples, np.random.default_rng(seed))
    lead = {
        name: {
            "found": ours[name] - value,
            # Of a single document nothing is known.
            "interval": [float(low[i]), float(high[i])] if len(truth) > 1 else [-1.0, 1.0],
        }
        for i, (name, value) in enumerate(figures.items())
    }
    return {**figures, "documents": documents, "lead": lead}
