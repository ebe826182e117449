"""Settings of low-rank adapters."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from tagsmith.config.settings.fields import setting


@dataclass
class LoraSettings:
    """Low-rank adapters, trained by the recipe `lora` instead of the encoder's own weights."""

    rank: int = setting(16, "rank of each adapter", low=1)
    targets: list[str] | None = setting(
        None, "names of the linear layers with adapters, such as [query,value]; null: all of the encoder"
    )

    # Constants, by the names that they had as settings.
    alpha: ClassVar[int] = 32
    """Adapters are scaled by this, divided by the rank: at any rank, the same learning rate suits."""
    dropout: ClassVar[float] = 0.0
    """Dropout of the adapters' input."""

    def problems(self) -> Iterator[str]:
        if self.targets is not None and not self.targets:
            yield "targets: expected null or names of layers, found none"
