from pathlib import Path

import evaluate
import numpy as np
import pytest

from tagsmith.core.schema import indicators
from tagsmith.decision.evaluate_metric import ClassificationFigures
from tagsmith.decision.metrics import decide, figures, probabilities

METRIC = Path(__file__).parents[2] / "src" / "tagsmith" / "decision" / "evaluate_metric.py"


def test_single_label_by_hand() -> None:
    # true a a a b b c; predicted a a b b c c
    scores = np.array(
        [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.9, 0.0], [0.1, 0.4, 0.5], [0.0, 0.0, 1.0]],
        dtype=np.float32,
    )
    result = figures(scores, indicators([0, 0, 0, 1, 1, 2], 3), ["a", "b", "c"], False, 0.5)
    assert result["documents"] == 6
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["confusion_matrix"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    a, b, c = (result["classes"][name] for name in "abc")
    assert (a["precision"], a["recall"], a["f1"]) == pytest.approx((1, 2 / 3, 0.8))
    assert (b["precision"], b["recall"], b["f1"]) == pytest.approx((1 / 2, 1 / 2, 1 / 2))
    assert (c["precision"], c["recall"], c["f1"]) == pytest.approx((1 / 2, 1, 2 / 3))
    counts = ("support", "true_positives", "false_positives", "false_negatives", "true_negatives")
    assert [a[name] for name in counts] == [3, 2, 0, 1, 3]
    assert [b[name] for name in counts] == [2, 1, 1, 1, 3]
    assert result["macro"]["f1"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert result["weighted"]["f1"] == pytest.approx((3 * 0.8 + 2 * 0.5 + 1 * 2 / 3) / 6)
    assert result["micro"] == pytest.approx({"precision": 4 / 6, "recall": 4 / 6, "f1": 4 / 6})
    # Each wrong document is a wrong cell twice: 4 of 18.
    assert result["hamming_loss"] == pytest.approx(4 / 18)
    expected = -np.log([0.8, 0.6, 0.2, 0.9, 0.4, 1.0]).mean()
    assert result["log_loss"] == pytest.approx(expected, abs=1e-6)


def test_the_worked_example_of_a_managed_service_that_prints_0_80() -> None:
    # The class comedy: 1 true positive, 0 false positives, 2 false negatives. F1 is 2 x 1 / (2 x 1 + 0 + 2) = 0.5.
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], dtype=np.float32)
    comedy = figures(scores, indicators([0, 0, 0], 2), ["comedy", "drama"], False, 0.5)["classes"]["comedy"]
    assert (comedy["true_positives"], comedy["false_positives"], comedy["false_negatives"]) == (1, 0, 2)
    assert comedy["f1"] == pytest.approx(0.5)


def test_the_figures_of_a_model_of_azure_are_those_that_azure_has_recorded() -> None:
    # Its sample, 6 test documents a class, as an evaluation of 2026-02-02 has them; a row for each tagged class:
    # computer science, electrical engineering, psychology, mechanical and civil engineering, medicine, biochemistry.
    confusions = [[4, 0, 0, 1, 1, 0, 0], [0, 3, 0, 2, 1, 0, 0], [0, 0, 3, 0, 0, 1, 2], [0, 1, 0, 4, 1, 0, 0],
                  [0, 0, 0, 0, 6, 0, 0], [0, 0, 0, 0, 0, 6, 0], [0, 0, 0, 0, 0, 0, 6]]  # fmt: skip
    pairs = [(i, j) for i, row in enumerate(confusions) for j, count in enumerate(row) for _ in range(count)]
    scores = np.eye(7, dtype=np.float32)[[predicted for _, predicted in pairs]]
    found = figures(scores, indicators([tagged for tagged, _ in pairs], 7), list("abcdefg"), False, 0.5)
    assert found["confusion_matrix"] == confusions
    assert found["micro"]["f1"] == pytest.approx(0.7619048, abs=1e-6)
    macro = [found["macro"][name] for name in ("f1", "precision", "recall")]
    assert macro == pytest.approx([0.751753, 0.79931974, 0.7619048], abs=1e-6)


def test_multi_label_by_hand() -> None:
    scores = np.array([[0.9, 0.6, 0.1], [0.4, 0.7, 0.2], [0.2, 0.1, 0.3], [0.5, 0.2, 0.1]], dtype=np.float32)
    truth = indicators([[0], [0, 1], [], [0]], 3)
    result = figures(scores, truth, ["a", "b", "c"], True, 0.5)
    # predicted: {a, b}, {b}, {}, {a}
    assert result["accuracy"] == pytest.approx(2 / 4)
    assert result["hamming_loss"] == pytest.approx(2 / 12)
    assert result["confusion_matrices"] == {"a": [[1, 0], [1, 2]], "b": [[2, 1], [0, 1]], "c": [[4, 0], [0, 0]]}
    assert result["classes"]["a"]["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert result["classes"]["b"]["f1"] == pytest.approx(2 * 1 / (2 * 1 + 1))
    assert result["micro"] == pytest.approx({"precision": 3 / 4, "recall": 3 / 4, "f1": 3 / 4})
    # Nothing is known of c: it neither occurs nor is predicted, so it has no part in the mean.
    assert result["macro"]["f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert result["classes"]["c"]["f1"] == 0
    assert result["classes"]["c"]["average_precision"] is None
    # a by score: 0.9 yes, 0.5 yes, 0.4 yes, 0.2 no: 1. b: 0.7 yes first: 1.
    assert result["classes"]["a"]["average_precision"] == pytest.approx(1)
    cells = np.where(truth == 1, scores, 1 - scores)
    assert result["log_loss"] == pytest.approx(-np.log(cells).mean(), abs=1e-6)


def test_zero_divisions_are_zero_and_certain_mistakes_have_a_finite_loss() -> None:
    scores = np.array([[0.0, 1.0], [0.0, 1.0]], dtype=np.float32)
    result = figures(scores, indicators([[0], []], 2), ["a", "b"], True, 0.5)
    assert result["classes"]["a"]["precision"] == 0
    assert result["classes"]["b"]["recall"] == 0
    assert result["micro"]["f1"] == 0
    assert 5 < result["log_loss"] < 20


def test_no_class_predicted_and_none_true_is_right() -> None:
    result = figures(np.zeros((3, 2), dtype=np.float32), indicators([[], [], []], 2), ["a", "b"], True, 0.5)
    assert result["accuracy"] == 1
    assert result["macro"]["f1"] == 0


def test_probabilities_of_large_logits_are_finite() -> None:
    logits = np.array([[1000.0, -1000.0]], dtype=np.float32)
    assert probabilities(logits, False).tolist() == [[1.0, 0.0]]
    assert probabilities(logits, True).tolist() == [[1.0, 0.0]]


def test_a_score_at_the_threshold_is_predicted() -> None:
    assert decide(np.array([[0.3, 0.29]], dtype=np.float32), True, 0.3).tolist() == [[1, 0]]


@pytest.mark.parametrize(("config", "references"), [("single_label", [0, 1, 1]), ("multi_label", [[0], [0, 1], []])])
def test_the_metric_module_loads_without_a_network(config: str, references: list[object]) -> None:
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], dtype=np.float32)
    expected = figures(scores, indicators(references, 2), ["a", "b"], config == "multi_label", 0.5)
    loaded = evaluate.load(str(METRIC), config)
    assert loaded.compute(predictions=scores, references=references, classes=["a", "b"]) == expected
    batched = ClassificationFigures(config)
    batched.add_batch(predictions=scores[:2], references=references[:2])
    batched.add_batch(predictions=scores[2:], references=references[2:])
    assert batched.compute(classes=["a", "b"]) == expected


def test_an_unknown_configuration_is_rejected() -> None:
    with pytest.raises(ValueError, match="single_label or multi_label"):
        ClassificationFigures("both")


def test_multi_label_data_of_one_class() -> None:
    scores = np.array([[0.9], [0.8], [0.1], [0.2]], dtype=np.float32)
    result = figures(scores, indicators([[0], [], [], []], 1), ["a"], True, 0.5)
    row = result["classes"]["a"]
    assert (row["support"], row["true_positives"], row["false_positives"], row["true_negatives"]) == (1, 1, 1, 2)
    assert result["accuracy"] == pytest.approx(3 / 4)
    assert result["hamming_loss"] == pytest.approx(1 / 4)
    for average in ("micro", "macro", "weighted"):
        assert result[average] == pytest.approx({"precision": 1 / 2, "recall": 1, "f1": 2 / 3})
