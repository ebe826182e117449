"""Parity certificates of hand-computed examples."""

from dataclasses import replace

import numpy as np
import pytest

from tagsmith.core.schema import Schema, Task
from tagsmith.decision.rule import DecisionRule
from tagsmith.decision.scope import Scope
from tagsmith.export.parity import Answers, Certificate, certify

SCHEMA = Schema(("a", "b"), Task.single_label)
PLAIN = DecisionRule.plain(SCHEMA, 0.5)
TRUTH = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.int8)


def certificate(first: list[float], second: list[float], rule: DecisionRule = PLAIN) -> Certificate:
    """The certificate for scores of class a from the model and from the format."""
    pair = []
    for column in (first, second):
        scores = np.array([[a, 1 - a] for a in column], dtype=np.float32)
        pair.append(Answers(scores, rule.decide(scores)))
    return certify("test", rule, *pair, TRUTH, SCHEMA)


def test_one_label_differs() -> None:
    found = certificate([0.9, 0.8, 0.1, 0.2], [0.9, 0.4, 0.1, 0.2])
    assert (found.documents, found.labels_differ, found.decisions_differ) == (4, 1, 0)
    assert found.largest_score_difference == pytest.approx(0.4)
    # Class a: 1 of 1 right, 1 missed, F1 2/3; class b: 2 of 3 right, F1 0.8.
    assert found.macro_f1 == pytest.approx((2 / 3 + 0.8) / 2)
    assert found.macro_f1_lost == pytest.approx(1 - (2 / 3 + 0.8) / 2)
    assert found.micro_f1_lost == pytest.approx(0.25)
    assert not found.same
    assert found.describe() == (
        "parity over 4 test documents: largest score difference 4.0e-01, 1 label differs, 26.67 points of macro F1 lost"
    )


def test_a_better_format_has_a_negative_loss() -> None:
    assert certificate([0.9, 0.4, 0.1, 0.2], [0.9, 0.8, 0.1, 0.2]).macro_f1_lost < 0


def test_rounding_is_not_a_difference() -> None:
    found = certificate([0.9, 0.8, 0.1, 0.2], [0.9005, 0.8, 0.1, 0.2])
    assert found.same
    assert "no label differs" in found.describe()
    assert not certificate([0.9, 0.8, 0.1, 0.2], [0.9015, 0.8, 0.1, 0.2]).same
    # A label counts however small the difference of its score is.
    assert not certificate([0.9, 0.5001, 0.1, 0.2], [0.9, 0.4999, 0.1, 0.2]).same


def test_a_decision_without_another_label_counts() -> None:
    rule = replace(PLAIN, abstain_below=0.85)
    found = certificate([0.9, 0.8502, 0.1, 0.1], [0.9, 0.8498, 0.1, 0.1], rule)
    assert (found.labels_differ, found.decisions_differ, found.same) == (0, 1, False)
    sets = replace(PLAIN, set_from=(0.15, 0.15))
    found = certificate([0.9, 0.8502, 0.1, 0.1], [0.9, 0.8498, 0.1, 0.1], sets)
    assert (found.labels_differ, found.decisions_differ, found.same) == (0, 1, False)


@pytest.mark.parametrize(("limit", "differ"), [(0.5, 0), (0.45, 1)])
def test_the_edge_of_the_scope_may_fall_on_either_side(limit: float, differ: int) -> None:
    scores = np.array([[0.9, 0.1]] * 4, dtype=np.float32)
    rule = replace(PLAIN, scope=Scope(np.eye(2, dtype=np.float32), limit))

    def answers(cosine: float) -> Answers:
        vectors = np.array([[cosine, -np.sqrt(1 - cosine**2)]] + [[1, 0]] * 3, dtype=np.float32)
        return Answers(scores, rule.decide(scores, vectors))

    found = certify("test", rule, answers(0.5002), answers(0.4998 if limit == 0.5 else 0.56), TRUTH, SCHEMA)
    assert found.decisions_differ == differ
    assert found.same is (differ == 0)
