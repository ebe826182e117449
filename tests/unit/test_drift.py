import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.classify.bundle.histogram import Histogram
from tagsmith.classify.bundle.reference import Reference, reference_of
from tagsmith.classify.drift import Drift, index_by_chance, population_stability_index
from tagsmith.core.errors import DataError
from tagsmith.serve.answers import Answer

REFERENCE: dict[str, Any] = {
    "split": "test",
    "documents": 200,
    "other_classes": 0.0,
    "classes": {"a": 0.5, "b": 0.5},
    "score": {"edges": [0.5], "shares": [0.25, 0.75]},
    "tokens": {"edges": [8, 16], "shares": [0.5, 0.25, 0.25]},
}


def answer(name: str, score: float, tokens: int) -> Answer:
    scores = np.array([score], dtype=np.float32)
    return Answer(scores, scores, (name,) if name else (), score, False, tokens, 0)


def test_the_index_of_a_hand_computed_example() -> None:
    # (0.25 - 0.5) ln(0.25 / 0.5) + (0.75 - 0.5) ln(0.75 / 0.5) = 0.25 ln 2 + 0.25 ln 1.5 = 0.25 ln 3
    assert population_stability_index([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.25 * math.log(3))
    assert population_stability_index([0.3, 0.7], [0.3, 0.7]) == 0
    # An empty bin counts as 0.0001 and adds (0.5 - 0.0001) ln 5000.
    assert population_stability_index([0.0001, 0.9999], [0.0, 1.0]) == pytest.approx(0, abs=1e-6)
    assert population_stability_index([0.5, 0.5], [0.0, 1.0]) == pytest.approx(
        0.4999 * math.log(5000) + 0.5 * math.log(2)
    )


def test_an_edge_belongs_to_the_bin_above_it() -> None:
    histogram = Histogram((8, 16), (0.5, 0.25, 0.25))
    assert [histogram.bin(value) for value in (0, 7.9, 8, 15, 16, 1e9)] == [0, 0, 1, 1, 2, 2]


def written(folder: Path, content: Any) -> Path:
    (folder / "reference.json").write_text(json.dumps(content))
    return folder / "reference.json"


def test_the_last_documents_are_compared(tmp_path: Path) -> None:
    reference = Reference.load(written(tmp_path, REFERENCE))
    assert reference is not None
    drift = Drift(reference, documents=100)
    drift.add([answer("a", 0.9, 4)] * 99)
    assert drift.indices() == {}  # Too few documents.
    drift.add([answer("a", 0.9, 4)] * 1)
    assert drift.indices()["class"] > 1
    # Exactly the reference: the hundred before are dropped.
    like_it = [("a", 0.9, 4)] * 25 + [("b", 0.9, 10)] * 25 + [("a", 0.3, 4)] * 25 + [("b", 0.9, 20)] * 25
    drift.add([answer(*one) for one in like_it])
    assert drift.indices() == pytest.approx({"class": 0, "score": 0, "tokens": 0})
    # A class that is not in the reference, and documents without a class.
    drift.add([answer("new", 0.9, 4), answer("", 0.9, 4)] * 50)
    assert drift.indices()["class"] > 1


def test_a_missing_and_an_invalid_reference(tmp_path: Path) -> None:
    assert Reference.load(tmp_path / "reference.json") is None
    wrong: list[Any] = [
        {},
        7,
        {**REFERENCE, "documents": 0},
        {**REFERENCE, "classes": {"a": 0.5, "b": 0.4}},
        {**REFERENCE, "score": {"edges": [0.5], "shares": [1.0]}},
        {**REFERENCE, "score": {"edges": [0.5], "shares": [0.5, float("nan")]}},
        {**REFERENCE, "tokens": {"edges": [9, 8], "shares": [0.5, 0.25, 0.25]}},
    ]
    for content in wrong:
        with pytest.raises(DataError, match=r"reference\.json: .*; export the run again"):
            Reference.load(written(tmp_path, content))


def test_the_reference_of_a_hand_computed_example(tmp_path: Path) -> None:
    """100 documents make three bins: two classes and all others; tertiles."""
    predicted = np.zeros((100, 4), dtype=np.int8)
    for name, rows in enumerate([range(60), range(60, 85), range(85, 93), range(93, 100)]):
        predicted[list(rows), name] = 1
    scores = np.full((100, 4), 0.01, dtype=np.float32)
    scores[:, 0] = np.linspace(0.5, 0.995, 100)
    tokens = np.array([4] * 50 + [9] * 50)
    found = reference_of("test", ["a", "b", "c", "d"], predicted, scores, tokens)
    assert found.classes == pytest.approx({"a": 0.6, "b": 0.25})
    assert found.other_classes == pytest.approx(0.15)
    assert found.score.edges == pytest.approx((0.665, 0.83), abs=2e-4)
    assert found.score.shares == pytest.approx((0.33, 0.33, 0.34))
    assert found.tokens == Histogram((9.0,), (0.5, 0.5))  # One of the two tertiles is the smallest value.
    found.save(tmp_path / "reference.json")
    assert Reference.load(tmp_path / "reference.json") == found
    # Several classes per document, and none: shares of all predictions.
    several = np.array([[1, 1]] * 30 + [[1, 0]] * 30 + [[0, 0]] * 40, dtype=np.int8)
    said = reference_of("test", ["a", "b"], several, scores[:, :2], tokens)
    assert said.classes == pytest.approx({"a": 60 / 130, "": 40 / 130, "b": 30 / 130})
    assert said.other_classes == 0


@pytest.mark.parametrize("confident", [False, True])
def test_no_bin_is_empty(confident: bool) -> None:
    """Whatever the scores, since one document in an empty bin would have a large effect."""
    draw = np.random.default_rng(0)
    for documents in (50, 73, 500, 3000):
        logits = draw.normal(0, 20 if confident else 1, (documents, 5))
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        predicted = (scores == scores.max(axis=1, keepdims=True)).astype(np.int8)
        tokens = draw.geometric(0.1, documents) + 2
        found = reference_of("test", list("abcde"), predicted, scores, tokens)
        for histogram, values in ((found.score, scores.max(axis=1)), (found.tokens, tokens)):
            bins = [histogram.bin(float(value)) for value in values]
            assert np.bincount(bins).tolist() == [round(share * documents) for share in histogram.shares]
            assert min(histogram.shares) > 0
            assert sum(histogram.shares) == pytest.approx(1)


def test_chance_is_not_reported_as_drift() -> None:
    """77 classes: 100 documents like the reference would have an index of 0.76, so none is reported before 2,534."""
    assert index_by_chance(77, 100) == 0.76
    draw = np.random.default_rng(1)
    names = [f"class {i}" for i in range(77)]
    predicted = np.eye(77, dtype=np.int8)[draw.permutation(np.arange(5000) % 77)]
    scores = draw.uniform(0.3, 1, (5000, 77)).astype(np.float32)
    tokens = draw.geometric(0.05, 5000) + 2
    drift = Drift(reference_of("test", names, predicted, scores, tokens), documents=3000)
    indices = []
    for batch in range(30):
        rows = draw.integers(0, 5000, 100)
        drift.add(
            [
                Answer(scores[i], scores[i], (names[int(predicted[i].argmax())],), 0.5, False, int(tokens[i]), 0)
                for i in rows
            ]
        )
        indices.append(drift.indices())
        assert all(index < 0.1 for index in indices[-1].values())
        assert ("class" in indices[-1]) == (100 * (batch + 1) >= 2534)
        assert ("score" in indices[-1]) == (100 * (batch + 1) >= 300)
