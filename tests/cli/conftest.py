import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Script:
    """Runs the real scripts from an empty folder, as a person would."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(
        self, *words: object, launcher: tuple[str, ...] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        name, *overrides = map(str, words)
        command = [sys.executable, *launcher, str(ROOT / "scripts" / f"{name}.py"), *overrides]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **variables}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


@pytest.fixture
def tiny(encoder: Path) -> Callable[..., list[str]]:
    """Overrides that make a run take seconds."""

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
