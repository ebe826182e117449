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

pytestmark = pytest.mark.slow

LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
          "--mixed_precision=no", "--dynamo_backend=no", "--num_cpu_threads_per_process=1",
          "--main_process_port=0"]  # fmt: skip


def until(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def start(tiny: Callable[..., list[str]], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    write_jsonl(tmp_path / "train.jsonl", make_documents(100, multi_label=False))

    def start(*launcher: str, **settings: object) -> subprocess.Popen[str]:
        changed = tiny(**{"train.log_every": 1, **{f"train.{name}": value for name, value in settings.items()}})
        command = [sys.executable, *launcher, str(ROOT / "scripts" / "train.py"), "data=jsonl"]
        command += ["data.train=train.jsonl", "run=r", "resume=true", *changed]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", **({"ACCELERATE_USE_CPU": "true"} if launcher else {})}
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    return start


def test_sigterm_while_training(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start(epochs=5000)
    until(lambda: (tmp_path / "r" / "metrics.jsonl").is_file(), process)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == 75, stderr
    assert "Traceback" not in stderr
    (line,) = [line for line in stderr.splitlines() if line.startswith("interrupted: ")]
    assert "run=r resume=true" in line
    newest = max((tmp_path / "r" / "checkpoints").iterdir())
    assert f"SIGTERM after step {int(newest.name[5:14]):,}, saved" in line


def test_sigterm_before_training(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start()
    until(lambda: (tmp_path / ".r.lock").is_file(), process)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == 75, stderr
    assert "Traceback" not in stderr
    assert "interrupted: " in stderr
    assert [path.name for path in tmp_path.glob(".r.*")] in ([], [".r.lock"])


def test_two_processes_stop_at_the_same_step(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start(*LAUNCH, epochs=5000)
    until(lambda: (tmp_path / "r" / "metrics.jsonl").is_file(), process)
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
