"""Sets hold the right class as often as is wanted."""

import numpy as np
import pytest

from tagsmith.decision.conformal import set_figures, set_thresholds
from tagsmith.decision.rule import softmax


def test_by_hand() -> None:
    own = np.float32([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    scores = np.stack([own, 1 - own], axis=1)
    truth = np.tile(np.int8([1, 0]), (9, 1))
    # 8 of 9 documents, ceil(0.8 * 10), must be reached: half-way between 0.2 and 0.1.
    assert set_thresholds(scores, truth, 0.8).tolist() == pytest.approx([0.15, 0.15])
    # Nine documents cannot promise 0.95: every class is in the set.
    assert set_thresholds(scores, truth, 0.95).tolist() == [0.0, 0.0]


def test_documents_without_a_class_are_covered_by_any_set() -> None:
    scores = np.float32([[0.9, 0.1], [0.2, 0.1], [0.1, 0.1]])
    assert set_thresholds(scores, np.int8([[1, 0], [0, 0], [0, 0]]), 0.5).tolist() == [1.0, 1.0]
    found = set_figures(np.array([[True, False], [False, False]]), np.int8([[1, 1], [0, 0]]), 0.9)
    assert found == {
        "coverage_wanted": 0.9, "coverage_found": 0.5, "mean_set_size": 0.5, "set_sizes": {"0": 1, "1": 1}
    }  # fmt: skip


@pytest.mark.parametrize("by_class", [False, True])
def test_coverage_holds_on_new_documents(by_class: bool) -> None:
    draw = np.random.default_rng(0)
    share = np.array([0.6, 0.3, 0.1])
    found = []
    for _ in range(40):
        truth = draw.choice(3, p=share, size=1200)
        # The third class is the hardest, and the scores are not calibrated.
        logits = draw.normal(0, 1, (1200, 3)) + np.eye(3)[truth] * np.array([3, 2, 0.5])[truth][:, None]
        scores, indicators = softmax(3 * logits.astype(np.float32)), np.eye(3, dtype=np.int8)[truth]
        sets = scores[400:] >= set_thresholds(scores[:400], indicators[:400], 0.9, by_class)
        held = sets[np.arange(800), truth[400:]]
        found.append([held.mean(), held[truth[400:] == 2].mean()])
    overall, of_third = np.mean(found, axis=0)
    assert overall >= 0.895
    if by_class:
        assert of_third >= 0.89
    else:
        assert overall <= 0.91
        assert of_third < 0.8


def test_a_class_with_too_few_documents_has_the_threshold_of_all() -> None:
    draw = np.random.default_rng(0)
    scores = softmax(draw.normal(0, 1, (200, 3)).astype(np.float32))
    truth = np.eye(3, dtype=np.int8)[np.r_[np.zeros(100, int), np.ones(95, int), np.full(5, 2)]]
    found, of_all = set_thresholds(scores, truth, 0.9, by_class=True), set_thresholds(scores, truth, 0.9)
    assert found[2] == of_all[2]
    assert found[0] != of_all[0]
