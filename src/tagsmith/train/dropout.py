"""Dropout with a faster source of random numbers for CPUs."""

import numpy as np
import torch
from torch import Tensor, nn

STEPS = 2**16
"""A rate is rounded to a multiple of 1 / STEPS."""


class CpuDropout(nn.Module):
    """`nn.Dropout` with numpy's random numbers, which take half the time of torch's on a CPU (see the README)."""

    def __init__(self, rate: float):
        super().__init__()
        self.dropped = round(rate * STEPS)
        self.scale = STEPS / (STEPS - self.dropped)

    def forward(self, states: Tensor) -> Tensor:
        """States, float of any shape, some of them set to 0 and the others scaled up; unchanged unless training."""
        if not self.training:
            return states
        # Seeded by torch, so that the state of torch's generator is enough to repeat and to resume training.
        random = np.random.Generator(np.random.SFC64(int(torch.randint(2**62, ()))))
        half = STEPS // 2
        drawn = torch.from_numpy(random.integers(-half, half, states.numel(), dtype=np.int16)).view(states.shape)
        return states * (drawn >= self.dropped - half).to(states.dtype).mul_(self.scale)


def use_fast_dropout(module: nn.Module) -> None:
    """Replace every `nn.Dropout` with a rate above 0 by `CpuDropout`."""
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout) and child.p > 0:
            setattr(module, name, CpuDropout(child.p))
        else:
            use_fast_dropout(child)
