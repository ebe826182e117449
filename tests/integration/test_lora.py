"""Adapters of low rank: trained on frozen weights, merged at the end, absent from the run."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tagsmith.config.settings import LoraSettings, ModelSettings, Precision, Recipe, TrainRun, problems
from tagsmith.core.errors import Interrupted, SettingsError
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.model.loaded_model import load_trained
from tagsmith.model.processes import resolved_precision
from tagsmith.train import train_run as stage
from tagsmith.train.resolved_recipe import LORA_RATE
from tagsmith.train.train_run import train
from tests.conftest import make_encoder
from tests.integration.test_frozen import largest_difference

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]
LORA = {"recipe": Recipe.lora, "learning_rate": 1e-2}


def losses(run: RunFolder) -> list[float]:
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def changed(run: RunFolder, encoder: Path) -> set[str]:
    """Names of the encoder's weights that are others than the pretrained ones."""
    before = {f"encoder.{name}": value for name, value in load_file(encoder / "model.safetensors").items()}
    after = load_file(run.weights)
    assert {name for name in after if name.startswith("encoder.")} <= before.keys()
    return {name for name in after.keys() & before.keys() if not torch.equal(after[name], before[name])}


def test_merged_adapters_leave_a_plain_encoder(
    settings: Make, single_label_file: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, evaluation = train(settings(single_label_file, epochs=4, **LORA))
    _, probed = train(settings(single_label_file, "probe", recipe=Recipe.probe))
    found = losses(run)
    assert sum(found[-5:]) < 0.9 * sum(found[:5])
    # As the models give them: a temperature from 24 documents says little.
    assert evaluation["scores"]["log_loss_before"] < probed["scores"]["log_loss_before"]
    moved = changed(run, encoder)
    # Six linear layers in each of the two; embeddings, biases and norms stay.
    assert len(moved) == 12
    assert all(".layer." in name and name.endswith(".weight") and "LayerNorm" not in name for name in moved)
    monkeypatch.setitem(sys.modules, "peft", None)
    model = load_trained(run.model, Schema.load(run.schema)).classifier
    assert not any("lora" in name for name in model.state_dict())


@pytest.mark.parametrize("frozen_layers", [0, 1])
def test_stopped_and_resumed_equals_uninterrupted(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch, frozen_layers: int
) -> None:
    from tagsmith.train import loop

    about = {**LORA, "frozen_layers": frozen_layers, "checkpoint_every": 1}
    monkeypatch.setattr(LoraSettings, "dropout", 0.1)
    whole, _ = train(settings(single_label_file, "whole", **about))
    due = loop._is_due

    def die(*args: object) -> bool:
        progress = args[0]
        if progress.epoch == 1 and progress.batch == 1:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return due(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_is_due", die)
    stopped = settings(single_label_file, "stopped", **about)
    with pytest.raises(Interrupted):
        train(stopped)
    monkeypatch.undo()
    newest = max(Path(stopped.run or "", "checkpoints").iterdir())
    saved = torch.load(newest, weights_only=True)["weights"]
    assert all("lora_" in name or name.startswith("head.") for name in saved)
    stopped.resume = True
    resumed, _ = train(stopped)
    assert largest_difference(whole, resumed) == 0


def test_frozen_layers_get_no_adapters(settings: Make, single_label_file: Path, encoder: Path) -> None:
    run, _ = train(settings(single_label_file, frozen_layers=1, **LORA))
    moved = changed(run, encoder)
    assert len(moved) == 6
    assert all(name.startswith("encoder.encoder.layer.1.") for name in moved)


@pytest.mark.parametrize("kind", ["xlm-roberta", "mpnet", "modernbert", "deberta-v2"])
def test_every_encoder_takes_adapters(kind: str, settings: Make, single_label_file: Path, tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / kind, kind)
    run, _ = train(settings(single_label_file, path=str(folder), max_steps=2, frozen_layers=1, **LORA))
    assert changed(run, folder)


def test_named_layers_alone(settings: Make, single_label_file: Path, encoder: Path) -> None:
    run, _ = train(settings(single_label_file, lora=LoraSettings(targets=["query"], rank=2), max_steps=2, **LORA))
    moved = changed(run, encoder)
    assert len(moved) == 2
    assert all(name.endswith("query.weight") for name in moved)
    with pytest.raises(SettingsError, match=r"train\.lora\.targets=\['nothing'\]"):
        train(settings(single_label_file, "none", lora=LoraSettings(targets=["nothing"]), **LORA))


def test_adapters_have_ten_times_the_rate(settings: Make, single_label_file: Path) -> None:
    rates = []
    for recipe in (Recipe.lora, Recipe.finetune):
        made = settings(single_label_file, recipe.value, recipe=recipe, learning_rate=None, max_steps=1)
        run, _ = train(made)
        rates.append(json.loads(run.metrics.read_text().splitlines()[0])["learning_rate"])
    assert rates[0] == pytest.approx(LORA_RATE * rates[1])


def test_without_peft_the_message_says_what_to_install(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.lora, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"needs peft.*pip install 'tagsmith\[lora\]'"):
        train(settings(single_label_file, **LORA))


def test_impossible_settings() -> None:
    made = TrainRun(model=ModelSettings(name="x"))
    assert not problems(made)
    made.train.recipe, made.train.freeze_embeddings, made.train.lora.targets = Recipe.lora, False, []
    made.train.lora.rank = 0
    assert [problem.partition(":")[0] for problem in problems(made)] == [
        "train.lora.rank",
        "train.freeze_embeddings",
        "train.lora.targets",
    ]


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
def test_a_compiled_training_has_the_same_names_and_nearly_the_same_weights(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    # Without the code generator, which takes a compiler and a minute.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    about = {**LORA, "learning_rate": 1e-3, "hidden_dropout": 0.0, "max_steps": 4, "mixed_precision": precision}
    plain, _ = train(settings(single_label_file, "plain", **about))
    compiled, _ = train(settings(single_label_file, "compiled", compile=True, **about))
    assert largest_difference(plain, compiled) < 1e-5


@pytest.mark.parametrize(("bf16", "found"), [(True, Precision.bf16), (False, Precision.fp32)])
def test_auto_is_bf16_on_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch, bf16: bool, found: Precision) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16 or including_emulation)
    # What its CPU has is of no account.
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": not bf16})
    assert resolved_precision(Precision.auto, cpu=False) is found
    assert resolved_precision(Precision.fp16, cpu=False) is Precision.fp16


@pytest.mark.parametrize(
    ("has", "found"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, Precision.bf16),
        ({"amx_bf16": False, "avx512_bf16": True}, Precision.fp32),
        ({"bf16": True}, Precision.fp32),  # As of an ARM, on which nothing was measured.
    ],
)
def test_auto_is_bf16_on_a_cpu_with_matrix_units_for_it(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], found: Precision
) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolved_precision(Precision.auto, cpu=False) is found
    # Nor does it matter what a GPU has that is not to be used.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert resolved_precision(Precision.auto, cpu=True) is found
    assert resolved_precision(Precision.fp32, cpu=True) is Precision.fp32
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert resolved_precision(Precision.auto, cpu=False) is found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_record_says_which_precision_auto_chose(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": precision == "bf16"})
    run, _ = train(settings(single_label_file, recipe=Recipe.probe))
    record = run.read_record()
    assert (record["settings"]["train.mixed_precision"], record["precision"]) == ("auto", precision)
