"""The figures of a running training: `metrics.jsonl`, trackers, the progress bar."""

import json
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, TensorBoardTracker
from torch import Tensor

from tagsmith.config.settings import TrainSettings
from tagsmith.core.errors import DataError
from tagsmith.core.files import sync, whole_file
from tagsmith.core.run import RunFolder
from tagsmith.evaluate.tracking import chart_names
from tagsmith.tokens.windows import Batch
from tagsmith.train.checkpoint import Progress

log = logging.getLogger("tagsmith")

DIVERGED = 1.5
"""The last loss over the first one from which training has diverged; smaller increases may be noise."""


class TrainingLog:
    """Sums up the steps between two lines; reads from the device only when a line is due."""

    def __init__(self, run: RunFolder, accelerator: Accelerator, settings: TrainSettings):
        self.run, self.path, self.accelerator = run, run.metrics, accelerator
        self.every, self.tensorboard = settings.log_every, settings.tensorboard
        # The accelerator's trackers outlive this training.
        self.trackers: list[GeneralTracker] = [*accelerator.trackers] if settings.mlflow is not None else []
        self.unwritten = self.speed = ""
        self.restart()

    def resume(self, step: int, states: list[dict[str, Any]]) -> None:
        """Continue after `step`; lines of later steps, from a run that was interrupted, are dropped.

        Args:
            states: what `state` returned on each process at that step; empty at the beginning.
        """
        if self.accelerator.is_main_process:
            _keep_lines_until(self.path, step)
            if self.tensorboard:
                folder, purged = self.run.tensorboard, step + 1 if step else None
                tensorboard = TensorBoardTracker(folder.name, folder.parent, purge_step=purged)
                tensorboard.start()
                self.trackers.append(tensorboard)
        self.restart()
        if len(states) == self.accelerator.num_processes:
            self._set(states[self.accelerator.process_index])
        elif self.accelerator.is_main_process and states:
            # Another number of processes than before: the main one takes the sums over all of them.
            losses = torch.stack([state["losses"] for state in states]).sum(dim=0)
            counts = {name: sum(state[name] for state in states) for name in ("tokens", "padded")}
            self._set(states[0] | {"losses": losses} | counts)
        elif states:
            self._set(states[0] | {"losses": torch.zeros_like(states[0]["losses"]), "tokens": 0, "padded": 0})

    def state(self) -> dict[str, Any]:
        """The sums of the steps since the last line, on this process, ready for a checkpoint."""
        losses, norms, rates = zip(*self.steps, strict=True) if self.steps else ((), (), ())
        return {
            "losses": torch.stack(losses).cpu() if losses else torch.zeros(0),
            "norms": torch.stack(norms).cpu() if norms else torch.zeros(0),
            "rates": list(rates),
            "tokens": self.tokens,
            "padded": self.padded,
            "seconds": time.monotonic() - self.since,
        }

    def _set(self, state: dict[str, Any]) -> None:
        device = self.accelerator.device
        losses, norms = state["losses"].to(device), state["norms"].to(device)
        self.steps += zip(losses.unbind(), norms.unbind(), state["rates"], strict=True)
        self.tokens, self.padded = state["tokens"], state["padded"]
        self.since = time.monotonic() - state["seconds"]

    def restart(self) -> None:
        """Start a new line, and the clock of its speed."""
        self.steps: list[tuple[Tensor, Tensor, float]] = []
        self.tokens = self.padded = 0
        self.since = time.monotonic()

    def count(self, batches: list[Batch], packed: bool) -> None:
        """Count the tokens that this process has put through the encoder, and padding unless they were packed."""
        for batch in batches:
            tokens = int(batch.attention_mask.sum())
            self.tokens += tokens
            self.padded += tokens if packed else batch.attention_mask.size

    def step(self, progress: Progress, loss: Tensor, norm: Tensor, learning_rate: float) -> str:
        """Count one optimiser step; `loss` is this process's part of it. Returns the speed, for the bar."""
        self.steps.append((loss, norm, learning_rate))
        if progress.step % self.every == 0:
            self.flush(progress)
        return self.speed

    def flush(self, progress: Progress) -> None:
        """Write the line of the steps since the last one; every process must call this."""
        if not self.steps:
            return
        losses, norms, rates = zip(*self.steps, strict=True)
        counts = torch.tensor([self.tokens, self.padded], dtype=torch.float32, device=losses[0].device)
        mean_loss = self.accelerator.reduce(torch.stack(losses).mean(), "sum").item()
        tokens, padded = self.accelerator.reduce(counts, "sum").tolist()
        speed = tokens / (time.monotonic() - self.since)
        self.speed = f"{speed:,.0f} tokens/s, loss {mean_loss:.4f}"
        line = {
            "loss": mean_loss,
            "grad_norm": float(norms[-1]),
            "learning_rate": rates[-1],
            "tokens": round(tokens),
            "tokens_per_second": round(speed, 1),
            "padding_share": round(1 - tokens / padded, 4),
        }
        self.write(line, progress)
        self.restart()

    def write(self, values: dict[str, float], progress: Progress) -> None:
        """Append a line with the step and the epoch, on the main process."""
        if not self.accelerator.is_main_process:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}  # JSON has no NaN.
        self.unwritten += json.dumps({"step": progress.step, "epoch": progress.epoch, **finite}) + "\n"
        try:
            self._append()
        except OSError as error:
            log.warning(f"{self.path} cannot be written ({error.strerror}); its lines are kept in memory until it can.")
        for tracker in [*self.trackers]:
            try:
                tracker.log(chart_names(values), step=progress.step)
            except OSError as error:
                log.warning(f"{tracker.name} cannot be written ({error.strerror}); it gets no further figures.")
                self.trackers.remove(tracker)

    def sync(self) -> None:
        """Write every line so far to the disk. Raises: OSError if that fails."""
        self._append()
        if self.path.is_file():
            sync(self.path)

    def _append(self) -> None:
        if not self.unwritten:
            return
        size = self.path.stat().st_size if self.path.is_file() else 0
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(self.unwritten)
        except OSError:
            if self.path.is_file():
                os.truncate(self.path, size)  # Half a line would damage the next one.
            raise
        self.unwritten = ""

    def close(self) -> None:
        """Write what is left, and warn if training has diverged. Raises: OSError if lines cannot be written."""
        self._append()
        if self.accelerator.is_main_process and self.path.is_file():
            lines = map(json.loads, self.path.read_text(encoding="utf-8").splitlines())
            losses = [line["loss"] for line in lines if line.get("loss") is not None]
            if losses and losses[-1] > DIVERGED * losses[0]:
                log.warning(
                    f"the loss has increased from {losses[0]:.4f} to {losses[-1]:.4f}: training made the model worse; "
                    "try a lower train.learning_rate"
                )
        for tracker in self.trackers:
            if isinstance(tracker, TensorBoardTracker):
                tracker.finish()


def _keep_lines_until(path: Path, step: int) -> None:
    """Drop the lines that were written after `step` (they will be written again), and a half-written last one."""
    if path.is_file():
        text = path.read_text(encoding="utf-8", errors="backslashreplace")
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        with whole_file(path) as file:
            for number, line in enumerate(lines, 1):
                try:
                    kept = json.loads(line)["step"] <= step
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise DataError(
                        f"{path}:{number}: expected a JSON object with a step, found {line[:60]!r}; delete the line."
                    ) from error
                if kept:
                    file.write(line)
