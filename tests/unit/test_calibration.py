"""Calibration: hand-worked figures, and data with a known distortion."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tagsmith.decision.calibration import calibration_error, certainty, fit_scaling, reliability, temperature
from tagsmith.decision.metrics import mean_log_loss
from tagsmith.decision.rule import DecisionRule, sigmoid, softmax

Floats = NDArray[np.float32]


def single(documents: int, distortion: float, seed: int = 0) -> tuple[Floats, NDArray[np.int8]]:
    """Logits that are `distortion` times what they should be, and classes drawn from the right ones."""
    draw = np.random.default_rng(seed)
    honest = draw.normal(0, 2, (documents, 4))
    shares = softmax(honest.astype(np.float32)).astype(np.float64)
    drawn = (draw.random((documents, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(max=3)
    return (honest * distortion).astype(np.float32), np.eye(4, dtype=np.int8)[drawn]


def multi(documents: int, seed: int = 0) -> tuple[Floats, NDArray[np.int8]]:
    """Three classes of which one is rare; logits are twice too large, and those of the rare class too low as well."""
    draw = np.random.default_rng(seed)
    honest = draw.normal([0, -1, -4], 1.5, (documents, 3))
    truth = (draw.random(honest.shape) < 1 / (1 + np.exp(-honest))).astype(np.int8)
    return (honest * 2 - [0, 0, 3]).astype(np.float32), truth


@pytest.mark.parametrize("distortion", [0.4, 1.0, 2.5])
def test_the_temperature_undoes_a_distortion_of_logits(distortion: float) -> None:
    assert temperature(*single(4000, distortion)) == pytest.approx(distortion, rel=0.06)


def test_distorted_scores_are_calibrated_on_unseen_documents() -> None:
    logits, truth = single(3000, 2.5, seed=1)
    scale, shift = fit_scaling(*single(3000, 2.5), multi_label=False)
    rule = DecisionRule(False, tuple(scale), tuple(shift), ())
    before, after = softmax(logits), rule.scores(logits)
    assert calibration_error(*certainty(before, truth, False)) > 0.1
    assert calibration_error(*certainty(after, truth, False)) < 0.03
    assert mean_log_loss(after, truth, False) < mean_log_loss(before, truth, False) - 0.1
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()


def test_scores_stay_below_one_if_no_document_is_wrong() -> None:
    logits = np.tile(np.float32([9, 0, 0]), (50, 1))
    truth = np.tile(np.int8([1, 0, 0]), (50, 1))
    found = softmax(logits / np.float32(temperature(logits, truth)))[0, 0]
    # Of the softmax as it is 0.9998; of 50 right ones and a quarter of one of which nothing is known, 0.9967.
    assert (50 + 0.25 / 3) / 50.25 < found < 0.9995


def test_few_documents_do_not_distort_calibrated_scores() -> None:
    others, truth = single(2000, 1.0, seed=1)
    before = mean_log_loss(softmax(others), truth, False)
    after = [
        mean_log_loss(softmax(others / np.float32(temperature(*single(12, 1.0, seed)))), truth, False)
        for seed in range(2, 22)
    ]
    assert np.mean(after) - before < 0.02


def test_one_temperature_for_several_classes() -> None:
    draw = np.random.default_rng(0)
    honest = draw.normal(-1, 2, (3000, 3))
    truth = (draw.random(honest.shape) < 1 / (1 + np.exp(-honest))).astype(np.int8)
    assert temperature((honest * 3).astype(np.float32), truth, True) == pytest.approx(3, rel=0.1)


def test_each_class_of_many_has_its_own_scale_and_shift() -> None:
    scale, shift = fit_scaling(*multi(20000), multi_label=True)
    assert scale == pytest.approx([0.5, 0.5, 0.5], rel=0.1)
    assert shift == pytest.approx([0, 0, 1.5], abs=0.2)
    logits, truth = multi(5000, seed=1)
    before, after = sigmoid(logits), DecisionRule(True, tuple(scale), tuple(shift), ()).scores(logits)
    for i in range(3):
        gaps = [calibration_error(scores[:, i], truth[:, i] == 1) for scores in (before, after)]
        assert gaps[1] < 0.025
        assert gaps[1] < gaps[0] / 1.5


def test_a_class_with_few_documents_follows_the_others() -> None:
    logits, truth = multi(600)
    few = np.flatnonzero(truth[:, 2])[1:]
    truth[few, 2] = 0
    logits[np.flatnonzero(truth[:, 2]), 2] = -30  # One document, and it looks like none.
    scale, _ = fit_scaling(logits, truth, multi_label=True)
    assert scale[2] > 0.2
    assert np.isfinite(fit_scaling(logits, np.zeros_like(truth), multi_label=True)).all()


def test_the_calibration_error_by_hand() -> None:
    certain = np.float32([0.9, 0.9, 0.59, 0.59])
    holds = np.array([True, False, True, True])
    # Two statements at 0.9 of which a half holds, two at 0.59 of which all do.
    assert calibration_error(certain, holds) == pytest.approx((0.4 + 0.41) / 2, abs=1e-6)
    rows = reliability(np.float32([0, 0.5, 1]), np.array([False, True, True]))
    assert len(rows) == 15
    assert [row["documents"] for row in rows] == [1, *[0] * 6, 1, *[0] * 6, 1]
    assert rows[7]["accuracy"] == 1.0
    assert rows[1]["accuracy"] is None


def test_statements_of_multi_label_scores_are_pairs() -> None:
    scores, truth = np.float32([[0.9, 0.2], [0.4, 0.6]]), np.int8([[1, 0], [0, 0]])
    certain, holds = certainty(scores, truth, True)
    assert certain.tolist() == pytest.approx([0.9, 0.2, 0.4, 0.6])
    assert holds.tolist() == [True, False, False, False]
    certain, holds = certainty(scores, np.int8([[1, 0], [1, 0]]), False)
    assert certain.tolist() == pytest.approx([0.9, 0.6])
    assert holds.tolist() == [True, False]
