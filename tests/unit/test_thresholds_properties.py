"""Thresholds against brute force, on scores and tags of any kind."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from tagsmith.decision.thresholds import (
    GRID,
    POOLED_POSITIVES,
    abstention,
    class_thresholds,
    coverage_curve,
    lower_bound,
)
from tests.properties import repeatable

# Few different values, so that documents share scores and scores fall on the grid; and any others.
SCORES = st.sampled_from([0.0, 0.005, 0.1, 0.5, 0.9, 0.995, 1.0]) | st.floats(0, 1, width=32)
SHARES = st.floats(0.05, 1.0)


@st.composite
def scored(draw: st.DrawFn, classes: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    shape = (draw(st.integers(1, 25)), draw(st.integers(1, classes)))
    scores = draw(arrays.arrays(np.float32, shape, elements=SCORES.map(np.float32)))
    return scores, draw(arrays.arrays(np.int8, shape, elements=st.integers(0, 1)))


@st.composite
def judged(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Confidences of documents and whether their predictions are right; enough of them for a bound to be reached."""
    count = draw(st.integers(1, 300))
    seed = np.random.default_rng(draw(st.integers(0, 2**20)))
    confidence = seed.choice(seed.random(max(1, count // draw(st.integers(1, 4)))), count).astype(np.float32)
    return confidence, seed.random(count) < draw(SHARES)


def counts(scores: Any, truth: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Right predictions and all predictions [thresholds, classes], positives [classes].

    To each class's own come its share of those of all classes.
    """
    predicted = scores >= GRID.astype(np.float32)[:, None, None]
    borrowed = POOLED_POSITIVES / max(float(truth.sum()), 1.0)
    found = [(predicted & (truth == 1)).sum(axis=1), predicted.sum(axis=1), truth.sum(axis=0, dtype=int)]
    return tuple(own + borrowed * own.sum(axis=-1, keepdims=True) for own in found)  # type: ignore[return-value]


@pytest.mark.slow
@repeatable
@given(scored())
def test_no_threshold_of_the_grid_has_a_better_f1(documents: tuple[Any, Any]) -> None:
    right, predicted, positives = counts(*documents)
    f1 = 2 * right / np.maximum(predicted + positives, 1e-12)
    found, failed = class_thresholds(*documents)
    assert failed == []
    for i, threshold in enumerate(found):
        (place,) = np.flatnonzero(threshold == GRID)
        assert f1[place, i] > f1[:, i].max() - 1e-8


@pytest.mark.slow
@repeatable
@given(scored(), SHARES)
def test_the_threshold_of_a_precision_is_the_lowest_that_keeps_it(documents: tuple[Any, Any], target: float) -> None:
    right, predicted, _ = counts(*documents)
    met = right >= target * predicted - 1e-9
    found, failed = class_thresholds(*documents, target_precision=target)
    for i, threshold in enumerate(found):
        keeps = [place for place in range(len(GRID)) if right[place, i] > 0 and met[place:, i].all()]
        assert (i in failed) == (not keeps)
        assert threshold == (GRID[keeps[0]] if keeps else 1.0)


@pytest.mark.slow
@repeatable
@given(scored(), SHARES)
def test_the_threshold_of_a_recall_is_the_highest_that_reaches_it(documents: tuple[Any, Any], target: float) -> None:
    right, _, positives = counts(*documents)
    found, failed = class_thresholds(*documents, target_recall=target)
    for i, threshold in enumerate(found):
        reached = np.flatnonzero(right[:, i] >= target * positives[i] - 1e-9)
        assert (i in failed) == (not len(reached))
        assert threshold == (GRID[reached[-1]] if len(reached) else GRID[0])


@pytest.mark.slow
@repeatable
@given(scored(), st.tuples(SHARES, SHARES).map(sorted))
def test_a_higher_target_never_asks_for_less(documents: tuple[Any, Any], targets: list[float]) -> None:
    low, high = targets
    precisions = [class_thresholds(*documents, target_precision=target)[0] for target in (low, high)]
    recalls = [class_thresholds(*documents, target_recall=target)[0] for target in (low, high)]
    assert (precisions[0] <= precisions[1]).all()
    assert (recalls[0] >= recalls[1]).all()


@pytest.mark.slow
@repeatable
@given(judged(), st.tuples(SHARES, SHARES).map(sorted))
def test_documents_above_an_abstention_threshold_are_safely_right(
    documents: tuple[Any, Any], targets: list[float]
) -> None:
    confidence, right = documents
    found = [abstention(confidence, right, target) for target in targets]
    for threshold, target in zip(found, targets, strict=True):
        if threshold is not None:
            kept = confidence >= threshold
            assert lower_bound(right[kept].sum(), kept.sum(), 0.1 / 5) >= target
    low, high = (np.inf if threshold is None else threshold for threshold in found)
    assert low <= high
    assert abstention(confidence[::-1], right[::-1], targets[0]) == found[0]


@pytest.mark.slow
@repeatable
@given(judged())
def test_each_point_of_the_coverage_curve_is_what_its_threshold_gives(documents: tuple[Any, Any]) -> None:
    confidence, right = documents
    points = coverage_curve(confidence, right, points=20)
    assert points[-1]["coverage"] == 1
    assert len(points) <= 20
    assert np.all(np.diff([point["coverage"] for point in points]) > 0)
    assert np.all(np.diff([point["threshold"] for point in points]) < 0)
    for point in points:
        kept = confidence >= np.float32(point["threshold"])
        assert point["coverage"] == kept.mean()
        assert point["precision"] == right[kept].mean()
