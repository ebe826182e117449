"""Frozen lowest layers: their output is computed once, and training gives the same weights."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from tagsmith.config.settings import DataSettings, LongDocuments, ModelSettings, Pooling, TrainRun
from tagsmith.core.errors import Interrupted, SettingsError
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, Task
from tagsmith.model.loaded_model import load_pretrained
from tagsmith.train.frozen import TokenStates, freeze_layers, lower_part, upper_part
from tagsmith.train.train_run import train
from tests.conftest import make_encoder

Make = Callable[..., TrainRun]

TEXTS = ["a cat", "the dog and a horse near some bread with milk", "cheese", "axe under the saw " * 6]
SCHEMA = Schema(("tools", "food", "animals"), Task.single_label)


def largest_difference(a: RunFolder, b: RunFolder) -> float:
    first, second = load_file(a.weights), load_file(b.weights)
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "mpnet", "modernbert", "deberta-v2"])
@pytest.mark.parametrize("pooling", list(Pooling))
def test_the_two_parts_compute_the_same_as_the_complete_model(kind: str, pooling: Pooling, tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / kind, kind)
    data = DataSettings(max_tokens=16, window_overlap=4, long_documents=LongDocuments.windows)
    loaded = load_pretrained(ModelSettings(path=str(encoder), pooling=pooling), data, SCHEMA, 0.5)
    model = loaded.classifier
    torch.nn.init.normal_(model.head.weight)
    freeze_layers(model, 1)
    encoded = loaded.encode(TEXTS)
    assert encoded.windows.max() > 1
    accelerator = Accelerator(cpu=True)
    states = TokenStates(encoded, lower_part(model, 1), accelerator)
    states.keep(tmp_path / "states" / "train.f16", 1.0, 64)
    documents = torch.tensor([3, 0, 2]).numpy()
    whole, parts = encoded.batch(documents), states.batch(documents)
    assert parts.windows.tolist() == whole.windows.tolist()
    assert parts.document.tolist() == whole.document.tolist()
    mask = torch.from_numpy(whole.attention_mask)
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(whole.inputs), mask)
        found = upper_part(model, 1).eval()(torch.from_numpy(parts.inputs), mask)
    assert expected.abs().max() > 0.1
    # Half precision keeps three digits.
    assert (expected - found).abs().max() < 1e-2


@pytest.mark.slow
def test_kept_and_computed_states_give_the_same_weights(
    settings: Make, single_label_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("tagsmith").propagate = True
    caplog.set_level(logging.INFO, "tagsmith")
    kept, first = train(settings(single_label_file, "kept", frozen_layers=1))
    assert "kept in" in caplog.text
    computed, second = train(settings(single_label_file, "computed", frozen_layers=1, frozen_states_gib=0.0))
    assert "more than train.frozen_states_gib=0; they are computed for each batch" in caplog.text
    free, _ = train(settings(single_label_file, "free"))
    assert largest_difference(kept, computed) < 1e-5
    assert largest_difference(kept, free) > 1e-3
    assert first["log_loss"] == pytest.approx(second["log_loss"], abs=1e-5)
    assert not kept.frozen_states.exists()


@pytest.mark.slow
def test_frozen_layers_do_not_change(settings: Make, single_label_file: Path, encoder: Path) -> None:
    before = {f"encoder.{name}": value for name, value in load_file(encoder / "model.safetensors").items()}
    run, _ = train(settings(single_label_file, frozen_layers=1))
    after = load_file(run.weights)
    changed = {name for name in after.keys() & before.keys() if not torch.equal(after[name], before[name])}
    assert changed
    assert all(name.startswith("encoder.encoder.layer.1.") for name in changed)


@pytest.mark.slow
def test_stopped_and_resumed_with_frozen_layers_equals_uninterrupted(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tagsmith.train import loop

    whole, _ = train(settings(single_label_file, "whole", frozen_layers=1))
    due = loop._is_due

    def die(*args: object) -> bool:
        progress = args[0]
        if progress.epoch == 1 and progress.batch == 1:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return due(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_is_due", die)
    with pytest.raises(Interrupted):
        train(settings(single_label_file, "stopped", frozen_layers=1))
    monkeypatch.undo()
    resumed, _ = train(settings(single_label_file, "stopped", frozen_layers=1, resume=True))
    assert largest_difference(whole, resumed) == 0


def test_an_encoder_without_so_many_layers_is_refused(settings: Make, single_label_file: Path) -> None:
    with pytest.raises(SettingsError, match="expected at most 1 for this encoder, found 2"):
        train(settings(single_label_file, frozen_layers=2))
