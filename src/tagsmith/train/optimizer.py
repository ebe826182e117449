"""AdamW and its learning rates, steps that must not be taken, and averages of the weights over the steps."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from tagsmith.core.errors import DataError
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.train.checkpoint import Progress
from tagsmith.train.resolved_recipe import ResolvedRecipe

log = logging.getLogger("tagsmith")


def build_optimizer(model: TextClassifier, recipe: ResolvedRecipe) -> torch.optim.Optimizer:
    """AdamW over the weights that are trained, without decay of biases and norms."""
    groups = []
    for part, rate in ((model.encoder, recipe.learning_rate), (model.head, recipe.head_learning_rate)):
        trained = [p for p in part.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim > 1]
        others = [p for p in trained if p.ndim <= 1]
        groups.append({"params": matrices, "lr": rate, "peak": rate, "weight_decay": recipe.weight_decay})
        groups.append({"params": others, "lr": rate, "peak": rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, warmup: float, done: float) -> float:
    """Warm-up from 0, then linear decay to 0, by the share of training that is `done`; returns the encoder's rate."""
    factor = done / warmup if done < warmup else (1 - done) / max(1e-9, 1 - warmup)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(optimizer.param_groups[0]["lr"])


def clip_gradients(model: nn.Module, max_norm: float, accelerator: Accelerator) -> Tensor:
    """Clip the gradients to `max_norm` (0: leave them), and return the norm that they had, float []."""
    norm = accelerator.clip_grad_norm_(model.parameters(), max_norm or math.inf)
    if norm is None:
        return torch.zeros(())
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


class BadSteps:
    """Skips steps whose gradients are not finite; beyond a limit, stops training and names the documents."""

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: ResolvedRecipe, ids: Any, accelerator: Accelerator):
        """`ids` are those of all training documents, in their order."""
        self.optimizer, self.recipe, self.ids, self.accelerator = optimizer, recipe, ids, accelerator
        self.unread: list[tuple[Tensor, int, NDArray[np.int64]]] = []

    def guard(self, loss: Tensor, norm: Tensor, documents: NDArray[np.int64], progress: Progress) -> None:
        """Before the optimiser's step: make it do nothing if the gradients are not finite.

        A GPU is read from only every `log_every` steps, so that the CPU does not wait for it.
        """
        if self.accelerator.scaler is None:
            bad = ~torch.isfinite(norm)
            # A fused AdamW skips the step where this is 1. The scaler of fp16 gradients sets it too, and often has to.
            self.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        else:
            bad = ~torch.isfinite(loss)
        self.unread.append((bad, progress.step + 1, documents))
        if self.accelerator.device.type == "cpu" or len(self.unread) >= self.recipe.log_every:
            self.count(progress)

    def count(self, progress: Progress) -> None:
        """Read which of the last steps were skipped.

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
            message = f"step {step:,}: the loss or its gradients are not finite; documents: {names}{more}"
            if progress.skipped > self.recipe.max_bad_steps:
                raise DataError(
                    f"{message}. Check them; train again with a lower train.learning_rate=, or resume with resume=true "
                    f"and train.max_bad_steps={progress.skipped}, which skips up to {progress.skipped} such steps."
                )
            log.warning(f"{message}; skipped ({progress.skipped} of {self.recipe.max_bad_steps})")


class WeightAverages:
    """Exponential moving averages of the weights that are trained, in the order of the model's parameters.

    Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
    """

    def __init__(self, model: nn.Module, decay: float):
        """`decay` is the share of an average that a step keeps; the first steps keep less."""
        self.decay, self.updates = decay, 0
        self.weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.averages = [parameter.detach().clone() for parameter in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the averages."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)(self.averages, self.weights, self.updates)  # type: ignore[no-untyped-call]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model compute with the averages while the block runs."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Exchange the model's weights and the averages."""
        for i, weight in enumerate(self.weights):
            weight.data, self.averages[i] = self.averages[i], weight.data

    def state(self) -> list[Tensor]:
        return [torch.tensor(self.updates), *self.averages]

    @torch.no_grad()
    def load_state(self, state: list[Tensor]) -> None:
        """Restore what `state` returned."""
        self.updates = int(state[0])
        for average, value in zip(self.averages, state[1:], strict=True):
            average.copy_(value)
