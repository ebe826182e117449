import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.forked import run_script

ROOT = Path(__file__).parents[2]


PRELOADED = [
    "tagsmith.config.hydra_door", "tagsmith.train.train_run", "tagsmith.evaluate.evaluate_run",
    "tagsmith.evaluate.analysis.analyse_run", "tagsmith.export.export_run",
    "tagsmith.classify.files.classify_files", "tagsmith.improve",
    # What torch.onnx.export imports when it is called: three seconds.
    "torch.onnx._internal.exporter._compat", "onnxscript.function_libs.torch_lib.ops",
    "torch._functorch.aot_autograd", "torch._inductor.pattern_matcher",
]  # fmt: skip
"""Modules that take seconds to import; a process forked from one that has imported them starts immediately."""


class Script:
    """Runs the real scripts from an empty folder, as a user does."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(
        self, *words: object, launcher: tuple[str, ...] = (), fresh: bool = False, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `scripts/WORD.py OVERRIDE ...`, in a new interpreter if `fresh` or with a launcher."""
        name, *overrides = map(str, words)
        path = ROOT / "scripts" / f"{name}.py"
        command = [sys.executable, *launcher, str(path), *overrides]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **variables}
        if fresh or launcher:
            return subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
            )
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "stdout"), Path(folder, "stderr")
            process = context.Process(target=run_script, args=(path, overrides, self.folder, environment, out, err))
            process.start()
            process.join(300)
            assert process.exitcode is not None, f"{command}: still running after 300 s"
            printed = [file.read_text(encoding="utf-8") for file in (out, err)]
        return subprocess.CompletedProcess(command, process.exitcode, *printed)


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
