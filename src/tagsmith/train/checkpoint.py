"""Everything that resuming needs, in one file with a digest: a crash or a damaged disk leaves the one before it."""

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
"""The step, and half of the SHA-256 of the content: enough to notice damage."""


@dataclass
class Progress:
    """Where training stands.

    Attributes:
        epoch, batch: the next batch to train on, counted from 0.
        step: optimiser steps done.
        documents: documents trained on, each epoch anew.
        best: the best validation figure so far (higher is better), None before the first.
        since_best: validations since then.
        stopped: early stopping, or the last step that was wanted, has ended training.
        skipped: steps that were not taken, because their gradients were not finite.
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
    """All that training goes on from.

    Attributes:
        progress: where training stands.
        weights: those that are trained, by name.
        frozen: SHA-256 of the weights that are not, which come from the encoder's own files again.
        averages: as of `averages.WeightAverages.state`, None where there are none.
        best: the weights of the best validation so far, None before the first.
        optimizer: state of the optimiser.
        scaler: state of the scaler of fp16 gradients, empty where there is none.
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
    """A file whose digest is known as soon as it is written; keeps the error that torch.save replaces by its own."""

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

    Those of later steps go too: training has gone on from before them, because they cannot be used.

    Raises:
        OSError: it cannot be written; nothing is left of it, and the others are as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    step = state.progress.step
    beside = folder / f".step-{step:09d}.tmp"
    content = {**vars(state), "format": FORMAT, "progress": asdict(state.progress)}
    try:
        with beside.open("wb") as file:
            digesting = _Digesting(file)
            try:
                torch.save(content, cast(IO[bytes], digesting))
            except RuntimeError:
                if digesting.error is not None:
                    raise digesting.error from None
                raise
        sync(beside)
        path = folder / f"step-{step:09d}-{digesting.digest.hexdigest()[:32]}.pt"
        beside.replace(path)
        sync(folder)
    finally:
        beside.unlink(missing_ok=True)
    others = {other for other in folder.glob("step-*.pt") if other != path}
    earlier = sorted(other for other in others if (found := _step(other)) is not None and found < step)
    for old in others - {*earlier[max(0, len(earlier) - keep + 1) :]}:
        old.unlink()
    for left in folder.glob(".step-*.tmp"):
        left.unlink()
    return path


def newest_usable(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that is whole, None where there is none, and what is wrong with each newer one."""
    problems: list[str] = []
    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        problem = _problem(path)
        if problem is None:
            return path, problems
        problems.append(f"{path}: {problem}")
    return None, problems


def load(path: Path) -> State:
    """What `save` was given; tensors on the CPU."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    del content["format"]
    return State(**content | {"progress": Progress(**content["progress"])})


def _step(path: Path) -> int | None:
    name = NAME.fullmatch(path.name)
    return int(name[1]) if name else None


def _problem(path: Path) -> str | None:
    """Why a checkpoint cannot be used, None where it can."""
    name = NAME.fullmatch(path.name)
    if name is None:
        return "expected a name with a digest, as this version writes it"
    try:
        found = digest(path)[:32]
        if found != name[2]:
            return f"expected a content of SHA-256 {name[2]}..., found {found}..."
        written_as = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["format"]
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if written_as == FORMAT else f"expected format {FORMAT}, found {written_as}"
