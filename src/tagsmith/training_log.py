"""The figures of training while it goes on: `metrics.jsonl`, TensorBoard, the progress bar."""

import json
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from tagsmith.checkpoint import Progress
from tagsmith.files import whole_file
from tagsmith.run import RunFolder
from tagsmith.windows import Batch


class TrainingLog:
    """Sums up the steps between two lines; reads from the device only where a line is due."""

    def __init__(self, run: RunFolder, accelerator: Accelerator, every: int, tensorboard: bool, step: int):
        """Goes on after `step`: what was written later, by a run that was interrupted, is dropped."""
        self.path, self.accelerator, self.every = run.metrics, accelerator, every
        self.writer: SummaryWriter | None = None
        if accelerator.is_main_process:
            _keep_lines_until(run.metrics, step)
            if tensorboard:
                self.writer = SummaryWriter(str(run.tensorboard), purge_step=step + 1 if step else None)
        self.speed = ""
        self.restart()

    def restart(self) -> None:
        """Begin a new line, and the clock of its speed."""
        self.steps: list[tuple[Tensor, Tensor, float]] = []
        self.tokens = self.padded = 0
        self.since = time.monotonic()

    def batch(self, batch: Batch) -> None:
        """Count what this process puts through the encoder."""
        self.tokens += int(batch.attention_mask.sum())
        self.padded += batch.attention_mask.size

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
        """Append one line with the step and the epoch; the main process alone does."""
        if not self.accelerator.is_main_process:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": progress.step, "epoch": progress.epoch, **values}) + "\n")
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name if "/" in name else f"train/{name}", value, progress.step)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _keep_lines_until(path: Path, step: int) -> None:
    """Drop the lines that were written after `step` (they will be written again), and a half-written last one."""
    if path.is_file():
        lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
        with whole_file(path) as file:
            file.writelines(line for line in lines if json.loads(line)["step"] <= step)
