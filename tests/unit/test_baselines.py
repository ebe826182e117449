"""Baselines decide as the run does: where its thresholds were chosen, so are theirs, on training documents."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tagsmith.core.schema import Schema, Task
from tagsmith.decision.intervals import overall
from tagsmith.decision.rule import DecisionRule
from tagsmith.evaluate.analysis.baselines import predict_with_rule, rule_for_baseline, tfidf_predictions
from tagsmith.evaluate.tfidf import fit_and_predict, margins

SCHEMA = Schema(("rare", "common"), Task.multi_label)
PLAIN = DecisionRule.plain(SCHEMA, 0.5)


def drawn(documents: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Logits that are too low, and tags: of a rare class and of a common one."""
    random = np.random.default_rng(seed)
    truth = (random.random((documents, 2)) < [0.1, 0.5]).astype(np.int8)
    return (2 * truth - 3 + random.normal(size=truth.shape)).astype(np.float32), truth


def test_thresholds_of_a_baseline_are_chosen_for_the_goal_of_the_run() -> None:
    (unseen, tags), (logits, truth) = drawn(2000, 0), drawn(2000, 1)
    best = overall(truth, predict_with_rule(rule_for_baseline(PLAIN, unseen, tags, SCHEMA), logits))
    assert best["macro_f1"] > overall(truth, predict_with_rule(PLAIN, logits))["macro_f1"] + 0.2
    for name, figure in (("target_precision", 0), ("target_recall", 1)):
        run = replace(PLAIN, about={"settings": {name: 0.9}})
        predicted = predict_with_rule(rule_for_baseline(run, unseen, tags, SCHEMA), logits)
        right = (predicted & truth).sum(axis=0)
        of = (predicted.sum(axis=0), truth.sum(axis=0))[figure]
        assert right / of == pytest.approx([0.9, 0.9], abs=0.1)
    costs = rule_for_baseline(replace(PLAIN, costs={"rare>": 9.0}), unseen, tags, SCHEMA)
    assert costs.thresholds == pytest.approx((0.1, 0.5))


def test_tfidf_gets_chosen_thresholds_too() -> None:
    random = np.random.default_rng(0)
    truth = (random.random((400, 2)) < [0.08, 0.5]).astype(np.int8)
    filler = ["so", "on", "and", "then", "it", "was", "there", "with", "more", "of", "this"]
    texts = []
    for tags in truth:
        words = list(random.choice(filler, 6))
        words += ["gold"] * int(random.random() < (0.6 if tags[0] else 0.05)) + ["iron"] * int(tags[1])
        texts.append(" ".join(words))
    train, test, folds = texts[:200], texts[200:], np.arange(200) % 4
    at_the_border = tfidf_predictions(train, truth[:200], test, SCHEMA, None, folds, 0)
    run = replace(PLAIN, about={"settings": {"target_recall": 0.9}})
    chosen = tfidf_predictions(train, truth[:200], test, SCHEMA, run, folds, 0)
    assert at_the_border is not None
    assert chosen is not None
    assert np.array_equal(at_the_border, fit_and_predict(train, truth[:200], test, True, 0))
    known = truth[200:, 0] == 1
    assert at_the_border[known, 0].mean() < 0.6 < 0.8 < chosen[known, 0].mean()
    assert tfidf_predictions(["", ""], truth[:2], test, SCHEMA, PLAIN, np.arange(2), 0) is None


def test_a_class_that_no_training_document_has_is_not_predicted() -> None:
    truth = np.array([[0, 1], [0, 0], [0, 1], [0, 0]], dtype=np.int8)
    found = margins(["a cat", "a dog", "cat food", "dog food"], truth, ["the cat"], 0)
    assert found[0, 0] < 0 < found[0, 1]


def test_the_one_class_that_all_training_documents_have_is_predicted() -> None:
    found = margins(["a cat", "a dog"], np.ones((2, 1), dtype=np.int8), ["the cat"], 0)
    assert found[0, 0] > 0
