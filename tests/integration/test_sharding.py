"""Weights sharded over two processes: the same run, each process with half of everything."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tagsmith.config.settings import EvaluateRun, Precision, TrainRun
from tagsmith.core.run import RunFolder
from tagsmith.evaluate.evaluate_run import evaluate_run
from tagsmith.train.train_run import train
from tests.forked import run_forked
from tests.integration import sharded

pytestmark = pytest.mark.slow

RECIPE: dict[str, Any] = {
    # Micro-batches of which the two processes do not have the same number, and a validation between two epochs.
    "batch_tokens": 256, "micro_batch_tokens": 48, "epochs": 2, "learning_rate": 1e-3, "log_every": 1,
    "validate_every": 5,
}  # fmt: skip


def largest_difference(a: RunFolder, b: RunFolder) -> float:
    first, second = load_file(a.weights), load_file(b.weights)
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


def test_two_processes_with_half_of_the_weights_each(
    settings: Callable[..., TrainRun], single_label_file: Path, encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    done = run_forked(sharded.main, tmp_path, str(encoder), str(single_label_file), folder=tmp_path, processes=2)
    assert done.returncode == 0, done.stderr
    for process in range(2):
        held = json.loads((tmp_path / f"held-{process}.json").read_text())
        assert held["spread"]
        assert held["mine"] == pytest.approx(held["all"] / 2, rel=0.02)

    about = {"hidden_dropout": 0.0, "mixed_precision": Precision.fp32}
    plain, evaluation = train(settings(single_label_file, "plain", **about, **RECIPE))
    whole, stopped, left, bf16 = (RunFolder(tmp_path / name) for name in ("whole", "stopped", "left", "bf16"))
    assert largest_difference(whole, plain) < 1e-4
    assert largest_difference(stopped, whole) == 0
    assert 0 < largest_difference(bf16, whole) < 0.05

    found = json.loads(whole.evaluation.read_text())
    assert found["log_loss"] == pytest.approx(evaluation["log_loss"], abs=1e-4)
    ids = [[json.loads(line)["id"] for line in run.predictions.read_text().splitlines()] for run in (plain, whole)]
    assert ids[0] == ids[1]
    assert len(set(ids[1])) == found["documents"] == 30
    assert evaluate_run(EvaluateRun(run=str(whole.path), cpu=True), whole)["log_loss"] == pytest.approx(
        found["log_loss"], abs=1e-5
    )

    # One process resumes from the checkpoint of a sharded run.
    resumed, _ = train(settings(single_label_file, "left", resume=True, **about, **RECIPE))
    assert largest_difference(resumed, whole) < 1e-4
    lines = [[json.loads(line) for line in run.metrics.read_text().splitlines()] for run in (plain, stopped, left)]
    for line, *others in zip(*lines, strict=True):
        for other in others:
            assert line.keys() == other.keys()
            assert line.get("loss", 0) == pytest.approx(other.get("loss", 0), abs=1e-3)
            assert line.get("grad_norm", 0) == pytest.approx(other.get("grad_norm", 0), rel=1e-2)
