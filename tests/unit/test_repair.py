"""What correcting tags brings: planted mistakes that are repaired."""

import numpy as np
import pytest

from tagsmith.improve.repair import Repair, expected_gain

Tags = np.ndarray


def tags(ids: list[int], classes: int = 2) -> Tags:
    return np.eye(classes, dtype=np.int8)[ids]


@pytest.mark.slow
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
    repair = Repair(vectors, given, repaired, suspected, folds, False)
    found = expected_gain(repair, True, 900, seed=0)
    assert found["low"] < found["macro_f1"] < found["high"]
    assert found["macro_f1"] > 0.01
    wider = expected_gain(repair, False, 900, seed=0)
    assert wider["low"] <= found["low"]
    assert wider["high"] >= found["high"]
    few = expected_gain(repair, True, 30, seed=0)
    assert few["high"] - few["low"] > 2 * (found["high"] - found["low"])  # Seen on few test documents.
    assert "95 %" in found["method"]
    assert found == expected_gain(repair, True, 900, seed=0)


def test_where_none_or_all_are_suspected_there_is_nothing_to_estimate() -> None:
    vectors, given, folds = np.zeros((4, 2), dtype=np.float32), tags([0, 1, 0, 1]), np.asarray([0, 0, 1, 1])
    none = expected_gain(Repair(vectors, given, given, np.zeros(4, dtype=bool), folds, False), True, 4, seed=0)
    assert (none["macro_f1"], none["low"], none["high"]) == (0, 0, 0)
    everything = expected_gain(Repair(vectors, given, given, np.ones(4, dtype=bool), folds, False), True, 4, seed=0)
    assert everything["macro_f1"] is None
