"""A run that was stopped, interrupted, out of disk or damaged ends like an undisturbed one."""

import errno
import json
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import TrainRun
from tagsmith.core.errors import DataError, Interrupted, TryAgainLater
from tagsmith.core.run import RunFolder
from tagsmith.train import checkpoint, saving
from tagsmith.train.train_run import train
from tagsmith.train.training_log import TrainingLog
from tests.conftest import make_encoder
from tests.integration.test_train import same_weights
from tests.unit.test_checkpoint import files_no_longer_than

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]
STEPS = {"epochs": 4, "checkpoint_every": 4, "validate_every": 5, "log_every": 3}


@pytest.fixture(autouse=True)
def _no_checkpoint_by_the_clock() -> Iterator[None]:
    """On a busy machine there might be more of them than these tests count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "MOST_OF_THE_TIME", 0.0)
        yield


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("tagsmith"), "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog


def figures(run: RunFolder) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "tokens_per_second"} for line in lines]


def call_at_step(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], object]) -> None:
    step = TrainingLog.step

    def step_and_act(self: TrainingLog, progress: checkpoint.Progress, *args: Any) -> str:
        speed = step(self, progress, *args)
        if progress.step == number:
            action()
        return speed

    monkeypatch.setattr(TrainingLog, "step", step_and_act)


class Killed(Exception):
    pass


def kill() -> None:
    raise Killed


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_a_checkpoint(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    whole, _ = train(settings(single_label_file, "whole", validate_every=5, log_every=3))
    call_at_step(monkeypatch, 7, lambda: os.kill(os.getpid(), number))
    stopped_run = settings(single_label_file, "interrupted", validate_every=5, log_every=3)
    with pytest.raises(Interrupted, match=rf"{signal.Signals(number).name} after step 7, saved;.* resume=true"):
        train(stopped_run)
    monkeypatch.undo()
    path = max((Path(stopped_run.run or "") / "checkpoints").iterdir())
    assert path.name.startswith("step-000000007-")
    stopped_run.resume = True
    run, _ = train(stopped_run)
    assert same_weights(whole, run)
    assert figures(whole) == figures(run)


def test_ctrl_c_outside_the_loop_says_how_to_resume(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagsmith.train.train_run.fit_recipe", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match="resume=true"):
        train(settings(single_label_file))


@pytest.mark.parametrize("damaged", ["newest", "all"])
def test_a_damaged_checkpoint_is_reported_and_training_resumes_from_the_one_before_it(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture,
    damaged: str,
) -> None:  # fmt: skip
    whole, _ = train(settings(single_label_file, "whole", **STEPS))
    call_at_step(monkeypatch, 11, kill)
    stopped = settings(single_label_file, "stopped", **STEPS)
    with pytest.raises(Killed):
        train(stopped)
    monkeypatch.undo()
    monkeypatch.setattr(logging.getLogger("tagsmith"), "propagate", True)
    older, newest = sorted((Path(stopped.run or "") / "checkpoints").iterdir())
    for path in (newest, *([older] if damaged == "all" else [])):
        flip(path)
    stopped.resume = True
    run, _ = train(stopped)
    assert f"{newest}: expected a content of SHA-256" in logged.text
    assert (f"resuming from {older}" if damaged == "newest" else "training starts again from the head") in logged.text
    assert same_weights(whole, run)
    assert figures(whole) == figures(run)


def test_a_full_disk_does_not_stop_training(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    whole, _ = train(settings(single_label_file, "whole", **STEPS))
    save = checkpoint.save

    def save_on_a_full_disk(folder: Path, state: checkpoint.State, keep: int) -> Path:
        with files_no_longer_than(20_000) if state.progress.step == 8 else nullcontext():
            return save(folder, state, keep)

    monkeypatch.setattr(saving.checkpoint, "save", save_on_a_full_disk)
    call_at_step(monkeypatch, 10, kill)
    stopped = settings(single_label_file, "full", **STEPS)
    with pytest.raises(Killed):
        train(stopped)
    monkeypatch.undo()
    assert [path.name[:14] for path in (Path(stopped.run or "") / "checkpoints").iterdir()] == ["step-000000004"]
    assert "No checkpoint after step 8" in logged.text
    assert "File too large" in logged.text
    stopped.resume = True
    run, _ = train(stopped)
    assert same_weights(whole, run)
    assert figures(whole) == figures(run)


def test_weights_that_do_not_fit_on_the_disk_ask_to_try_again(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tagsmith.model.loaded_model.save_file", no_room)
    with pytest.raises(TryAgainLater, match=r"model\.safetensors cannot be written.*resume=true"):
        train(settings(single_label_file))
    monkeypatch.undo()
    train(settings(single_label_file, resume=True))


def test_an_encoder_that_has_changed_is_refused(
    settings: Make, single_label_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_encoder(tmp_path / "own")
    call_at_step(monkeypatch, 6, kill)
    with pytest.raises(Killed):
        train(settings(single_label_file, path=str(folder), **STEPS))
    monkeypatch.undo()
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match="another encoder"):
        train(settings(single_label_file, path=str(folder), resume=True, **STEPS))


def test_frozen_weights_are_not_written_and_the_clock_decides(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[checkpoint.State] = []
    monkeypatch.setattr(saving.checkpoint, "save", lambda folder, state, keep: saved.append(state))
    monkeypatch.setattr(saving, "MOST_OF_THE_TIME", 1e9)
    train(settings(single_label_file, "often", checkpoint_minutes=0.0))
    assert len(saved) > 5
    assert not any("embeddings" in name for name in saved[-1].weights)
    assert "head.weight" in saved[-1].weights
    often = len(saved)
    monkeypatch.setattr(saving, "MOST_OF_THE_TIME", 0.0)
    train(settings(single_label_file, "never", checkpoint_minutes=0.0))
    assert len(saved) == often
