"""Runs in each process of `test_sharding.py`: trains sharded, stops, resumes, records its share."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from tagsmith.config.settings import ModelSettings, Precision, TableSettings, TrainRun, TrainSettings
from tagsmith.core.errors import Interrupted
from tagsmith.train import loop
from tagsmith.train.train_run import train
from tagsmith.train.training_log import TrainingLog


def settings(folder: Path, encoder: str, documents: str, run: str, **recipe: Any) -> TrainRun:
    """The settings of the test, with sharded weights."""
    given = json.loads((folder / "recipe.json").read_text())
    return TrainRun(
        run=str(folder / run),
        resume=True,
        data=TableSettings(train=documents, validation_share=0.2),
        model=ModelSettings(path=encoder, hidden_dropout=0.0, attention_dropout=0.0),
        train=TrainSettings(
            cpu=True, tensorboard=False, shard=True, **({"mixed_precision": Precision.fp32} | given | recipe)
        ),
    )


def main(folder: Path, encoder: str, documents: str) -> None:
    optimizers: list[torch.optim.Optimizer] = []
    build = loop.build_optimizer

    def build_and_keep(*args: Any) -> torch.optim.Optimizer:
        optimizers.append(build(*args))
        return optimizers[-1]

    loop.build_optimizer = build_and_keep
    train(settings(folder, encoder, documents, "whole"))
    kept = [p for group in optimizers[-1].param_groups for p in group["params"]]
    kept += [moment for state in optimizers[-1].state.values() for moment in state.values() if moment.ndim]
    held = {
        "spread": all(isinstance(tensor, DTensor) for tensor in kept),
        "mine": sum(tensor.to_local().numel() for tensor in kept),
        "all": sum(tensor.numel() for tensor in kept),
    }
    (folder / f"held-{os.environ['RANK']}.json").write_text(json.dumps(held))

    step = TrainingLog.step

    def step_and_interrupt(self: TrainingLog, progress: Any, *args: Any) -> str:
        if progress.step == 7 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, progress, *args)

    TrainingLog.step = step_and_interrupt  # type: ignore[method-assign]
    status = None
    try:
        train(settings(folder, encoder, documents, "stopped"))
    except Interrupted:
        status = Interrupted.exit_status
    except SystemExit as ended:
        status = ended.code
    assert status == Interrupted.exit_status
    if os.environ["RANK"] == "0":  # For one process that resumes.
        shutil.copytree(folder / "stopped", folder / "left")
    TrainingLog.step = step  # type: ignore[method-assign]
    train(settings(folder, encoder, documents, "stopped"))
    train(settings(folder, encoder, documents, "bf16", mixed_precision=Precision.bf16))
