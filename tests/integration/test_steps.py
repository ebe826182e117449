"""Steps of training that go wrong, and averages over those that go right."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tagsmith.config.settings import Precision, TrainRun
from tagsmith.core.errors import DataError, Interrupted, SettingsError
from tagsmith.core.run import RunFolder
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.train import loop
from tagsmith.train.train_run import train

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]


def largest_difference(a: RunFolder, b: RunFolder) -> float:
    first, second = load_file(a.weights), load_file(b.weights)
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    logging.getLogger("tagsmith").propagate = True
    caplog.set_level(logging.INFO, "tagsmith")
    return caplog


def spoil(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Let the loss of these steps (of training, counted from 1) be no number."""
    forward, taken = TextClassifier.forward, []

    def spoiled(self: TextClassifier, inputs: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits = forward(self, inputs, attention_mask)
        if self.training:
            taken.append(1)
            if len(taken) in steps:
                return logits * torch.nan
        return logits

    monkeypatch.setattr(TextClassifier, "forward", spoiled)


def test_a_loss_that_is_no_number_stops_training_and_names_the_documents(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {3})
    with pytest.raises(DataError, match=r"step 3: the loss or its gradients are not finite; documents: (0-\d+, )+"):
        train(settings(single_label_file))


def test_bad_steps_are_skipped_up_to_a_bound(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    spoil(monkeypatch, {2, 4})
    run, _ = train(settings(single_label_file, max_bad_steps=2, validation_share=0.0))
    assert "skipped (2 of 2)" in logged.text
    assert all(torch.isfinite(value).all() for value in load_file(run.weights).values())
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [line["step"] for line in lines if line["loss"] is None] == [2, 4]
    monkeypatch.undo()
    spoil(monkeypatch, {2, 4})
    with pytest.raises(DataError, match="step 4"):
        train(settings(single_label_file, "second", max_bad_steps=1, validation_share=0.0))
    monkeypatch.undo()
    spoil(monkeypatch, {2, 4})
    resumed, _ = train(settings(single_label_file, "second", max_bad_steps=2, validation_share=0.0, resume=True))
    assert largest_difference(run, resumed) == 0


def test_out_of_memory_halves_the_micro_batches_and_keeps_the_batch(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    about = {"hidden_dropout": 0.0, "mixed_precision": Precision.fp32}
    whole, _ = train(settings(single_label_file, "whole", **about))
    forward = TextClassifier.forward

    def short_of_memory(self: TextClassifier, inputs: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        if self.training and inputs.numel() > 100:
            raise torch.OutOfMemoryError("out of memory.")
        return forward(self, inputs, attention_mask)

    monkeypatch.setattr(TextClassifier, "forward", short_of_memory)
    halved, _ = train(settings(single_label_file, "halved", **about))
    assert logged.text.count("this step is repeated") == 2
    assert largest_difference(whole, halved) < 1e-4
    steps = [json.loads(line)["step"] for line in whole.metrics.read_text().splitlines()]
    assert [json.loads(line)["step"] for line in halved.metrics.read_text().splitlines()] == steps


def test_a_document_that_does_not_fit_is_reported(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: TextClassifier, *_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    monkeypatch.setattr(TextClassifier, "forward", full)
    with pytest.raises(SettingsError, match=r"Tried to allocate 2 GiB\. One document of \d+ tokens does not fit"):
        train(settings(single_label_file))


def test_averages_are_validated_and_kept(settings: Make, single_label_file: Path) -> None:
    plain, _ = train(settings(single_label_file, "plain", validation_share=0.0))
    averaged, _ = train(settings(single_label_file, "averaged", validation_share=0.0, ema_decay=0.9))
    assert largest_difference(plain, averaged) > 0
    # Training itself continues from the weights, not from their averages.
    first, second = ([json.loads(line)["loss"] for line in run.metrics.open()] for run in (plain, averaged))
    assert first == second


def test_stopped_and_resumed_with_averages_equals_uninterrupted(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = train(settings(single_label_file, "whole", ema_decay=0.9, checkpoint_every=2))
    due = loop._is_due

    def die(progress: Any, *rest: Any) -> bool:
        if progress.step == 5:
            raise KeyboardInterrupt
        return due(progress, *rest)

    monkeypatch.setattr(loop, "_is_due", die)
    with pytest.raises(Interrupted):
        train(settings(single_label_file, "stopped", ema_decay=0.9, checkpoint_every=2))
    monkeypatch.undo()
    resumed, _ = train(settings(single_label_file, "stopped", ema_decay=0.9, checkpoint_every=2, resume=True))
    assert largest_difference(whole, resumed) == 0
