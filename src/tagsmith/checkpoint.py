"""Everything that resuming needs, in one file, written so that a crash leaves the one before it whole."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass
class Progress:
    """Where training stands.

    Attributes:
        epoch, batch: the next batch to train on, counted from 0.
        step: optimiser steps done.
        documents: documents trained on, each epoch anew.
        best: the best validation figure so far (higher is better), None before the first.
        since_best: validations since then.
        stopped: early stopping has ended training.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    documents: int = 0
    best: float | None = None
    since_best: int = 0
    stopped: bool = False


def save(
    folder: Path,
    progress: Progress,
    model: dict[str, Any],
    optimizer: dict[str, Any],
    scaler: dict[str, Any],
    rng: list[Any],
    keep: int,
) -> Path:
    """Write `step-N.pt` and remove all but the newest `keep` checkpoints.

    Args:
        scaler: state of the scaler of fp16 gradients, empty where there is none.
        rng: state of the random number generators of each process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{progress.step:09d}.pt"
    beside = path.with_suffix(".tmp")
    torch.save(
        {"progress": asdict(progress), "model": model, "optimizer": optimizer, "scaler": scaler, "rng": rng}, beside
    )
    beside.replace(path)
    for old in sorted(folder.glob("step-*.pt"))[:-keep]:
        old.unlink()
    return path


def newest(folder: Path) -> Path | None:
    """The newest checkpoint, None where there is none."""
    return max(folder.glob("step-*.pt"), default=None)


def load(path: Path) -> tuple[Progress, dict[str, Any], dict[str, Any], dict[str, Any], list[Any]]:
    """Progress, model, optimizer, scaler and rng, as given to `save`; tensors on the CPU."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    return Progress(**content["progress"]), content["model"], content["optimizer"], content["scaler"], content["rng"]
