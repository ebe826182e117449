import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.errors import DataError
from tagsmith.serve.answers import Answer
from tagsmith.serve.drift import Drift, Histogram, Reference, population_stability_index

REFERENCE: dict[str, Any] = {
    "documents": 200,
    "classes": {"a": 0.5, "b": 0.5},
    "score": {"edges": [0.5], "shares": [0.25, 0.75]},
    "tokens": {"edges": [8, 16], "shares": [0.5, 0.25, 0.25]},
}


def answer(name: str, score: float, tokens: int) -> Answer:
    scores = np.array([score], dtype=np.float32)
    return Answer(scores, scores, (name,) if name else (), False, tokens, 0)


def test_the_index_worked_by_hand() -> None:
    # (0.25 - 0.5) ln(0.25 / 0.5) + (0.75 - 0.5) ln(0.75 / 0.5) = 0.25 ln 2 + 0.25 ln 1.5 = 0.25 ln 3
    assert population_stability_index([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.25 * math.log(3))
    assert population_stability_index([0.3, 0.7], [0.3, 0.7]) == 0
    # A bin that has nothing counts as one of 0.0001: it adds (0.5 - 0.0001) ln 5000.
    assert population_stability_index([0.0001, 0.9999], [0.0, 1.0]) == pytest.approx(0, abs=1e-6)
    assert population_stability_index([0.5, 0.5], [0.0, 1.0]) == pytest.approx(
        0.4999 * math.log(5000) + 0.5 * math.log(2)
    )


def test_an_edge_belongs_to_the_bin_above_it() -> None:
    histogram = Histogram((8, 16), (0.5, 0.25, 0.25))
    assert [histogram.bin(value) for value in (0, 7.9, 8, 15, 16, 1e9)] == [0, 0, 1, 1, 2, 2]


def bundle(folder: Path, reference: Any) -> Path:
    (folder / "decision.json").write_text(json.dumps({"reference": reference} if reference is not None else {}))
    return folder


def test_the_last_documents_are_compared(tmp_path: Path) -> None:
    reference = Reference.load(bundle(tmp_path, REFERENCE))
    assert reference is not None
    drift = Drift(reference, documents=100)
    drift.add([answer("a", 0.9, 4)] * 99)
    assert drift.figures() == {}  # Too few to say anything.
    drift.add([answer("a", 0.9, 4)] * 1)
    assert drift.figures()["class"] > 1
    # Exactly the reference: the hundred before it are forgotten.
    like_it = [("a", 0.9, 4)] * 25 + [("b", 0.9, 10)] * 25 + [("a", 0.3, 4)] * 25 + [("b", 0.9, 20)] * 25
    drift.add([answer(*one) for one in like_it])
    assert drift.figures() == pytest.approx({"class": 0, "score": 0, "tokens": 0})
    # A class that the reference does not know, and documents without one.
    drift.add([answer("new", 0.9, 4), answer("", 0.9, 4)] * 50)
    assert drift.figures()["class"] > 1


def test_a_bundle_may_have_none_or_a_wrong_one(tmp_path: Path) -> None:
    assert Reference.load(bundle(tmp_path, None)) is None
    wrong: list[Any] = [
        {},
        7,
        {**REFERENCE, "score": {"edges": [0.5], "shares": [1.0]}},
        {**REFERENCE, "tokens": {"edges": [9, 8], "shares": [0.5, 0.25, 0.25]}},
    ]
    for reference in wrong:
        with pytest.raises(DataError, match="reference"):
            Reference.load(bundle(tmp_path, reference))
