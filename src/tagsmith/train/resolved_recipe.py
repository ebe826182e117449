"""The settings of a training with nothing left open: epochs, learning rates and the probe's C follow from the data.

The measurements behind each rule are in the README of this room.
"""

import logging
import math
from dataclasses import dataclass, fields

import numpy as np

from tagsmith.config.settings import Recipe, TrainRun, TrainSettings
from tagsmith.model.probe import probe_c
from tagsmith.model.score import Encoded

log = logging.getLogger("tagsmith")

LORA_RATE = 10.0
"""Learning rate of adapters, relative to the head and to an encoder whose weights are all trained.

The best rate of LoRA is ten times that of full fine-tuning, at any rank, with an alpha of 32: Schulman et al.,
LoRA Without Regret, 2025, thinkingmachines.ai/blog/lora.
"""


@dataclass(kw_only=True)
class ResolvedRecipe(TrainSettings):
    """`TrainSettings` without the options that were left open, and what else decides the weights.

    Attributes:
        head_learning_rate: peak learning rate of the head, which is not that of adapters.
        probe_c: inverse regularisation strength of the regression.
        seed: of batches and dropout.
        scoring_tokens: tokens of a batch, padding included, in passes without gradients.
    """

    epochs: int
    learning_rate: float
    head_learning_rate: float
    probe_c: float
    seed: int
    scoring_tokens: int


def resolve_recipe(settings: TrainRun, train: Encoded, multi_label: bool) -> ResolvedRecipe:
    """Choose the epochs, learning rates and the probe's C that the settings leave open, for these documents."""
    given = settings.train
    documents = given.batch_tokens / float(np.mean(train.lengths * train.windows))
    steps_per_epoch = math.ceil(len(train) / documents)
    chosen_epochs = default_epochs(steps_per_epoch, multi_label, settings.data.pool is not None)
    epochs = given.epochs if given.epochs is not None else chosen_epochs
    steps = min(epochs * steps_per_epoch, given.max_steps or math.inf)
    adapters = LORA_RATE if given.recipe is Recipe.lora else 1.0
    rate = given.learning_rate if given.learning_rate is not None else default_rate(documents, steps) * adapters
    if given.recipe is not Recipe.probe and None in (given.epochs, given.learning_rate):
        log.info(f"about {steps:,.0f} steps of {documents:,.0f} documents: epochs {epochs}, learning rate {rate:.2g}")
    chosen = {
        "epochs": epochs,
        "learning_rate": rate,
        "head_learning_rate": rate / adapters,
        "probe_c": probe_c(multi_label),
    }
    values = {field.name: getattr(given, field.name) for field in fields(TrainSettings)} | chosen
    return ResolvedRecipe(**values, seed=settings.seed, scoring_tokens=settings.evaluate.batch_tokens)


def default_epochs(steps_per_epoch: int, multi_label: bool, has_pool: bool) -> int:
    """Passes over the training documents: 3 for single-label documents; multi-label ones need about 240 steps.

    The sigmoids of many rare classes take more steps than one softmax. A student with a pool passes over it less often,
    down to once, if the pool alone gives enough steps.
    """
    steps, most = (240, 20) if multi_label else (150, 3)
    return min(most, max(1 if has_pool else 3, math.ceil(steps / steps_per_epoch)))


def default_rate(documents: float, steps: float) -> float:
    """Peak learning rate for this many steps on batches of this many documents.

    Rates of Adam scale with the square root of the batch size: Malladi et al., arXiv 2205.10287. A training of fewer
    than 200 steps takes up to twice the rate.
    """
    return 2e-4 * math.sqrt(min(1.0, documents / 64)) * min(2.0, max(1.0, math.sqrt(200 / steps)))
