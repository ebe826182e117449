"""Learning curves on errors that do follow a power law."""

import numpy as np
import pytest

from tagsmith.bench.tagging.learning_curves import Backtest, summarise
from tagsmith.evaluate.analysis.learning_curve import (
    GROWTH,
    QUARTERS,
    Drawn,
    expected_gains,
    jump,
    learning_curve,
    predictions_by_share,
    shrunk,
)

SHARES = np.array([0.25, 0.5, 0.75, 1.0])


def test_a_power_law_is_found_and_extrapolated() -> None:
    # 1 - F1 = 0.2 at all documents, falling with the power 0.5: 50 more than 50 make it 0.2 / √2.
    errors = np.repeat((0.2 * SHARES**-0.5)[:, None, None], 11, axis=1)
    gains = expected_gains(SHARES, errors, np.array([1.0]), np.array([2.0]), seed=0)
    assert gains[0, 0] == pytest.approx(0.2 - 0.2 / 2**0.5)
    # A quarter was drawn for the curve: there are four times as many, with half the errors, and eight times.
    later = expected_gains(SHARES, errors, np.array([4.0]), np.array([8.0]), seed=0)
    assert later[0, 0] == pytest.approx(0.1 - 0.1 / 2**0.5)


def test_only_noisy_slopes_are_shrunk() -> None:
    random = np.random.default_rng(0)
    common = np.full((501, 1), -0.3)

    def spread(slopes: list[float], noise: float) -> list[float]:
        found = np.array(slopes) + noise * random.standard_normal((501, len(slopes)))
        found[0] = slopes
        return [float(value) for value in shrunk(found, common, seed=0)[0]]

    noisy = spread([-0.9, -0.3, 0.3], noise=1.0)
    assert noisy == pytest.approx([-0.3] * 3, abs=0.05)
    certain = spread([-0.9, -0.3, 0.3], noise=0.01)
    assert certain == pytest.approx([-0.9, -0.3, 0.3], abs=0.01)
    assert spread([0.0], noise=0.0) == [-0.3]  # Never wrong: no noise, and no meaning.


def test_figures_jump_like_proportions() -> None:
    random = np.random.default_rng(0)
    size, errors = np.array([20.0, 100.0, 400.0]), np.array([0.3, 0.2, 0.1])
    spread = np.sqrt(2 * errors * (1 - errors) / size)  # Two trainings that have nothing in common.
    # Half of it from training to training, half among the test documents of one.
    trainings, documents = random.standard_normal((400, 1, 3)), random.standard_normal((400, 501, 3))
    documents[:, 0] = 0
    steps = 0.05 + spread * (trainings + documents) / 2**0.5
    found = jump(steps, np.tile(errors, (8, 1)), errors, size)
    assert found == pytest.approx(spread, rel=0.1)
    # Of half the errors the half, near 0, and of a class that did not move what the others of its size do.
    assert jump(steps, np.tile(errors, (8, 1)), errors / 2, size)[2] == pytest.approx(spread[2] * 0.5**0.5, rel=0.1)
    steps[..., 2] = 0
    assert jump(steps, np.tile(errors, (8, 1)), errors, size)[2] == pytest.approx(spread[2], rel=0.1)


def simulated(seed: int, classes: int = 15, support: int = 30) -> tuple[list[Drawn], np.ndarray, np.ndarray]:
    """Predictions whose errors fall with a power of the share, their truth, and those of half as many again."""
    random = np.random.default_rng(seed)
    level, power = random.uniform(0.05, 0.35, classes), random.normal(0.35, 0.1, classes).clip(0.02)
    truth = np.repeat(np.arange(classes), support)
    hard = random.random(len(truth))  # Every training meets the same test documents.

    def predicted(share: float) -> np.ndarray:
        own = random.random(len(truth)) < 0.3
        wrong = np.where(own, random.random(len(truth)), hard) < (level * share**-power)[truth]
        other = (truth + 1 + random.integers(0, classes - 1, len(truth))) % classes
        return np.eye(classes, dtype=np.int8)[np.where(wrong, other, truth)]

    drawn = [
        Drawn(share, predicted(share)) for share, choices in QUARTERS.items() for _ in choices[: 1 if share == 1 else 3]
    ]
    return drawn, np.eye(classes, dtype=np.int8)[truth], predicted(GROWTH)


def f1(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    found: np.ndarray = 2 * (truth & predicted).sum(axis=0) / (truth.sum(axis=0) + predicted.sum(axis=0))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("jumps", [True, False])
def test_intervals_cover_the_gain_as_often_as_they_claim(monkeypatch: pytest.MonkeyPatch, jumps: bool) -> None:
    if not jumps:  # The law alone, without what one training differs by from the next.
        monkeypatch.setattr("tagsmith.evaluate.analysis.learning_curve.jump", lambda *_: np.zeros(1))
    names = [str(i) for i in range(15)]
    of_class, of_all, errors = [], [], []
    for seed in range(24):
        drawn, truth, later = simulated(seed)
        curve = learning_curve(drawn, truth, (1500, 1500), [100] * 15, [100] * 15, names, 200, seed)
        assert curve["gain"]["documents"] == 750
        gained = f1(truth, later) - f1(truth, drawn[-1].predicted)
        found = [curve["classes"][name] for name in names]
        of_class += [one["low"] <= gain <= one["high"] for one, gain in zip(found, gained, strict=True)]
        of_all.append(curve["gain"]["low"] <= gained.mean() <= curve["gain"]["high"])
        errors.append(curve["gain"]["macro_f1"] - gained.mean())
    if jumps:
        assert np.mean(of_class) >= 0.93
        assert sum(of_all) >= 21  # Of 24; fewer in 1 of 50 cases.
        assert np.mean(errors) == pytest.approx(0, abs=0.01)
    else:
        assert np.mean(of_class) < 0.7
        assert sum(of_all) < 21


def test_points_and_classes_left_out() -> None:
    truth = np.eye(3, dtype=np.int8)[[0, 0, 1, 1]]
    wrong = np.eye(3, dtype=np.int8)[[0, 0, 0, 0]]
    drawn = [Drawn(0.25, wrong), Drawn(0.5, wrong), Drawn(0.75, truth), Drawn(1.0, truth)]
    curve = learning_curve(drawn, truth, (40, 40), [20, 7, 13], [20, 7, 13], ["a", "few", "not tested"], 100, 0)
    assert [point["documents"] for point in curve["points"]] == [10, 20, 30, 40]
    assert [point["macro_f1"] for point in curve["points"]] == pytest.approx([1 / 3, 1 / 3, 1, 1])
    assert list(curve["classes"]) == ["a"]
    assert curve["gain"] is None  # Of two classes one has enough.
    assert curve["classes"]["a"]["documents"] == [5, 10, 15, 20]
    assert curve["classes"]["a"]["f1"] == pytest.approx([2 / 3, 2 / 3, 1, 1])
    again = learning_curve(drawn, truth, (40, 40), [20, 7, 13], [20, 7, 13], ["a", "few", "not tested"], 100, 0)
    assert again == curve
    many = learning_curve(drawn, truth, (40, 4000), [20, 8, 13], [2000, 8, 13], ["a", "b", "not tested"], 100, 0)
    assert many["gain"]["documents"] == 2000
    assert many["classes"]["a"]["gain"] < curve["classes"]["a"]["gain"] / 5


def test_a_draw_of_three_quarters_contains_one_of_a_half() -> None:
    folds = np.repeat(np.arange(4), 5)
    seen: list[int] = []

    def predict(chosen: np.ndarray) -> np.ndarray:
        seen.append(int(chosen.sum()))
        return np.zeros((2, 1), dtype=np.int8)

    found = predictions_by_share(folds, predict, np.ones((2, 1), dtype=np.int8), draws=2)
    assert seen == [5, 5, 10, 10, 15, 15]
    assert [one.share for one in found] == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0]
    assert found[-1].predicted.all()
    assert all(set(half) < set(more) for half, more in zip(QUARTERS[0.5], QUARTERS[0.75], strict=True))


def test_a_curve_is_compared_with_the_gain_found() -> None:
    expected = {"gain": 0.02, "low": 0.01, "high": 0.05}
    cases = [(expected, found) for found in (0.0, 0.01, 0.03, 0.06)]
    found = summarise(770, "macro F1", cases)
    assert found == Backtest(770, "macro F1", cases=4, held=0.5, below=0.25, expected=0.02, found=0.025, width=0.04)
