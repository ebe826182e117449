"""What correcting tags brings: hand-worked gains, and intervals that cover what is later seen."""

import numpy as np
import pytest

from tagsmith.improve.repair import expected_gain, paired_gain

Tags = np.ndarray


def tags(ids: list[int], classes: int = 2) -> Tags:
    return np.eye(classes, dtype=np.int8)[ids]


def test_the_gain_is_the_difference_of_two_macro_f1() -> None:
    truth, before, after = tags([0, 0, 1, 1]), tags([0, 1, 1, 1]), tags([0, 0, 1, 1])
    # Before: class 0 has 2 / 3, class 1 has 4 / 5.
    found = paired_gain(truth, before, after, 4, seed=0)
    assert found.macro_f1 == pytest.approx(1 - (2 / 3 + 4 / 5) / 2, abs=1e-6)
    assert found.low <= found.macro_f1 <= found.high
    same = paired_gain(truth, before, before, 4, seed=0)
    assert (same.macro_f1, same.low, same.high) == (0, 0, 0)


def test_a_class_that_does_not_occur_has_no_say() -> None:
    truth, before, after = tags([0, 0, 1, 1], 3), tags([0, 1, 1, 1], 3), tags([0, 0, 1, 1], 3)
    assert paired_gain(truth, before, after, 4, seed=0).macro_f1 == pytest.approx(1 - (2 / 3 + 4 / 5) / 2, abs=1e-6)


def test_the_interval_covers_the_gain_on_other_documents_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)

    def draw(count: int) -> tuple[Tags, Tags, Tags]:
        truth = random.integers(0, 3, count)
        before = np.where(random.random(count) < 0.80, truth, (truth + 1) % 3)
        after = np.where(random.random(count) < 0.85, truth, (truth + 2) % 3)
        return tags(list(truth), 3), tags(list(before), 3), tags(list(after), 3)

    covered = 0
    for i in range(150):
        found = paired_gain(*draw(400), 200, seed=i, draws=300)
        later = paired_gain(*draw(200), 200, seed=i, draws=2).macro_f1
        covered += found.low <= later <= found.high
    assert 0.90 <= covered / 150 <= 0.99


def test_repairing_planted_mistakes_is_seen_to_help() -> None:
    random = np.random.default_rng(0)
    right = random.integers(0, 3, 900)
    vectors = (np.eye(3)[right] * 1.5 + random.normal(size=(900, 3))).astype(np.float32)
    vectors = np.hstack([vectors, random.normal(size=(900, 60)).astype(np.float32)])
    wrong = random.permutation(900)[:270]
    given, repaired = tags(list(right), 3), tags(list(right), 3)
    given[wrong] = np.roll(given[wrong], 1, axis=1)
    suspected = np.zeros(900, dtype=bool)
    suspected[wrong] = True
    folds = np.arange(900) % 5
    found = expected_gain(vectors, given, repaired, suspected, folds, False, True, 900, seed=0)
    assert found["low"] < found["macro_f1"] < found["high"]
    assert found["macro_f1"] > 0.01
    wider = expected_gain(vectors, given, repaired, suspected, folds, False, False, 900, seed=0)
    assert wider["low"] <= found["low"]
    assert wider["high"] >= found["high"]
    assert "95 %" in found["method"]
    assert found == expected_gain(vectors, given, repaired, suspected, folds, False, True, 900, seed=0)


def test_where_none_or_all_are_suspected_there_is_nothing_to_estimate() -> None:
    vectors, given, folds = np.zeros((4, 2), dtype=np.float32), tags([0, 1, 0, 1]), np.asarray([0, 0, 1, 1])
    none = expected_gain(vectors, given, given, np.zeros(4, dtype=bool), folds, False, True, 4, seed=0)
    assert (none["macro_f1"], none["low"], none["high"]) == (0, 0, 0)
    everything = expected_gain(vectors, given, given, np.ones(4, dtype=bool), folds, False, True, 4, seed=0)
    assert everything["macro_f1"] is None
