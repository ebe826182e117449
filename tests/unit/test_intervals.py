"""Intervals: hand-worked ones, and simulations in which the true figure is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tagsmith.analysis.intervals import (
    class_intervals,
    difference_intervals,
    overall,
    overall_intervals,
    proportion,
    tallies,
)
from tagsmith.metrics import figures

ONE_HOT = np.eye(4, dtype=np.int8)


def draw(documents: int, right: float, seed: int, classes: int = 4) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Truth and predictions of which each is right with this probability."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, documents)
    wrong = random.random(documents) >= right
    said = np.where(wrong, (truth + 1 + random.integers(0, classes - 1, documents)) % classes, truth)
    return np.eye(classes, dtype=np.int8)[truth], np.eye(classes, dtype=np.int8)[said]


def test_figures_are_those_of_the_metrics() -> None:
    random = np.random.default_rng(0)
    truth, scores = (random.random((50, 5)) < 0.3).astype(np.int8), random.random((50, 5)).astype(np.float32)
    truth[:, 4], scores[:, 4] = 0, 0  # A class that neither is nor is predicted has no say in the macro average.
    expected = figures(scores, truth, list("abcde"), multi_label=True, threshold=0.6)
    found = overall(truth, (scores >= 0.6).astype(np.int8))
    assert found["accuracy"] == pytest.approx(expected["accuracy"])
    assert found["micro_f1"] == pytest.approx(expected["micro"]["f1"])
    assert found["macro_f1"] == pytest.approx(expected["macro"]["f1"])


def test_documents_of_a_kind_are_counted_together() -> None:
    truth, predicted = ONE_HOT[[0, 0, 1, 1]], ONE_HOT[[0, 0, 1, 2]]
    (tally,) = tallies(truth, predicted)
    assert len(tally.right) == 3
    twice_the_last = tally.figures(tally.counts(np.array([[0, 2, 3, 3]])))[:, 0]
    # F1: 1 of class 0; 2*1 / (2*1 + 2) of class 1; 0 of class 2.
    assert twice_the_last == pytest.approx([2 / 4, 2 * 2 / (2 * 2 + 4), (1 + 0.5 + 0) / 3])


def test_wilson_by_hand() -> None:
    # 8 of 10, z = 1.96: (0.8 + z²/20 ± z √(0.8·0.2/10 + z²/400)) / (1 + z²/10)
    assert proportion(8, 10) == pytest.approx([0.4901, 0.9433], abs=1e-3)
    assert proportion(0, 0) is None
    found = class_intervals(tp=8, fp=1, fn=1)
    assert found["f1"] == pytest.approx([2 * e / (1 + e) for e in proportion(8, 10) or []])
    assert found["precision"] == found["recall"] == proportion(8, 9)
    assert class_intervals(0, 0, 3)["precision"] is None
    assert class_intervals(0, 0, 0) == {"precision": None, "recall": None, "f1": None}


def test_a_class_that_is_always_right_is_not_surely_perfect() -> None:
    few, many = class_intervals(4, 0, 0)["f1"], class_intervals(400, 0, 0)["f1"]
    assert few is not None
    assert many is not None
    assert few[0] < 0.7 < 0.99 < many[0] < many[1] == 1
    truth = ONE_HOT[np.arange(20) % 4]
    found = overall_intervals(truth, truth, 100, seed=0)
    assert found["macro_f1"] == found["accuracy"] == proportion(20, 20)
    assert overall_intervals(truth[:1], truth[1:2], 100, seed=0)["accuracy"] == proportion(0, 1)


def test_the_same_seed_gives_the_same_interval() -> None:
    truth, predicted = draw(200, 0.8, 0)
    first = overall_intervals(truth, predicted, 200, seed=1)
    assert first == overall_intervals(truth, predicted, 200, seed=1)
    assert first != overall_intervals(truth, predicted, 200, seed=2)
    assert all(low < overall(truth, predicted)[name] < high for name, (low, high) in first.items())


def test_the_bootstrap_covers_as_often_as_it_claims() -> None:
    # All classes are alike and errors fall evenly, so that accuracy and both F1 are the same number.
    covered = {"accuracy": 0, "micro_f1": 0, "macro_f1": 0}
    runs = 120
    for seed in range(runs):
        found = overall_intervals(*draw(200, 0.8, seed), 300, seed)
        for name, (low, high) in found.items():
            covered[name] += low <= 0.8 <= high
    # 95 %, and three standard deviations of 120 runs below it.
    assert min(covered.values()) / runs >= 0.95 - 3 * (0.95 * 0.05 / runs) ** 0.5


def test_class_intervals_cover_as_often_as_they_claim() -> None:
    random = np.random.default_rng(0)
    for share in (0.5, 0.8, 0.95):
        tp = random.binomial(30, share, size=300)
        f1 = 2 * share / (1 + share)
        found = [class_intervals(int(n), 30 - int(n), 0)["f1"] or [1, 0] for n in tp]
        assert np.mean([low <= f1 <= high for low, high in found]) >= 0.9


def test_what_two_models_share_does_not_widen_their_difference() -> None:
    truth, predicted = draw(400, 0.7, 0)
    other = predicted.copy()
    other[:20] = truth[:20]
    gain = overall(truth, other)["accuracy"] - overall(truth, predicted)["accuracy"]
    low, high = difference_intervals(truth, other, predicted, 500, seed=0)["accuracy"]
    assert 0 < low < gain < high < 0.05
    assert difference_intervals(truth, predicted, predicted, 100, seed=0)["macro_f1"] == [0, 0]
