import math
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tagsmith.config.settings import Recipe, TrainRun, TrainSettings
from tagsmith.model.score import Encoded
from tagsmith.train.resolved_recipe import ResolvedRecipe, default_epochs, default_rate, resolve_recipe


class Documents(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.lengths)


def documents(count: int, length: int) -> Encoded:
    found: Any = Documents(lengths=np.full(count, length), windows=np.ones(count, dtype=np.int64))
    return cast(Encoded, found)


def resolve(given: TrainSettings, train: Encoded, multi_label: bool) -> ResolvedRecipe:
    return resolve_recipe(TrainRun(train=given), train, multi_label)


def test_hand_worked() -> None:
    # 1,024 tokens are 64 documents of 16; 6,400 of them 100 batches an epoch, three epochs 300 steps.
    found = resolve(TrainSettings(), documents(6400, 16), multi_label=False)
    assert (found.epochs, found.learning_rate, found.probe_c) == (3, pytest.approx(2e-4), 10)
    # 10 batches an epoch: 20 epochs are the most; 200 steps.
    found = resolve(TrainSettings(), documents(640, 16), multi_label=True)
    assert (found.epochs, found.learning_rate, found.probe_c) == (20, pytest.approx(2e-4), 100)


def test_given_settings_are_kept() -> None:
    given = TrainSettings(epochs=2, learning_rate=1e-5)
    found = resolve(given, documents(50, 10), multi_label=True)
    assert all(getattr(found, item.name) == getattr(given, item.name) for item in fields(given))
    assert (found.seed, found.scoring_tokens) == (TrainRun.seed, TrainRun().evaluate.batch_tokens)


def test_long_documents_count_by_their_windows() -> None:
    some: Any = Documents(lengths=np.full(640, 16), windows=np.full(640, 4))
    assert resolve(TrainSettings(), some, multi_label=True).epochs == 6  # 40 batches of 16


def test_adapters_take_ten_times_the_rate() -> None:
    lora, finetune = (
        resolve(TrainSettings(recipe=recipe), documents(900, 12), False) for recipe in (Recipe.lora, Recipe.finetune)
    )
    assert lora.learning_rate == pytest.approx(10 * finetune.learning_rate)
    assert lora.head_learning_rate == finetune.head_learning_rate == finetune.learning_rate


def test_max_steps_decides_the_rate_if_it_ends_training() -> None:
    found = resolve(TrainSettings(max_steps=50), documents(6400, 16), multi_label=False)
    assert found.learning_rate == pytest.approx(4e-4)


@pytest.mark.parametrize(
    ("steps", "multi_label", "has_pool", "expected"),
    [
        (1, False, False, 3),
        (9999, False, False, 3),
        (1, True, False, 20),
        (24, True, False, 10),
        (80, True, False, 3),
        (9999, True, False, 3),
        (13, False, True, 3),
        (100, False, True, 2),
        (150, False, True, 1),
        (13, True, True, 19),
        (240, True, True, 1),
    ],
)
def test_epochs(steps: int, multi_label: bool, has_pool: bool, expected: int) -> None:
    assert default_epochs(steps, multi_label, has_pool) == expected


@pytest.mark.parametrize(
    ("size", "steps", "expected"),
    [(64, 200, 2e-4), (64, 9000, 2e-4), (640, 200, 2e-4), (16, 200, 1e-4), (64, 128, 2.5e-4), (64, 3, 4e-4)],
)
def test_rates(size: float, steps: float, expected: float) -> None:
    assert default_rate(size, steps) == pytest.approx(expected)
    assert default_rate(size, math.inf) <= default_rate(size, 1)
