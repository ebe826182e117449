"""From logits to decisions, by hand; and files that hold something else."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from scipy.special import softmax as scipy_softmax

from tagsmith.core.errors import DataError, SettingsError
from tagsmith.core.schema import Schema, Task
from tagsmith.decision.rule import DecisionRule, cost_matrix, sigmoid, softmax, split_pair
from tagsmith.decision.scope import Scope

SINGLE = Schema(("bug", "billing", "praise"), Task.single_label)
MULTI = Schema(("bug", "billing", "praise"), Task.multi_label)


def test_scores_are_those_of_scipy() -> None:
    logits = np.random.default_rng(0).normal(0, 30, (50, 7)).astype(np.float32)
    assert sigmoid(logits) == pytest.approx(expit(logits), abs=1e-6)
    assert softmax(logits) == pytest.approx(scipy_softmax(logits, axis=1), abs=1e-6)


def test_single_label_by_hand() -> None:
    rule = DecisionRule(False, (0.5,) * 3, (0.0,) * 3, (0.5,) * 3, abstain_below=0.6, set_from=(0.2,) * 3)
    scores = rule.scores(np.float32([[2 * np.log(8), 2 * np.log(1), 2 * np.log(1)], [0, 0, 0.1]]))
    assert scores[0].tolist() == pytest.approx([0.8, 0.1, 0.1])
    found = rule.decide(scores)
    assert found.predicted.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert found.confidence[0] == pytest.approx(0.8)
    assert found.to_person.tolist() == [False, True]
    assert found.sets is not None
    assert found.sets.tolist() == [[True, False, False], [True, True, True]]
    assert found.distances is None


def test_multi_label_by_hand() -> None:
    rule = DecisionRule(True, (1.0,) * 3, (0.0, 0.0, 5.0), (0.5, 0.3, 0.5), abstain_below=0.2)
    logits = np.log(np.float32([[9, 2 / 3, 1 / 4], [0.01, 0.01, 0.01]]))
    scores = rule.scores(logits)
    assert scores[0].tolist() == pytest.approx([0.9, 0.4, 1 / (1 + 4 * np.exp(-5))])
    found = rule.decide(scores)
    assert found.predicted.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert found.confidence[0] == pytest.approx(0.9 * 0.4 * scores[0, 2])
    assert rule.with_threshold(0.95).decide(scores).predicted[0].tolist() == [0, 0, 1]


def test_costs_by_hand() -> None:
    costs = {"bug>billing": 5.0}
    rule = DecisionRule(False, (1.0,) * 3, (0.0,) * 3, (0.5,) * 3, costs=costs, matrix=cost_matrix(costs, SINGLE))
    # Billing is likelier, but costs 5 * 0.3 to say; bug costs 0.6 + 0.1.
    found = rule.decide(np.float32([[0.3, 0.6, 0.1], [0.05, 0.9, 0.05]]))
    assert found.predicted.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert found.confidence.tolist() == pytest.approx([0.3, 0.9])


def test_names_of_costs() -> None:
    assert split_pair("bug>billing", SINGLE) == ("bug", "billing")
    assert split_pair("bug>", MULTI) == ("bug", "")
    assert split_pair(">bug", MULTI) == ("", "bug")
    odd = Schema(("a>b", "b", "a"), Task.single_label)
    assert split_pair("a>b>b", odd) == ("a>b", "b")
    for wrong, schema in (("bug>nothing", SINGLE), ("bug>bug", SINGLE), ("bug>billing", MULTI), ("bug>", SINGLE)):
        with pytest.raises(SettingsError, match="costs: expected"):
            split_pair(wrong, schema)


def test_out_of_scope_goes_to_a_person(tmp_path: Path) -> None:
    scope = Scope(np.float32([[1, 0], [0, 1]]), limit=0.1)
    vectors = np.float32([[5, 0], [1, 1], [-1, -1]])
    assert scope.distances(vectors).tolist() == pytest.approx([0, 1 - 2**-0.5, 1 + 2**-0.5])
    rule = DecisionRule(False, (1.0,) * 3, (0.0,) * 3, (0.5,) * 3, scope=scope, about={"from": "validation"})
    found = rule.decide(softmax(np.zeros((3, 3), np.float32)), vectors)
    assert found.to_person.tolist() == [False, True, True]
    scope.save(tmp_path / "scope.npy")
    content = json.loads(json.dumps(rule.as_dict()))
    again = DecisionRule.from_dict(content, SINGLE, tmp_path / "decision.json", tmp_path / "scope.npy")
    assert again.scope is not None
    assert np.array_equal(again.scope.references, scope.references)
    assert (again.as_dict(), again.calibrated) == (rule.as_dict(), True)
    (tmp_path / "scope.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="half-precision vectors"):
        DecisionRule.from_dict(content, SINGLE, tmp_path / "decision.json", tmp_path / "scope.npy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"thresholds": [0.5]}, "thresholds for each of 3 classes, found 1"),
        ({"thresholds": [0.5] * 3, "scale": [1.0]}, "scale for each of 3 classes, found 1"),
        ({"thresholds": "abc"}, "expected scale, shift and thresholds"),
        ({}, "expected scale, shift and thresholds"),
        ({"thresholds": [0.5] * 3, "costs": 5}, "expected scale, shift and thresholds"),
    ],
)
def test_an_invalid_file_is_rejected(tmp_path: Path, content: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        DecisionRule.from_dict(content, SINGLE, tmp_path / "decision.json", tmp_path / "scope.npy")


def test_a_file_of_format_1_has_thresholds_only(tmp_path: Path) -> None:
    rule = DecisionRule.from_dict({"thresholds": [0.5, 0.4, 0.3]}, MULTI, tmp_path / "a", tmp_path / "b")
    assert rule == DecisionRule(True, (1.0,) * 3, (0.0,) * 3, (0.5, 0.4, 0.3))
    assert not rule.calibrated
