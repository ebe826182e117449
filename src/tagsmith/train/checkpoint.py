"""The files of checkpoints: everything that resuming needs, in one file with a digest in its name.

After a crash or damage to the disk, the checkpoint before it is still usable.
"""

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from tagsmith.core.files import digest, sync

FORMAT = 3
NAME = re.compile(r"step-(\d{9})-([0-9a-f]{32})\.pt")
"""The step, and half of the SHA-256 of the content: enough to detect damage."""


@dataclass
class Progress:
    """How far training has come.

    Attributes:
        epoch, batch: the next batch to train on, counted from 0.
        step: optimiser steps done.
        documents: documents trained on in this epoch.
        best: the best validation figure so far (higher is better), None before the first.
        since_best: validations since then.
        stopped: training has ended, by early stopping or at `max_steps`.
        skipped: steps whose gradients were not finite.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    documents: int = 0
    best: float | None = None
    since_best: int = 0
    stopped: bool = False
    skipped: int = 0


@dataclass
class State:
    """Everything that training resumes from.

    Attributes:
        progress: how far training has come.
        weights: the trained ones, by name.
        frozen: SHA-256 of the others, which are read from the encoder's files again.
        averages: as of `optimizer.WeightAverages.state`; None if there are none.
        best: the weights of the best validation so far, None before the first.
        optimizer: state of the optimiser.
        scaler: state of the scaler of fp16 gradients, empty if there is none.
        processes: of each process, its random number generators and its sums for the next line of figures.
    """

    progress: Progress
    weights: dict[str, Tensor]
    frozen: str
    averages: list[Tensor] | None
    best: dict[str, Tensor] | None
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    processes: list[dict[str, Any]]


class _Digesting:
    """A file that computes its digest while it is written; keeps the error that torch.save replaces by its own."""

    def __init__(self, file: IO[bytes]):
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            written = self.file.write(content)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(content)
        return written

    def flush(self) -> None:
        self.file.flush()


def save(folder: Path, state: State, keep: int) -> Path:
    """Write `step-N-DIGEST.pt`, then remove all but the newest `keep` up to it.

    Those of later steps are removed too: training was resumed before them, because they are not usable.

    Raises:
        OSError: it cannot be written; no part of it is left, and the others are unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    step = state.progress.step
    temporary = folder / f".step-{step:09d}.tmp"
    content = {**vars(state), "format": FORMAT, "progress": asdict(state.progress)}
    try:
        with temporary.open("wb") as file:
            digesting = _Digesting(file)
            try:
                torch.save(content, cast(IO[bytes], digesting))
            except RuntimeError:
                if digesting.error is not None:
                    raise digesting.error from None
                raise
        sync(temporary)
        path = folder / f"step-{step:09d}-{digesting.digest.hexdigest()[:32]}.pt"
        temporary.replace(path)
        sync(folder)
    finally:
        temporary.unlink(missing_ok=True)
    others = {other for other in folder.glob("step-*.pt") if other != path}
    earlier = sorted(other for other in others if (found := _step(other)) is not None and found < step)
    for old in others - {*earlier[max(0, len(earlier) - keep + 1) :]}:
        old.unlink()
    for left in folder.glob(".step-*.tmp"):
        left.unlink()
    return path


def newest_usable(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest undamaged checkpoint (None if there is none), and what is wrong with each newer one."""
    problems: list[str] = []
    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        problem = _problem(path)
        if problem is None:
            return path, problems
        problems.append(f"{path}: {problem}")
    return None, problems


def load(path: Path) -> State:
    """The state that `save` wrote, with tensors on the CPU."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    del content["format"]
    return State(**content | {"progress": Progress(**content["progress"])})


def _step(path: Path) -> int | None:
    name = NAME.fullmatch(path.name)
    return int(name[1]) if name else None


def _problem(path: Path) -> str | None:
    """Why a checkpoint cannot be used; None if it can."""
    name = NAME.fullmatch(path.name)
    if name is None:
        return "expected a name with a digest, as this version of Tagsmith writes it"
    try:
        found = digest(path)[:32]
        if found != name[2]:
            return f"expected a content of SHA-256 {name[2]}..., found {found}..."
        written_as = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["format"]
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if written_as == FORMAT else f"expected format {FORMAT}, found {written_as}"
