"""Averages of weights over training.

Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverages:
    """Exponential averages of the weights that are trained, in the order of the model's parameters."""

    def __init__(self, model: nn.Module, decay: float):
        """`decay` is what an average keeps of itself at a step; in the first steps it keeps less."""
        self.decay, self.updates = decay, 0
        self.weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.averages = [parameter.detach().clone() for parameter in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of now."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)(self.averages, self.weights, self.updates)  # type: ignore[no-untyped-call]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """While the block runs, the model computes with the averages."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def keep(self) -> None:
        """Give the model the averages for good."""
        self._swap()

    def _swap(self) -> None:
        for i, weight in enumerate(self.weights):
            weight.data, self.averages[i] = self.averages[i], weight.data

    def state(self) -> list[Tensor]:
        return [torch.tensor(self.updates), *self.averages]

    @torch.no_grad()
    def go_on(self, state: list[Tensor]) -> None:
        """Set all to what `state` gave."""
        self.updates = int(state[0])
        for average, value in zip(self.averages, state[1:], strict=True):
            average.copy_(value)
