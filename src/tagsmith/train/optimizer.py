"""AdamW, its learning rates over training, and steps that must not be taken."""

import logging
import math
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.tensor import DTensor

from tagsmith.config.settings import Recipe, TrainSettings
from tagsmith.core.errors import DataError
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.train.amounts import LORA_RATE
from tagsmith.train.checkpoint import Progress

log = logging.getLogger("tagsmith")


def build_optimizer(model: TextClassifier, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW with no decay of biases and norms; the settings are those of `amounts.with_amounts`."""
    encoder_rate, head_rate = cast(float, settings.learning_rate), settings.head_learning_rate
    if head_rate is None:
        head_rate = encoder_rate / (LORA_RATE if settings.recipe is Recipe.lora else 1.0)
    groups = []
    for part, rate in ((model.encoder, encoder_rate), (model.head, head_rate)):
        trained = [p for p in part.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim > 1]
        others = [p for p in trained if p.ndim <= 1]
        groups.append({"params": matrices, "lr": rate, "peak": rate, "weight_decay": settings.weight_decay})
        groups.append({"params": others, "lr": rate, "peak": rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, settings: TrainSettings, done: float) -> float:
    """Warm-up from 0, then linear decay to 0, by the share of training that is `done`; returns the encoder's rate."""
    warmup = settings.lr_warmup_fraction
    factor = done / warmup if done < warmup else (1 - done) / max(1e-9, 1 - warmup)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(optimizer.param_groups[0]["lr"])


def clip(model: torch.nn.Module, most: float, accelerator: Accelerator) -> Tensor:
    """The norm of the gradients, before they are clipped to `most` (0: not clipped)."""
    norm = accelerator.clip_grad_norm_(model.parameters(), most or math.inf)
    if norm is None:
        return torch.zeros(())
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


class BadSteps:
    """Steps whose gradients are not finite: none is taken; past a bound, training stops and names the documents."""

    def __init__(self, optimizer: torch.optim.Optimizer, settings: TrainSettings, ids: Any, accelerator: Accelerator):
        """`ids` are those of all training documents, in their order."""
        self.optimizer, self.settings, self.ids, self.accelerator = optimizer, settings, ids, accelerator
        self.unread: list[tuple[Tensor, int, NDArray[np.int64]]] = []

    def guard(self, loss: Tensor, norm: Tensor, documents: NDArray[np.int64], progress: Progress) -> None:
        """Before the optimiser's step: have it do nothing if the gradients are bad. Nothing is read from the device.

        A GPU is asked only every `log_every` steps.
        """
        if self.accelerator.scaler is None:
            bad = ~torch.isfinite(norm)
            # What the scaler of fp16 gradients sets, which looks for such gradients itself, and often finds some.
            self.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        else:
            bad = ~torch.isfinite(loss)
        self.unread.append((bad, progress.step + 1, documents))
        if self.accelerator.device.type == "cpu" or len(self.unread) >= self.settings.log_every:
            self.count(progress)

    def count(self, progress: Progress) -> None:
        """Read which of the last steps were bad.

        Raises:
            DataError: they are more than `max_bad_steps`.
        """
        unread, self.unread = self.unread, []
        for bad, step, documents in unread:
            if not bool(bad):
                continue
            progress.skipped += 1
            names = ", ".join(str(self.ids[int(i)]) for i in documents[:20])
            more = f" and {len(documents) - 20} more" if len(documents) > 20 else ""
            told = f"step {step:,}: the loss or its gradients are not finite; documents: {names}{more}"
            if progress.skipped > self.settings.max_bad_steps:
                raise DataError(
                    f"{told}. Look at them; begin anew with a lower train.learning_rate=, or go on with resume=true "
                    f"and train.max_bad_steps={progress.skipped}, which skips as many steps."
                )
            log.warning(f"{told}; skipped ({progress.skipped} of {self.settings.max_bad_steps})")
