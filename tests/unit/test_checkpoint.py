import logging
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tagsmith.config.settings import TrainSettings
from tagsmith.core import signals as interruption
from tagsmith.core.files import remove_leftovers
from tagsmith.core.run import RunFolder
from tagsmith.train.checkpoint import Progress, State, load, newest_usable, save
from tagsmith.train.training_log import TrainingLog


def state(step: int) -> State:
    weights = {"a": torch.full((5000,), float(step)), "b": torch.zeros(())}
    processes = [{"cpu": torch.get_rng_state()}]
    return State(Progress(step=step), weights, "frozen", None, None, {"state": {}}, {}, processes)


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """As a full disk does, writing stops in the midst of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = save(tmp_path, state(7), keep=2)
    assert newest_usable(tmp_path) == (path, [])
    loaded = load(path)
    assert loaded.progress == Progress(step=7)
    assert torch.equal(loaded.weights["a"], torch.full((5000,), 7.0))
    assert torch.equal(loaded.processes[0]["cpu"], torch.get_rng_state())


def test_the_newest_are_kept(tmp_path: Path) -> None:
    paths = [save(tmp_path, state(step), keep=2) for step in (1, 2, 3)]
    assert names(tmp_path) == [path.name for path in paths[1:]]
    only = save(tmp_path, state(4), keep=1)
    assert names(tmp_path) == [only.name]


def test_a_later_checkpoint_is_removed_after_resuming_before_it(tmp_path: Path) -> None:
    first, _, _ = (save(tmp_path, state(step), keep=9) for step in (1, 2, 3))
    second = save(tmp_path, state(2), keep=2)
    assert names(tmp_path) == [first.name, second.name]


@pytest.mark.parametrize("damage", ["cut short", "one bit", "empty", "no digest"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_is_used(tmp_path: Path, damage: str) -> None:
    older, newest = (save(tmp_path, state(step), keep=2) for step in (1, 2))
    content = newest.read_bytes()
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    newest.write_bytes({"cut short": content[:-1], "one bit": bytes(flipped), "empty": b""}.get(damage, content))
    if damage == "no digest":
        newest = newest.rename(tmp_path / "step-000000002.pt")
    path, problems = newest_usable(tmp_path)
    assert path == older
    assert len(problems) == 1
    assert problems[0].startswith(f"{newest}: expected")
    older.unlink()
    assert newest_usable(tmp_path)[0] is None


def test_a_full_disk_leaves_the_older_ones_and_no_partial_one(tmp_path: Path) -> None:
    older = save(tmp_path, state(1), keep=1)
    with files_no_longer_than(9000), pytest.raises(OSError, match="File too large"):
        save(tmp_path, state(2), keep=1)
    assert names(tmp_path) == [older.name]
    assert newest_usable(tmp_path) == (older, [])


def test_lines_of_figures_that_a_full_disk_refused_are_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("tagsmith"), "propagate", True)
    accelerator = SimpleNamespace(is_main_process=True, num_processes=1, process_index=0, device="cpu")
    log = TrainingLog(RunFolder(tmp_path), accelerator, TrainSettings(log_every=1, tensorboard=False))  # type: ignore[arg-type]
    log.write({"loss": 1.0}, Progress(step=1))
    whole = (tmp_path / "metrics.jsonl").read_text()
    with files_no_longer_than(len(whole) + 9):
        log.write({"loss": 2.0}, Progress(step=2))
        with pytest.raises(OSError, match="File too large"):
            log.sync()
    assert (tmp_path / "metrics.jsonl").read_text() == whole
    assert "its lines are kept" in caplog.text
    log.write({"loss": 3.0}, Progress(step=3))
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 3
    assert (tmp_path / "metrics.jsonl").read_text().startswith(whole)


def test_a_signal_is_recorded_and_a_second_sigint_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def signalled_twice() -> None:
        with interruption.deferred_signals() as received:
            os.kill(os.getpid(), signal.SIGTERM)
            assert received.signal_name == "SIGTERM"
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)  # A launcher's echo of the first one.
            monkeypatch.setattr(interruption, "BOUNCE", 0.0)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the second SIGINT did not raise")

    with pytest.raises(KeyboardInterrupt):
        signalled_twice()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_signal_at_the_very_end_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt), interruption.deferred_signals():
        os.kill(os.getpid(), signal.SIGTERM)


def test_leftovers_of_a_killed_process_go_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "a.b"
    for folder in (run, tmp_path / ".a.b.12.tmp", tmp_path / ".a.b.12.old", tmp_path / ".a.b.c.12.tmp"):
        (folder / "model").mkdir(parents=True)
    (run / "model" / ".model.safetensors.12.tmp").touch()
    (run / "kept").touch()
    (tmp_path / ".a.b.lock").touch()
    remove_leftovers(run)
    assert names(tmp_path) == [".a.b.c.12.tmp", ".a.b.lock", "a.b"]
    assert names(run) == ["kept", "model"]
    assert names(run / "model") == []
