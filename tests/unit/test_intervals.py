"""Intervals: hand-worked ones, and simulations in which the true figure is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tagsmith.decision.intervals import (
    class_intervals,
    overall,
    overall_intervals,
    proportion,
)
from tagsmith.evaluate.analysis.baselines import compare_with_baseline

ONE_HOT = np.eye(4, dtype=np.int8)


def draw(documents: int, right: float, seed: int, classes: int = 4) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Truth and predictions of which each is right with this probability."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, documents)
    wrong = random.random(documents) >= right
    said = np.where(wrong, (truth + 1 + random.integers(0, classes - 1, documents)) % classes, truth)
    return np.eye(classes, dtype=np.int8)[truth], np.eye(classes, dtype=np.int8)[said]


def test_wilson_by_hand() -> None:
    # 8 of 10, z = 1.96: (0.8 + z²/20 ± z √(0.8·0.2/10 + z²/400)) / (1 + z²/10)
    assert proportion(8, 10) == pytest.approx([0.4901, 0.9433], abs=1e-3)
    assert proportion(0, 0) is None
    found = class_intervals(tp=8, fp=1, fn=1)
    assert found["f1"] == pytest.approx([2 * e / (1 + e) for e in proportion(8, 10) or []])
    assert found["precision"] == found["recall"] == proportion(8, 9)
    assert class_intervals(0, 0, 3)["precision"] is None
    assert class_intervals(0, 0, 0) == {"precision": None, "recall": None, "f1": None}


def test_a_class_without_errors_has_an_interval_below_one() -> None:
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


@pytest.mark.slow
def test_class_intervals_cover_as_often_as_they_claim() -> None:
    random = np.random.default_rng(0)
    for share in (0.5, 0.8, 0.95):
        tp = random.binomial(30, share, size=300)
        f1 = 2 * share / (1 + share)
        found = [class_intervals(int(n), 30 - int(n), 0)["f1"] or [1, 0] for n in tp]
        assert np.mean([low <= f1 <= high for low, high in found]) >= 0.9


def test_a_lead_is_the_difference_of_two_figures_with_its_interval() -> None:
    truth, predicted = draw(400, 0.7, 0)
    better = predicted.copy()
    better[:20] = truth[:20]
    found = compare_with_baseline(truth, better, predicted, 50, 500, seed=0)
    lead = found["lead"]["accuracy"]
    assert lead["found"] == pytest.approx(overall(truth, better)["accuracy"] - found["accuracy"])
    assert 0 < lead["interval"][0] < lead["found"] < lead["interval"][1] < 0.05
    assert compare_with_baseline(truth, better, better, 50, 100, seed=0)["lead"]["macro_f1"] == {
        "found": 0,
        "interval": [0, 0],
    }
    assert compare_with_baseline(truth[:1], better[:1], predicted[:1], 50, 100, seed=0)["lead"]["macro_f1"][
        "interval"
    ] == [-1, 1]
