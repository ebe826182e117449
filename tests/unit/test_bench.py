import re

import numpy as np
import pytest
from rich.console import Console

from tagsmith.bench import Measurement, table
from tagsmith.bench.documents import draw
from tagsmith.metrics import indicators
from tagsmith.settings import CONTENDERS, BenchTrainRun, ModelSettings, Recipe, problems


def test_every_recipe_is_a_contender() -> None:
    assert {f"tagsmith_{recipe.value}" for recipe in Recipe} <= set(CONTENDERS)


def test_a_draw_holds_so_many_documents_of_each_class() -> None:
    labels = [0] * 50 + [1] * 20 + [2] * 5
    truth = indicators(labels, 3, multi_label=False)
    drawn = draw(truth, 8, seed=0)
    assert truth[drawn].sum(axis=0).tolist() == [8, 8, 5]
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert drawn.tolist() == draw(truth, 8, seed=0).tolist()
    assert drawn.tolist() != draw(truth, 8, seed=1).tolist()
    assert set(drawn) <= set(draw(truth, 16, seed=0))


def test_a_draw_of_multi_label_documents_counts_each_of_their_classes() -> None:
    random = np.random.default_rng(0)
    truth = (random.random((400, 4)) < [0.5, 0.2, 0.1, 0.02]).astype(np.int8)
    drawn = truth[draw(truth, 8, seed=0)]
    assert (drawn.sum(axis=0) >= np.minimum(8, truth.sum(axis=0))).all()
    assert (~drawn.any(axis=1)).sum() == 8
    # One document at least was needed for each, and none is drawn that no class was short of.
    assert 8 + 8 < len(drawn) <= 5 * 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contenders": ["tfidf_svm", "bert"]}, "contenders: expected null or different ones of tagsmith_probe"),
        ({"contenders": []}, "contenders"),
        ({"contenders": ["setfit", "setfit"]}, "contenders"),
        ({"per_class": [8, 0]}, r"per_class: .* found \[8, 0\]"),
        ({"full_data": False}, "full_data, per_class"),
        ({"draws": 0}, "draws: expected at least 1"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, object], message: str) -> None:
    found = problems(BenchTrainRun(model=ModelSettings(name="x"), **changes))  # type: ignore[arg-type]
    assert len(found) == 1
    assert re.match(message, found[0])


def test_the_table_shows_means_deviations_and_what_was_skipped() -> None:
    about = {"task": "single_label", "classes": 3, "per_class": 8, "documents": 24, "test_documents": 9}
    rows = [
        Measurement("tfidf_svm", **about, repetition=i, seconds=i, accuracy=share, skipped=None)  # type: ignore[arg-type]
        for i, share in ((1, 0.5), (2, 0.6), (3, 0.7))
    ]
    rows.append(Measurement("setfit", **about, repetition=1, skipped="it needs [more]"))  # type: ignore[arg-type]
    console = Console(width=130)
    with console.capture() as written:
        console.print(table(rows))
    for part in ("0.6000", "± 0.1000", "± 1.0", "setfit: skipped: it needs [more]", "9 test documents"):
        assert part in written.get()
