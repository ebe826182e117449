"""Proof that no work is lost: a run that is killed repeatedly ends like one that was never killed."""

import json
import logging
import os
import random
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from tagsmith.config.settings import CheckKills, TrainRun
from tagsmith.core.errors import listing
from tagsmith.core.run import RunFolder
from tagsmith.train.train_run import train

log = logging.getLogger("tagsmith")


@dataclass(frozen=True)
class Instant:
    """When a training process is killed, by one of the fields.

    Attributes:
        seconds: after its start.
        operation: just before the process opens, renames or removes its n-th file or folder of the run.
        into_checkpoint: seconds after it began to write a checkpoint.
    """

    seconds: float | None = None
    operation: int | None = None
    into_checkpoint: float | None = None

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"{self.seconds:.2f} s after its start"
        if self.operation is not None:
            return f"before operation {self.operation} on a file of the run"
        return f"{1000 * (self.into_checkpoint or 0):.1f} ms into the writing of a checkpoint"


def check_kills(settings: CheckKills) -> list[str]:
    """Train once without interruption, then with `settings.kills` SIGKILLs, resuming after each; compare the results.

    A run that completes before all kills are used is followed by another one. Returns the state after each kill.

    Raises:
        RuntimeError: weights, figures, predictions or evaluation differ from the uninterrupted run's.
    """
    # Forked from a process that has done all imports, a training starts within a second.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    folder = Path(settings.run or "runs/check_kills")
    shutil.rmtree(folder, ignore_errors=True)
    known = TrainRun.__dataclass_fields__
    recipe = TrainRun(**{name: value for name, value in vars(settings).items() if name in known})

    def start(name: str, instant: Instant | None) -> tuple[Any, Any]:
        queue = context.SimpleQueue()
        again = replace(recipe, run=str(folder / name), resume=True, overwrite=False)
        process = context.Process(target=_train, args=(again, settings.threads, instant, queue))
        process.start()
        return process, queue

    whole = RunFolder(folder / "whole")
    process, queue = start("whole", None)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"the uninterrupted training ended with exit status {process.exitcode}")
    duration, operations = queue.get()
    log.info(f"uninterrupted: {duration:.1f} s, {operations} operations on files of the run")
    draw = random.Random(settings.seed)
    states: list[str] = []
    number = 1
    while True:
        run = RunFolder(folder / f"killed-{number}")
        instant = _draw(draw, len(states), duration, operations) if len(states) < settings.kills else None
        process, _ = start(run.path.name, instant)
        process.join(instant.seconds if instant else None)
        if instant is not None and instant.seconds is not None:
            process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            states.append(f"kill {len(states) + 1}, {instant}: {_state_of(run)}")
            log.info(states[-1])
        elif process.exitcode != 0:
            raise RuntimeError(f"run={run.path}: expected exit status 0 or a kill, found {process.exitcode}")
        else:
            if different := _differences(whole, run):
                raise RuntimeError(listing(f"run={run.path} differs from run={whole.path}:", different))
            log.info(f"{run.path}: equal to the uninterrupted run")
            if len(states) == settings.kills:
                return states
            number += 1


def _draw(draw: random.Random, number: int, duration: float, operations: int) -> Instant:
    """Half of the kills by time, the others by file operation and by checkpoint in turn."""
    if number % 2 == 0:
        return Instant(seconds=draw.uniform(0.05, 1) * duration)
    if number % 4 == 1:
        return Instant(operation=draw.randint(1, operations))
    return Instant(into_checkpoint=draw.choice([0.0, 0.001, 0.01, 0.1]) * draw.random())


def _train(settings: TrainRun, threads: int, instant: Instant | None, queue: Any) -> None:
    """Train, and kill the own process at the instant; without one, put its seconds and operations in the queue."""
    started, operations = time.monotonic(), 0
    torch.set_num_threads(threads)
    log.setLevel(logging.INFO)  # For the log in the run.
    folder = Path(settings.run or "").resolve()

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal operations
        if event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") or not isinstance(
            arguments[0], str | bytes
        ):
            return
        path = Path(os.fsdecode(arguments[0])).resolve()
        # The folder, its content, and its temporary name.
        if not path.is_relative_to(folder.parent) or not path.relative_to(folder.parent).parts:
            return
        if folder.name not in path.relative_to(folder.parent).parts[0]:
            return
        operations += 1
        if instant is None:
            return
        if operations == instant.operation:
            die()
        if event == "open" and instant.into_checkpoint is not None and path.name.startswith(".step-"):
            threading.Timer(instant.into_checkpoint, die).start()

    sys.addaudithook(watch)
    train(settings)
    if instant is None:
        queue.put((time.monotonic() - started, operations))


def _state_of(run: RunFolder) -> str:
    """The state of the run after a kill."""
    if not run.holds_run:
        return "no run yet"
    if run.weights.is_file():
        return "weights, " + ("evaluation" if run.evaluation.is_file() else "no evaluation")
    saved = [path.name[:14] for path in sorted(run.path.rglob("step-*.pt"))]
    half = [str(path.relative_to(run.path)) for path in sorted(run.path.rglob(".*.tmp"))]
    return ", ".join([*saved, *(f"{name} half written" for name in half)]) or "no checkpoint yet"


def _differences(whole: RunFolder, run: RunFolder) -> list[str]:
    different = [
        f"{name}: different bytes"
        for name in ("model/model.safetensors", "predictions.jsonl", "evaluation.json", "schema.json")
        if (whole.path / name).read_bytes() != (run.path / name).read_bytes()
    ]
    expected, found = _figures(whole), _figures(run)
    if len(expected) != len(found):
        different.append(f"metrics.jsonl: expected {len(expected)} lines, found {len(found)}")
    different += [f"metrics.jsonl: expected {a}, found {b}" for a, b in zip(expected, found, strict=False) if a != b]
    left = [*run.path.rglob(".*.tmp"), *run.path.parent.glob(f".{run.path.name}.*.tmp")]
    left += [*run.path.rglob("checkpoints"), *run.soup.glob("*.safetensors")]
    return different + [f"{path}: left behind" for path in left]


def _figures(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of figures of all trainings, without the speed, which differs between runs."""
    lines = [json.loads(line) for file in run.curves for line in file.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name != "tokens_per_second"} for line in lines]
