"""Learning curves on errors that do follow a power law."""

import numpy as np
import pytest

from tagsmith.analysis.learning_curve import (
    QUARTERS,
    Drawn,
    expected_gains,
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


def test_slopes_that_are_noise_are_drawn_together_and_others_are_not() -> None:
    random = np.random.default_rng(0)
    common = np.full((501, 1), -0.3)

    def spread(slopes: list[float], noise: float) -> list[float]:
        found = np.array(slopes) + noise * random.standard_normal((501, len(slopes)))
        found[0] = slopes
        return [float(value) for value in shrunk(found, common, seed=0)[0]]

    noisy = spread([-0.9, -0.3, 0.3], noise=1.0)
    assert noisy == pytest.approx([-0.3] * 3, abs=0.05)
    sure = spread([-0.9, -0.3, 0.3], noise=0.01)
    assert sure == pytest.approx([-0.9, -0.3, 0.3], abs=0.01)
    assert spread([0.0], noise=0.0) == [-0.3]  # Never wrong: no noise, and no meaning.


def simulated(seed: int, classes: int = 15, support: int = 40) -> tuple[list[Drawn], np.ndarray, np.ndarray]:
    """Predictions whose errors fall with a power of the share, their truth, and what half as much again gains."""
    random = np.random.default_rng(seed)
    level, power = random.uniform(0.05, 0.35, classes), random.normal(0.35, 0.1, classes).clip(0.02)
    truth = np.repeat(np.arange(classes), support)
    hard = random.random(len(truth))  # Every draw meets the same test documents.

    def errors(share: float) -> np.ndarray:
        return level * share**-power

    drawn = []
    for share, choices in QUARTERS.items():
        for _ in choices[:3]:
            own = random.random(len(truth)) < 0.3
            wrong = np.where(own, random.random(len(truth)), hard) < errors(share)[truth]
            other = (truth + 1 + random.integers(0, classes - 1, len(truth))) % classes
            drawn.append(Drawn(share, np.eye(classes, dtype=np.int8)[np.where(wrong, other, truth)]))

    def f1(share: float) -> np.ndarray:
        wrong = errors(share)
        invented = (wrong.sum() - wrong) / (classes - 1)
        return 2 * (1 - wrong) / (2 * (1 - wrong) + wrong + invented)

    return drawn, np.eye(classes, dtype=np.int8)[truth], f1(1.5) - f1(1.0)


def test_intervals_of_gains_cover_as_often_as_they_claim() -> None:
    covered, errors = [], []
    names = [str(i) for i in range(15)]
    for seed in range(8):
        drawn, truth, gains = simulated(seed)
        curve = learning_curve(drawn, truth, 1500, [100] * 15, [100] * 15, names, 200, seed)
        for name, gain in zip(names, gains, strict=True):
            found = curve["classes"][name]
            covered.append(found["low"] <= gain <= found["high"])
            errors.append(found["gain_of_50"] - gain)
    assert np.mean(covered) >= 0.9
    assert np.mean(errors) == pytest.approx(0, abs=0.003)


def test_points_and_who_is_left_out() -> None:
    truth = np.eye(3, dtype=np.int8)[[0, 0, 1, 1]]
    wrong = np.eye(3, dtype=np.int8)[[0, 0, 0, 0]]
    drawn = [Drawn(0.25, wrong), Drawn(0.5, wrong), Drawn(0.75, truth), Drawn(1.0, truth)]
    curve = learning_curve(drawn, truth, 40, [20, 7, 13], [20, 7, 13], ["a", "few", "not tested"], 100, 0)
    assert [point["documents"] for point in curve["points"]] == [10, 20, 30, 40]
    assert [point["macro_f1"] for point in curve["points"]] == pytest.approx([1 / 3, 1 / 3, 1, 1])
    assert list(curve["classes"]) == ["a"]
    assert curve["classes"]["a"]["documents"] == [5, 10, 15, 20]
    assert curve["classes"]["a"]["f1"] == pytest.approx([2 / 3, 2 / 3, 1, 1])
    again = learning_curve(drawn, truth, 40, [20, 7, 13], [20, 7, 13], ["a", "few", "not tested"], 100, 0)
    assert again == curve
    many = learning_curve(drawn, truth, 40, [20, 7, 13], [2000, 7, 13], ["a", "few", "not tested"], 100, 0)
    assert many["classes"]["a"]["gain_of_50"] < curve["classes"]["a"]["gain_of_50"] / 20


def test_draws_are_quarters() -> None:
    folds = np.repeat(np.arange(4), 5)
    seen: list[int] = []

    def predict(chosen: np.ndarray) -> np.ndarray:
        seen.append(int(chosen.sum()))
        return np.zeros((2, 1), dtype=np.int8)

    found = predictions_by_share(folds, predict, np.ones((2, 1), dtype=np.int8), draws=2)
    assert seen == [5, 5, 10, 10, 15, 15]
    assert [one.share for one in found] == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0]
    assert found[-1].predicted.all()
