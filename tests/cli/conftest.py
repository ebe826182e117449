import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forked import run_forked, run_script

ROOT = Path(__file__).parents[2]


class Script:
    """Runs the real scripts from an empty folder, as a user does."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(
        self, *words: object, processes: int = 1, fresh: bool = False, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `scripts/WORD.py OVERRIDE ...`, in a new interpreter if `fresh`, or in processes as of a launch."""
        name, *overrides = map(str, words)
        path = ROOT / "scripts" / f"{name}.py"
        if fresh:
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **variables}
            command = [sys.executable, str(path), *overrides]
            return subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
            )
        return run_forked(run_script, path, overrides, folder=self.folder, processes=processes, **variables)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


@pytest.fixture
def tiny(encoder: Path) -> Callable[..., list[str]]:
    """Makes overrides for a training that takes a second or two."""

    def overrides(**changes: object) -> list[str]:
        settings = {
            "model.path": encoder,
            "train.cpu": "true",
            "train.epochs": 1,
            "train.batch_tokens": 256,
            "train.tensorboard": "false",
        }
        return [f"{name}={value}" for name, value in {**settings, **changes}.items()]

    return overrides
