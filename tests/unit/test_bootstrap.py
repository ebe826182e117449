"""The bootstrap: figures by hand, and simulations in which the true figure, or the later one, is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tagsmith.decision import metrics
from tagsmith.decision.bootstrap import (
    OF_A_CLASS,
    OVERALL,
    bootstrap_sums,
    contributions,
    corrected_interval,
    difference,
    figures,
)

Tags = NDArray[np.int8]
ACCURACY, MICRO, MACRO = (OVERALL.index(name) for name in ("accuracy", "micro_f1", "macro_f1"))


def tags(ids: NDArray[np.int64] | list[int], classes: int = 4) -> Tags:
    return np.eye(classes, dtype=np.int8)[ids]


def draw(documents: int, right: float, seed: int, classes: int = 4) -> tuple[Tags, Tags]:
    """Truth and predictions of which each is right with this probability: accuracy and both F1 are the same number."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, documents)
    wrong = random.random(documents) >= right
    said = np.where(wrong, (truth + 1 + random.integers(0, classes - 1, documents)) % classes, truth)
    return tags(truth, classes), tags(said, classes)


def test_figures_are_those_of_the_metrics() -> None:
    random = np.random.default_rng(0)
    truth, scores = (random.random((50, 5)) < 0.3).astype(np.int8), random.random((50, 5)).astype(np.float32)
    truth[:, 4], scores[:, 4] = 0, 0  # A class that neither is nor is predicted has no say in the macro average.
    expected = metrics.figures(scores, truth, list("abcde"), multi_label=True, threshold=0.6)
    found = figures(contributions(truth, (scores >= 0.6).astype(np.int8)).sum(axis=0))
    assert found[ACCURACY] == pytest.approx(expected["accuracy"])
    assert found[MICRO] == pytest.approx(expected["micro"]["f1"])
    assert found[MACRO] == pytest.approx(expected["macro"]["f1"])
    of_classes = found[len(OVERALL) :].reshape(5, len(OF_A_CLASS))
    for name, row in zip("abcd", of_classes, strict=False):
        assert row == pytest.approx([expected["classes"][name][figure] for figure in OF_A_CLASS])
    assert np.isnan(of_classes[4]).all()


def test_figures_by_hand() -> None:
    truth, predicted = tags([0, 0, 1, 1]), tags([0, 0, 1, 2])
    part = contributions(truth, predicted, np.array([0.0, 1.0, 2.0, 3.0]), np.array([True, False, False, True]))
    twice_the_last = figures(part[[0, 2, 3, 3]].sum(axis=0))
    # F1: 1 of class 0; 2*1 / (2*1 + 2) of class 1; 0 of class 2. Of the three handled ones one is right.
    assert twice_the_last[:6] == pytest.approx([2 / 4, 4 / 8, (1 + 0.5 + 0) / 3, 8 / 4, 3 / 4, 1 / 3])


def test_equal_classifiers_do_not_differ() -> None:
    truth, before = tags([0, 0, 1, 1]), tags([0, 1, 1, 1])
    part = contributions(truth, before)
    low, high, error = difference(part, part, 100, np.random.default_rng(0))
    assert (low[:3] == 0).all()
    assert (high[:3] == 0).all()
    assert (error[:3] == 0).all()


@pytest.mark.parametrize("least", [10, 5_000_000])
def test_both_classifiers_share_the_resamples(monkeypatch: pytest.MonkeyPatch, least: int) -> None:
    monkeypatch.setattr("tagsmith.decision.bootstrap.AT_ONCE", least)
    part = contributions(*draw(30, 0.7, 0))
    ours, theirs = bootstrap_sums((part, part), 50, np.random.default_rng(0), size=20)
    assert np.array_equal(ours, theirs, equal_nan=True)
    assert len(ours) == 50
    assert (ours[:, -5] == 20).all()


def test_shared_errors_do_not_widen_the_interval_of_a_difference() -> None:
    truth, predicted = draw(400, 0.7, 0)
    other = predicted.copy()
    other[:20] = truth[:20]
    low, high, _ = difference(
        contributions(truth, predicted), contributions(truth, other), 500, np.random.default_rng(0)
    )
    assert 0 < low[ACCURACY] < high[ACCURACY] < 0.05


@pytest.mark.slow
def test_intervals_cover_as_often_as_they_claim() -> None:
    runs = 120
    covered = np.zeros(3)
    for seed in range(runs):
        low, high = corrected_interval(contributions(*draw(200, 0.8, seed)), 300, np.random.default_rng(seed))
        covered += (low[:3] <= 0.8) & (high[:3] >= 0.8)
    # 95 %, and three standard deviations of 120 runs below it.
    assert covered.min() / runs >= 0.95 - 3 * (0.95 * 0.05 / runs) ** 0.5


@pytest.mark.slow
def test_percentiles_miss_the_macro_f1_of_small_classes_and_the_correction_does_not() -> None:
    runs, covered, plain = 120, 0, 0
    for seed in range(runs):
        part = contributions(*draw(100, 0.85, seed, classes=20))
        low, high = corrected_interval(part, 300, np.random.default_rng(seed))
        covered += low[MACRO] <= 0.85 <= high[MACRO]
        drawn = figures(bootstrap_sums((part,), 300, np.random.default_rng(seed))[0])[:, MACRO]
        edges = np.quantile(drawn, [0.025, 0.975])
        plain += edges[0] <= 0.85 <= edges[1]
    assert covered / runs >= 0.95 - 3 * (0.95 * 0.05 / runs) ** 0.5
    assert plain / runs < 0.95 - 3 * (0.95 * 0.05 / runs) ** 0.5


@pytest.mark.slow
def test_differences_need_no_correction_for_small_classes() -> None:
    runs, covered = 120, 0
    for seed in range(runs):
        random = np.random.default_rng([1, seed])
        truth, before = draw(100, 0.8, seed, classes=20)
        after = before.copy()
        mended = random.random(100) < 0.2  # Of the wrong fifth, a fifth: 0.04.
        after[mended] = truth[mended]
        low, high, _ = difference(contributions(truth, before), contributions(truth, after), 300, random)
        covered += low[MACRO] <= 0.04 <= high[MACRO]
    assert covered / runs >= 0.95 - 3 * (0.95 * 0.05 / runs) ** 0.5


@pytest.mark.slow
def test_a_smaller_resample_covers_the_difference_on_other_documents() -> None:
    random = np.random.default_rng(0)

    def two(count: int) -> list[object]:
        truth = random.integers(0, 3, count)
        before = np.where(random.random(count) < 0.80, truth, (truth + 1) % 3)
        after = np.where(random.random(count) < 0.85, truth, (truth + 2) % 3)
        return [contributions(tags(truth, 3), tags(said, 3)) for said in (before, after)]

    covered = {400 * 200 // 600: 0, 400: 0}
    for _ in range(150):
        seen, later = two(400), two(200)
        found = figures(later[1].sum(axis=0)) - figures(later[0].sum(axis=0))
        for size in covered:
            low, high, _ = difference(*seen, 300, random, size)
            covered[size] += low[MACRO] <= found[MACRO] <= high[MACRO]
    assert 0.90 <= covered[133] / 150 <= 0.99
    assert covered[400] / 150 < 0.85
