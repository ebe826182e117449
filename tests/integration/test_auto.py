"""The recipe auto: what is best on held-out folds, within the time that there is, and never worse than the probe."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tagsmith.config.settings import BestMetric, Recipe, TrainRun
from tagsmith.core.errors import Interrupted
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import indicators
from tagsmith.data.split import draw_folds
from tagsmith.train import auto
from tagsmith.train.train_run import train
from tests.conftest import make_documents, write_jsonl

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]


def same_weights(a: RunFolder, b: RunFolder) -> bool:
    first, second = load_file(a.weights), load_file(b.weights)
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("auto") / "many.jsonl", make_documents(240, multi_label=False))


LEARNS = {"epochs": 8, "learning_rate": 2e-3, "validation_share": 0.0, "best_metric": BestMetric.log_loss}
"""A random encoder gains by fine-tuning with these."""

SHORT = LEARNS | {"epochs": 2}
"""Where it does not matter what wins."""


def test_what_wins_on_the_folds_is_trained_on_all_documents(settings: Make, many: Path) -> None:
    run, _ = train(settings(many, "auto", recipe=Recipe.auto, **LEARNS))
    choice = json.loads(run.choice.read_text())
    assert set(choice) == {"probe", "partial", "full"}
    # One of them was ahead of the others on the first fold, so that there was no second.
    assert [len(about["scores"]) for about in choice.values()] == [3, 1, 1]
    means = {name: about["scores"][0] for name, about in choice.items()}
    best = max(means, key=lambda name: means[name])
    assert best != "probe"
    chosen, _ = train(settings(many, "chosen", frozen_layers=choice[best]["frozen_layers"], **LEARNS))
    assert same_weights(run, chosen)
    assert not run.comparison.exists()
    assert not run.frozen_states.exists()


def test_without_time_it_is_the_probe(settings: Make, many: Path) -> None:
    run, _ = train(settings(many, "auto", recipe=Recipe.auto, time_budget=0.0, **LEARNS))
    probe, _ = train(settings(many, "probe", recipe=Recipe.probe, **LEARNS))
    assert same_weights(run, probe)


def test_what_is_worse_than_the_probe_on_the_folds_is_not_taken(settings: Make, many: Path) -> None:
    # Such a rate destroys the encoder.
    spoilt = SHORT | {"learning_rate": 1.0}
    run, _ = train(settings(many, "auto", recipe=Recipe.auto, **spoilt))
    probe, _ = train(settings(many, "probe", recipe=Recipe.probe, **spoilt))
    assert same_weights(run, probe)
    assert [len(about["scores"]) for about in json.loads(run.choice.read_text()).values()] == [3, 1, 1]


def test_multi_label(settings: Make, multi_label_file: Path) -> None:
    run, evaluation = train(settings(multi_label_file, recipe=Recipe.auto, epochs=2))
    assert evaluation["documents"] == 30
    choice = json.loads(run.choice.read_text())
    assert len(choice["probe"]["scores"]) == 3
    assert all(0 <= score <= 1 for about in choice.values() for score in about["scores"])


def test_how_well_a_document_is_decided_and_how_far_a_recipe_is_ahead() -> None:
    scores = np.asarray([[0.9, 0.6, 0.1], [0.2, 0.1, 0.1]], dtype=np.float32)
    truth = np.asarray([[1, 0, 1], [0, 0, 0]], dtype=np.int8)
    found = auto._by_document(scores, truth, by_loss=False, multi_label=True, threshold=0.5)
    assert found.tolist() == [0.5, 1.0]  # Of two predicted classes and two true ones, one is common.
    found = auto._by_document(scores, truth, by_loss=True, multi_label=True, threshold=0.5)
    assert found[0] == pytest.approx(np.log(0.9 * 0.4 * 0.1), rel=1e-5)
    probe = auto.Candidate(None, 0.0, by_document=[[0.0, 1.0, 0.5, 0.5], [0.0, 0.0]])
    better = auto.Candidate(0, 0.0, by_document=[[1.0, 1.0, 1.0, 0.5]])
    # Gains 1, 0, 0.5, 0: mean 0.375, deviation sqrt(0.171875).
    assert better.lead(probe, 1) == pytest.approx(0.375 / (0.171875**0.5 / 2))
    assert probe.lead(probe, 2) == 0


def test_the_fastest_recipe_that_is_not_behind_is_left() -> None:
    def candidate(*by_document: list[float]) -> auto.Candidate:
        return auto.Candidate(0, 0.0, [0.0] * len(by_document), [*by_document])

    # On the first fold, "full" is ahead of "probe" by 3.5 standard errors and of "partial" by 0.6; on both, it gains
    # 3 and loses 2 over "probe": 0.5 standard errors.
    probe, full = candidate([0.0, 0.0, 0.0, 1.0], [1.0, 1.0]), candidate([1.0, 1.0, 1.0, 1.0], [0.0, 0.0])
    partial = candidate([1.0, 1.0, 0.0, 1.5])
    candidates = {"probe": probe, "partial": partial, "full": full}
    assert auto._left(candidates, 1) == ["partial", "full"]
    assert auto._left({"probe": probe, "full": full}) == ["probe", "full"]
    # What had time for no fold is not left; what was behind on its only fold stays behind.
    assert auto._left(candidates | {"partial": candidate()}) == ["probe", "full"]
    assert auto._left(candidates) == ["partial", "full"]


def test_an_interrupted_comparison_is_resumed(settings: Make, many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "AHEAD", np.inf)
    whole, _ = train(settings(many, "whole", recipe=Recipe.auto, **SHORT))
    train_fold, folds = auto._train_fold, []

    def counted(*args: Any) -> Any:
        folds.append(args[3])
        if len(folds) == 4:
            raise KeyboardInterrupt
        return train_fold(*args)

    monkeypatch.setattr(auto, "_train_fold", counted)
    with pytest.raises(Interrupted, match="resume=true"):
        train(settings(many, "stopped", recipe=Recipe.auto, **SHORT))
    resumed, _ = train(settings(many, "stopped", recipe=Recipe.auto, resume=True, **SHORT))
    assert len(folds) == 4 + 3
    assert same_weights(whole, resumed)


def test_what_was_chosen_stays_chosen(settings: Make, many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tagsmith.train.train_run.fit_recipe", interrupted)
    with pytest.raises(Interrupted):
        train(settings(many, "stopped", recipe=Recipe.auto, **SHORT))
    monkeypatch.undo()
    choice = RunFolder(Path(settings(many, "stopped").run or "")).choice
    content = json.loads(choice.read_text())
    # As if there had been no time for this one.
    loser = next(name for name, about in content.items() if not about["chosen"] and name != "probe")
    content[loser]["scores"] = []
    choice.write_text(json.dumps(content))
    monkeypatch.setattr(auto, "_train_fold", None)
    run, _ = train(settings(many, "stopped", recipe=Recipe.auto, resume=True, **SHORT))
    assert json.loads(run.choice.read_text()) == content


def test_documents_of_one_group_get_the_probe(settings: Make, tmp_path: Path) -> None:
    records = [record | {"group": "g"} for record in make_documents(60, multi_label=False)]
    test = write_jsonl(tmp_path / "test.jsonl", make_documents(20, multi_label=False, seed=1))
    data = write_jsonl(tmp_path / "group.jsonl", records)
    run, _ = train(settings(data, "auto", recipe=Recipe.auto, test=str(test), **LEARNS))
    probe, _ = train(settings(data, "probe", recipe=Recipe.probe, test=str(test), **LEARNS))
    assert same_weights(run, probe)


def test_folds_hold_each_class_in_proportion_and_keep_groups_and_copies_together() -> None:
    texts = [f"text {i // 2}" for i in range(120)]
    groups = [f"group {i // 8}" if i < 40 else None for i in range(120)]
    truth = indicators([i // 2 % 3 for i in range(120)], 3)
    folds = draw_folds(texts, groups, truth, 3, 0)
    assert set(folds) == {0, 1, 2}
    for i in range(0, 120, 2):
        assert folds[i] == folds[i + 1]
    for group in range(5):
        assert len(set(folds[8 * group : 8 * group + 8])) == 1
    for fold in range(3):
        assert 0.2 < truth[folds == fold].sum() / 120 < 0.47
        assert truth[folds == fold].sum(axis=0).min() >= 8
    assert (draw_folds(texts, groups, truth, 3, 0) == folds).all()


def test_fewer_units_than_folds() -> None:
    truth = indicators([0, 0, 1, 1], 2)
    assert draw_folds(["a", "a", "b", "b"], [None] * 4, truth, 3, 0).max() == 1
    assert draw_folds(["a"] * 4, [None] * 4, truth, 3, 0).max() == 0
