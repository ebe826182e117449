"""The real script, interrupted by a signal."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import ROOT
from tests.conftest import make_documents, write_jsonl
from tests.forked import run_script, start_forked

pytestmark = pytest.mark.slow

TRAIN = ROOT / "scripts" / "train.py"
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
          "--mixed_precision=no", "--dynamo_backend=no", "--num_cpu_threads_per_process=1",
          "--main_process_port=0"]  # fmt: skip


def until(there: Callable[[], bool], alive: Callable[[], bool]) -> None:
    """Wait until something is there, or the process has ended."""
    deadline = time.monotonic() + 200
    while alive() and not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def words(tiny: Callable[..., list[str]], tmp_path: Path) -> list[str]:
    """Of a training that takes long, in the folder of the test."""
    write_jsonl(tmp_path / "train.jsonl", make_documents(100, multi_label=False))
    given = ["data=jsonl", "data.train=train.jsonl", "run=r", "resume=true"]
    return [*given, *tiny(**{"train.log_every": 1, "train.epochs": 5000})]


def stopped_at(folder: Path, words: list[str], there: Callable[[], bool]) -> str:
    """Train, send SIGTERM as soon as something is there; returns what a user reads."""
    errors = folder / "stderr"
    process = start_forked(run_script, TRAIN, words, folder=folder, written=[folder / "stdout", errors])
    until(there, process.is_alive)
    process.terminate()
    process.join(100)
    told = errors.read_text()
    assert process.exitcode == 75, told
    assert "Traceback" not in told
    return told


def test_sigterm_while_training(words: list[str], tmp_path: Path) -> None:
    told = stopped_at(tmp_path, words, (tmp_path / "r" / "metrics.jsonl").is_file)
    (line,) = [line for line in told.splitlines() if line.startswith("interrupted: ")]
    assert "run=r resume=true" in line
    newest = max((tmp_path / "r" / "checkpoints").iterdir())
    assert f"SIGTERM after step {int(newest.name[5:14]):,}, saved" in line


def test_sigterm_before_training(words: list[str], tmp_path: Path) -> None:
    assert "interrupted: " in stopped_at(tmp_path, words, (tmp_path / ".r.lock").is_file)
    assert [path.name for path in tmp_path.glob(".r.*")] in ([], [".r.lock"])


def test_two_processes_stop_at_the_same_step(words: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, *LAUNCH, str(TRAIN), *words],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until((tmp_path / "r" / "metrics.jsonl").is_file, lambda: process.poll() is None)
    assert process.poll() is None, process.communicate()[1]
    workers = [
        child for child in psutil.Process(process.pid).children(recursive=True)
        if any(word.endswith("train.py") for word in child.cmdline()) and "RANK" in child.environ()
    ]  # fmt: skip
    assert len(workers) == 2
    # Only one of them gets the signal, and not the one that writes.
    next(child for child in workers if child.environ()["RANK"] == "1").send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=100)
    (line,) = [line for line in stderr.splitlines() if line.startswith("interrupted: ")]
    assert "another process after step" in line
    assert "exitcode  : 75" in stderr
    newest = max((tmp_path / "r" / "checkpoints").iterdir())
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == int(newest.name[5:14])
