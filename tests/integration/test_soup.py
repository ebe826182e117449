"""The average of several trainings: the mean of their weights, and nothing is lost if one of them is killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tagsmith.config.settings import Recipe, TrainRun
from tagsmith.core.errors import DataError, Interrupted
from tagsmith.core.run import RunFolder
from tagsmith.train import fit, soup
from tagsmith.train.train_run import train
from tagsmith.train.training_log import TrainingLog
from tests.conftest import make_documents, write_jsonl
from tests.integration.conftest import settings_in
from tests.integration.test_saving import Killed, figures, kill
from tests.integration.test_train import same_weights

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]


def all_figures(run: RunFolder) -> list[list[dict[str, Any]]]:
    return [figures(run), *(figures(RunFolder(path)) for path in sorted(run.soup.iterdir()))]


@pytest.mark.parametrize("recipe", [{}, {"frozen_layers": 1}, {"ema_decay": 0.9}, {"recipe": Recipe.lora}])
def test_a_soup_is_the_mean_of_trainings_with_different_seeds(
    settings: Make, single_label_file: Path, tmp_path: Path, recipe: dict[str, Any]
) -> None:
    # With documents of their own for each split, a seed draws batches and dropout and nothing else.
    test = write_jsonl(tmp_path / "test.jsonl", make_documents(30, multi_label=False, seed=1))
    about = {"validation_share": 0.0, "test": str(test), "hidden_dropout": 0.1, **recipe}
    averaged, _ = train(settings(single_label_file, "averaged", soup=3, **about))
    alone = [train(settings(single_label_file, f"seed-{seed}", seed=seed, **about))[0] for seed in range(3)]
    found, weights = load_file(averaged.weights), [load_file(run.weights) for run in alone]
    for name, tensor in found.items():
        mean = torch.stack([each[name].double() for each in weights]).mean(dim=0)
        assert torch.equal(tensor, mean.float()), name
    assert not torch.equal(found["head.weight"], weights[0]["head.weight"])
    assert all_figures(averaged) == [figures(run) for run in alone]
    assert sorted(path.name for path in averaged.soup.rglob("*")) == ["1", "2", "metrics.jsonl", "metrics.jsonl"]


def at_step_of_training(monkeypatch: pytest.MonkeyPatch, number: int, step: int, action: Callable[[], object]) -> None:
    original = TrainingLog.step

    def step_and_act(self: TrainingLog, progress: Any, *args: Any) -> str:
        speed = original(self, progress, *args)
        if progress.step == step and self.run.path.name == (str(number) if number else "stopped"):
            action()
        return speed

    monkeypatch.setattr(TrainingLog, "step", step_and_act)


def after_keeping(monkeypatch: pytest.MonkeyPatch, number: int, _: int, action: Callable[[], object]) -> None:
    original = soup.keep

    def keep_and_act(run: RunFolder, kept: int, *args: Any) -> None:
        original(run, kept, *args)
        if kept == number:
            action()

    monkeypatch.setattr(fit.soup, "keep", keep_and_act)


KILLED = {"soup": 3, "checkpoint_every": 4, "hidden_dropout": 0.1}


@pytest.fixture(scope="module")
def undisturbed(
    encoder: Path, single_label_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunFolder, dict[str, Any]]:
    """What every killed run must equal."""
    return train(settings_in(tmp_path_factory.mktemp("soup"), encoder)(single_label_file, "whole", **KILLED))


@pytest.mark.parametrize(
    ("when", "number", "step"),
    [
        (at_step_of_training, 0, 9),
        (after_keeping, 0, 0),
        (at_step_of_training, 1, 1),
        (at_step_of_training, 1, 9),
        (at_step_of_training, 2, 9),
        (after_keeping, 2, 0),
    ],
)
def test_a_soup_that_was_killed_and_resumed_equals_uninterrupted(
    settings: Make,
    single_label_file: Path,
    undisturbed: tuple[RunFolder, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    when: Any,
    number: int,
    step: int,
) -> None:
    whole, expected = undisturbed
    when(monkeypatch, number, step, kill)
    stopped = settings(single_label_file, "stopped", **KILLED)
    with pytest.raises(Killed):
        train(stopped)
    monkeypatch.undo()
    stopped.resume = True
    run, found = train(stopped)
    assert same_weights(whole, run)
    assert all_figures(whole) == all_figures(run)
    assert found == expected
    assert not [*run.path.rglob("checkpoints"), *run.soup.glob("*.safetensors")]


def test_a_signal_in_the_second_training_names_the_run(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step_of_training(monkeypatch, 1, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    given = settings(single_label_file, "stopped", soup=2)
    with pytest.raises(Interrupted, match=rf"SIGTERM after step 3, saved; .* run={given.run} resume=true"):
        train(given)
    run = RunFolder(Path(given.run or ""))
    assert [path.name for path in run.soup.glob("*.safetensors")] == ["0.safetensors"]
    assert not run.checkpoints.exists()


def test_damaged_weights_of_a_soup_are_named_and_trained_again(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = train(settings(single_label_file, "whole", soup=2))
    after_keeping(monkeypatch, 1, 0, kill)
    stopped = settings(single_label_file, "stopped", soup=2)
    with pytest.raises(Killed):
        train(stopped)
    monkeypatch.undo()
    damaged = RunFolder(Path(stopped.run or "")).soup / "1.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    stopped.resume = True
    with pytest.raises(DataError, match=rf"{damaged}: expected weights that fit .* train it again with resume=true"):
        train(stopped)
    damaged.unlink()
    run, _ = train(stopped)
    assert same_weights(whole, run)
