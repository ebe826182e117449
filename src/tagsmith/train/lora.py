"""Low-rank adapters on frozen weights, merged into them after training.

Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685; peft does the work.
"""

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tagsmith.config.settings import LoraSettings, Recipe
from tagsmith.core.errors import SettingsError
from tagsmith.model.text_classifier import TextClassifier

if TYPE_CHECKING:
    from peft import LoraModel

log = logging.getLogger("tagsmith")


def require_peft(recipe: Recipe) -> None:
    """Raises: SettingsError if the recipe needs peft and it is not installed."""
    if recipe is Recipe.lora and find_spec("peft") is None:
        raise SettingsError("train.recipe=lora: needs peft, which is not installed; pip install 'tagsmith[lora]'.")


def add_adapters(model: TextClassifier, settings: LoraSettings) -> "LoraModel":
    """Freeze the encoder and add adapters to its linear layers; before they are trained, its output stays the same.

    Args:
        model: a complete classifier, or the part above frozen layers.

    Raises:
        SettingsError: the encoder has no layers of the names in `targets`.
    """
    from peft import LoraConfig, LoraModel

    targets: Any = settings.targets if settings.targets is not None else "all-linear"
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
    )
    try:
        adapters = LoraModel(model.encoder, config, "default")
    except ValueError as error:
        raise SettingsError(f"train.lora.targets={settings.targets}: {error}") from error
    sizes = [parameter.numel() for parameter in model.encoder.parameters() if parameter.requires_grad]
    layers = len(adapters.targeted_module_names)
    log.info(f"adapters of rank {settings.rank} on {layers:,} layers: {sum(sizes):,} weights to train")
    return adapters


def merge(adapters: "LoraModel") -> None:
    """Add the adapters to the weights of their layers, which leaves a plain encoder."""
    adapters.merge_and_unload()
