"""Thresholds keep their promises: hand-worked cases, and simulations whose truth is known."""

import numpy as np
import pytest

from tagsmith.decision.thresholds import (
    abstention,
    class_thresholds,
    coverage_curve,
    instead_of,
    lower_bound,
    not_promised,
    thresholds_of_costs,
)


def test_the_best_f1_by_hand() -> None:
    scores = np.float32([[0.9], [0.8], [0.3], [0.2]])
    (found,), failed = class_thresholds(scores, np.int8([[1], [1], [0], [0]]))
    assert found == pytest.approx(0.55, abs=0.006)  # In the middle between 0.3 and 0.8.
    assert failed == []
    # F1 from 0.25 up, with one wrong: 6/7; from 0.85 up, with two missed: 1/2.
    (found,), _ = class_thresholds(scores, np.int8([[1], [0], [1], [1]]))
    assert found <= 0.2


def test_a_class_without_documents_has_the_threshold_of_all() -> None:
    draw = np.random.default_rng(0)
    scores = draw.random((400, 2)).astype(np.float32)
    truth = (draw.random((400, 2)) < scores**2).astype(np.int8)
    together, _ = class_thresholds(scores.reshape(-1, 1), truth.reshape(-1, 1))
    silent = np.zeros((400, 1), np.float32)
    found, _ = class_thresholds(np.hstack([scores, silent]), np.hstack([truth, np.zeros((400, 1), np.int8)]))
    assert found[2] == pytest.approx(together[0], abs=0.03)


def test_rarer_classes_are_shrunk_more_towards_the_others() -> None:
    common = np.repeat(np.float32([0.9, 0.5, 0.1]), 200)
    of_common = np.repeat(np.int8([1, 1, 0]), 200)  # Everything from 0.5 up is right.
    found = {}
    for count in (1, 200):
        rare = np.zeros(600, np.float32)
        of_rare = np.zeros(600, np.int8)
        rare[: 3 * count] = np.repeat(np.float32([0.9, 0.5, 0.1]), count)
        of_rare[:count] = 1  # Here, 0.5 is wrong.
        scores, truth = np.stack([common, rare], axis=1), np.stack([of_common, of_rare], axis=1)
        found[count] = class_thresholds(scores, truth)[0][1]
    assert 0.1 < found[1] <= 0.5 < found[200] <= 0.9


def test_target_precision_and_recall_by_hand() -> None:
    scores = np.repeat(np.float32([[0.9], [0.7], [0.5], [0.3]]), 100, axis=0)
    truth = np.zeros((400, 1), np.int8)
    for start, right in ((0, 100), (100, 90), (200, 50), (300, 10)):
        truth[start : start + right] = 1
    # From 0.7 up 190 of 200 are right, from 0.5 up 240 of 300; 250 in all.
    (found,), failed = class_thresholds(scores, truth, target_precision=0.95)
    assert (0.5 < found <= 0.7, failed) == (True, [])
    (found,), _ = class_thresholds(scores, truth, target_precision=0.8)
    assert 0.3 < found <= 0.5
    (found,), _ = class_thresholds(scores, truth, target_recall=0.9)
    assert 0.3 < found <= 0.5
    (found,), failed = class_thresholds(scores, np.int8(np.arange(400)[:, None] % 2), target_precision=0.99)
    assert (found, failed) == (1.0, [0])


def test_chosen_thresholds_beat_a_half_for_rare_classes() -> None:
    draw = np.random.default_rng(0)

    def drawn(documents: int) -> tuple[np.ndarray, np.ndarray]:
        scores = draw.beta(0.3, 3, (documents, 5)).astype(np.float32)
        return scores, (draw.random(scores.shape) < scores).astype(np.int8)

    def f1(scores: np.ndarray, truth: np.ndarray, thresholds: np.ndarray | float) -> float:
        predicted = scores >= thresholds
        return float(2 * (predicted & (truth == 1)).sum() / (predicted.sum() + truth.sum()))

    thresholds, _ = class_thresholds(*drawn(800))
    scores, truth = drawn(5000)
    assert (thresholds < 0.5).all()  # Half of the best F1: Lipton et al.
    assert f1(scores, truth, thresholds) > f1(scores, truth, 0.5) + 0.05


def test_costs_of_missing_and_inventing() -> None:
    found = thresholds_of_costs({("bug", ""): 3.0, ("", "praise"): 4.0}, ["bug", "praise", "other"])
    assert found.tolist() == pytest.approx([0.25, 0.8, 0.5])


def test_the_lower_bound_is_that_of_the_tables() -> None:
    found = lower_bound(np.array([95, 0, 10]), np.array([100, 10, 10]), 0.025)
    assert found.tolist() == pytest.approx([0.8872, 0.0, 0.6915], abs=1e-4)


def test_abstention_by_hand() -> None:
    confidence = np.linspace(0.999, 0.5, 100).astype(np.float32)
    # 0.02 ** (1 / 100) = 0.962: that many right ones are enough for 0.95; those of 50 documents (0.925) are not.
    assert abstention(confidence, np.ones(100, bool), 0.95) == 0.0
    assert abstention(confidence[:50], np.ones(50, bool), 0.95) is None
    right = np.arange(1000) < 800
    threshold = abstention(np.linspace(1, 0, 1000).astype(np.float32), right, 0.95)
    assert threshold is not None
    assert 0.15 < threshold < 0.25
    assert abstention(np.full(200, 0.7, np.float32), np.arange(200) < 100, 0.9) is None


def test_what_takes_the_place_of_a_target_by_hand() -> None:
    confidence = np.linspace(0.999, 0.5, 50).astype(np.float32)
    # The sequence that begins with 90 %, or 45: 0.02 ** (1 / 45) = 0.917; 0.02 ** (1 / 77) = 0.9505, 90 % of 86.
    assert instead_of(confidence, np.ones(50, bool), 0.95) == (0.91, 86)
    # As in issue 17: 96 % of 233 documents are right, and the errors are anywhere.
    right = np.arange(233) % 25 != 0
    confidence = np.linspace(0.999, 0.5, 233).astype(np.float32)
    assert abstention(confidence, right, 0.95) is None
    possible, documents = instead_of(confidence, right, 0.95)
    assert possible is not None
    assert abstention(confidence, right, possible) is not None
    assert abstention(confidence, right, possible + 0.01) is None
    assert documents is not None
    many = np.arange(documents) % 25 != 0
    assert abstention(np.linspace(0.999, 0.5, documents).astype(np.float32), many, 0.95) is not None
    assert instead_of(confidence, np.arange(233) % 3 == 0, 0.95) == (None, None)


def test_a_target_that_cannot_be_promised_in_words() -> None:
    missed = {"setting": "target_precision", "target": 0.95, "held_out": 233, "right": 0.96}
    assert not_promised(missed | {"possible": 0.92, "documents": 1900}) == (
        "target_precision=0.95 cannot be promised with 233 held-out documents, of which 96% are right: "
        "target_precision=0.92 can be promised with them and 0.95 takes about 1,900 documents like these."
    )
    assert not_promised(missed | {"possible": None, "documents": None}).endswith(
        "no target from 0.5 on can, even with many more like these."
    )


def test_the_target_precision_is_missed_as_seldom_as_claimed() -> None:
    draw = np.random.default_rng(0)
    missed, handled = 0, []
    for _ in range(200):
        confidence = draw.uniform(0.5, 1, 500)
        threshold = abstention(confidence.astype(np.float32), draw.random(500) < confidence, 0.9)
        # The mean of the confidences from the threshold up is the precision that it has.
        if threshold is not None:
            missed += (max(threshold, 0.5) + 1) / 2 < 0.9
            handled.append(1 - (max(threshold, 0.5) - 0.5) / 0.5)
    assert missed <= 20 + 8  # 0.1 of 200, and two standard deviations.
    assert np.mean(handled) > 0.2  # Knowing the truth, it would be 0.4.


def test_the_curve_by_hand() -> None:
    points = coverage_curve(np.float32([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False]))
    assert [(round(p["threshold"], 1), p["coverage"]) for p in points] == [(0.9, 0.25), (0.8, 0.75), (0.1, 1.0)]
    assert [p["precision"] for p in points] == pytest.approx([1, 2 / 3, 1 / 2])
    assert len(coverage_curve(np.linspace(0, 1, 5000).astype(np.float32), np.ones(5000, bool))) == 100
