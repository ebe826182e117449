"""Settings of low-rank adapters."""

from collections.abc import Iterator
from dataclasses import dataclass

from tagsmith.config.settings.fields import setting


@dataclass
class LoraSettings:
    """Low-rank adapters, trained by the recipe `lora` instead of the encoder's own weights."""

    rank: int = setting(16, "rank of each adapter", low=1)
    alpha: int = setting(32, "scale of the adapters, times the rank", low=1)
    dropout: float = setting(0.0, "dropout of the adapters' input", low=0, high=0.9)
    targets: list[str] | None = setting(
        None, "names of the linear layers with adapters, such as [query,value]; null: all of the encoder"
    )

    def problems(self) -> Iterator[str]:
        if self.targets is not None and not self.targets:
            yield "targets: expected null or names of layers, found none"
