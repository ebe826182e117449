"""Packed windows get what padded ones get: on a CPU with attention of our own in the kernel's place."""

import functools
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor
from torch._dynamo.testing import CompileCounter

import tagsmith.train.train_run
from tagsmith.config.settings import DataSettings, LongDocuments, ModelSettings, Pooling, Precision, TrainRun
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, Task
from tagsmith.model import attention, packed
from tagsmith.model import text_classifier as model
from tagsmith.model.loaded_model import load_pretrained
from tagsmith.model.packed import NAME, mean_by_group, tensors, why_padded
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.tokens.windows import EncodedDocuments
from tagsmith.train import fit as fitting
from tagsmith.train.frozen import TokenStates, freeze_layers, lower_part, upper_part
from tagsmith.train.train_run import train
from tests.conftest import make_encoder

Make = Callable[..., TrainRun]
Tensors = tuple[Tensor, Tensor, Tensor]

CPU = torch.device("cpu")
FP32: dict[str, Any] = {"hidden_dropout": 0.0, "mixed_precision": Precision.fp32}
PACKED = ["bert", "xlm-roberta", "modernbert"]
# Of one window and of several, among them of the whole length, with the shortest not at the end.
TEXTS = ["a cat", "the dog and a horse near some bread with milk", "cheese", "axe under the saw " * 9]


def weights(query: Tensor, key: Tensor, scale: float, near: list[int]) -> Tensor:
    """What the tokens of one window see of each other, [heads, tokens, tokens] of two times [heads, tokens, size]."""
    places = torch.arange(query.shape[1])
    seen = (places[:, None] - places).abs() <= (near[0] if near[0] >= 0 else len(places))
    return (query @ key.transpose(1, 2) * scale).masked_fill(~seen, -torch.inf).softmax(dim=-1)


def by_window(bounds: Tensor, *states: Tensor) -> Iterator[list[Tensor]]:
    """Of states [tokens, heads, size] those of each window, [heads, tokens, size]."""
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield [each[start:end].transpose(0, 1) for each in states]


@torch.library.register_kernel("torch_attn::_varlen_attn", "cpu")
def forward_on_cpu(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, bounds_k: Tensor, longest: int, longest_k: int,
    is_causal: bool, scale: float, near: list[int], *_: Any,
) -> Tensors:  # fmt: skip
    # What the kernel asks for, but for half precision: in fp32 both ways can be compared to the sixth digit.
    assert bounds.dtype == torch.int32
    assert bounds.is_contiguous()
    assert {query.stride(-1), key.stride(-1), value.stride(-1)} == {1}
    assert query.shape[-1] % 8 == 0
    assert torch.equal(bounds, bounds_k)
    assert bounds[-1] == len(query)
    assert longest == longest_k == bounds.diff().max()
    assert not is_causal
    assert near[0] == near[1]
    found = [(weights(q, k, scale, near) @ v).transpose(0, 1) for q, k, v in by_window(bounds, query, key, value)]
    return torch.cat(found), torch.zeros(query.shape[1], len(query)), torch.zeros(2, dtype=torch.uint64)


@torch.library.register_kernel("torch_attn::_varlen_attn_backward", "cpu")
def backward_on_cpu(
    slope: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, bounds: Tensor,
    bounds_k: Tensor, longest: int, longest_k: int, is_causal: bool, rng: Tensor, scale: float, near: list[int],
) -> Tensors:  # fmt: skip
    found = []
    for s, q, k, v in by_window(bounds, slope, query, key, value):
        seen = weights(q, k, scale, near)
        of_seen = s @ v.transpose(1, 2)
        of_scores = seen * (of_seen - (of_seen * seen).sum(dim=-1, keepdim=True)) * scale
        found.append((of_scores @ k, of_scores.transpose(1, 2) @ q, seen.transpose(1, 2) @ s))
    of_query, of_key, of_value = (
        torch.cat([each.transpose(0, 1) for each in part]) for part in zip(*found, strict=True)
    )
    return of_query, of_key, of_value


def classifier(folder: Path, kind: str, pooling: Pooling, **about: Any) -> tuple[TextClassifier, EncodedDocuments]:
    """A tiny classifier with a head, ready for packed windows, and documents of several windows for it."""
    data = DataSettings(max_tokens=24, window_overlap=4, long_documents=LongDocuments.windows)
    settings = ModelSettings(path=str(make_encoder(folder / kind, kind)), pooling=pooling, **about)
    loaded = load_pretrained(settings, data, Schema(("tools", "food", "animals"), Task.single_label), 0.5)
    torch.nn.init.normal_(loaded.classifier.head.weight)
    encoded = loaded.encode(TEXTS)
    assert encoded.windows.max() > 1
    assert encoded.lengths.max() == 24
    return loaded.classifier, encoded


def outcome(trained: TextClassifier, batch: Any, way: bool, device: torch.device = CPU) -> tuple[Tensor, list[Tensor]]:
    """Logits of the documents of a batch, and the gradients of a loss of them."""
    inputs, where, document, windows = tensors(batch, device, way)
    logits = mean_by_group(trained(inputs, where), document, windows)
    loss = torch.nn.functional.cross_entropy(logits.float(), torch.arange(len(logits), device=device) % 3)
    parameters = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return logits.detach(), [g if g is not None else torch.zeros(1) for g in found]


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("pooling", list(Pooling))
def test_packed_and_padded_windows_give_the_same_logits_and_gradients(
    kind: str, pooling: Pooling, tmp_path: Path
) -> None:
    trained, encoded = classifier(tmp_path, kind, pooling)
    batch = encoded.batch(np.array([1, 3, 0, 2]))
    expected, slopes = outcome(trained.eval(), batch, False)
    trained.encoder.set_attn_implementation(NAME)
    logits, gradients = outcome(trained, batch, True)
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    assert max(slope.abs().max() for slope in slopes) > 0.1
    torch.testing.assert_close(gradients, slopes, atol=1e-5, rtol=1e-3)
    # Given padded windows, such as when it is evaluated, the encoder does what it always did.
    again, same = outcome(trained, batch, False)
    assert torch.equal(again, expected)
    assert all(torch.equal(a, b) for a, b in zip(same, slopes, strict=True))


@pytest.mark.parametrize("kind", PACKED)
def test_the_part_above_frozen_layers_takes_packed_windows(kind: str, tmp_path: Path) -> None:
    whole, encoded = classifier(tmp_path, kind, Pooling.mean)
    whole.eval().packs = True
    freeze_layers(whole, 1)
    states = TokenStates(encoded, lower_part(whole, 1), Accelerator(cpu=True))
    upper = upper_part(whole, 1).eval()
    assert upper.packs
    batch = states.batch(np.array([1, 3, 0, 2]))
    expected, slopes = outcome(upper, batch, False)
    upper.encoder.set_attn_implementation(NAME)
    logits, gradients = outcome(upper, batch, True)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradients, slopes, atol=1e-5, rtol=1e-3)


def test_positions_of_windows_in_the_row(tmp_path: Path) -> None:
    _, encoded = classifier(tmp_path, "bert", Pooling.mean)
    batch = encoded.batch(np.array([2, 0]))
    inputs, where, _, _ = tensors(batch, CPU, True)
    assert isinstance(where, packed.Packed)
    assert inputs.tolist() == [[*encoded.ids[encoded.window_starts[encoded.first_window[2]] :][:3], *encoded.ids[:4]]]
    assert where.positions.tolist() == [[0, 1, 2, 0, 1, 2, 3]]
    assert where.window.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert where.lengths.tolist() == [3, 4]
    assert where.bounds.tolist() == [0, 3, 7]
    assert where.longest == 4


def judged(trained: TextClassifier, encoded: EncodedDocuments, precision: str = "bf16") -> str | None:
    accelerator = SimpleNamespace(
        mixed_precision=precision, device=CPU, autocast=functools.partial(torch.autocast, "cpu", torch.bfloat16)
    )
    return why_padded(trained.encoder, trained.features, encoded.batch(np.array([2, 3])), accelerator)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", PACKED)
def test_encoders_whose_windows_are_packed(kind: str, tmp_path: Path) -> None:
    trained, encoded = classifier(tmp_path, kind, Pooling.mean)
    assert judged(trained, encoded) is None
    assert trained.encoder.config._attn_implementation == NAME
    assert not trained.encoder.training


@pytest.mark.parametrize(("kind", "name"), [("mpnet", "MPNetModel"), ("deberta-v2", "DebertaV2Model")])
def test_encoders_with_relative_positions_get_padded_windows(kind: str, name: str, tmp_path: Path) -> None:
    trained, encoded = classifier(tmp_path, kind, Pooling.mean)
    before = trained.encoder.config._attn_implementation
    assert judged(trained, encoded) == f"{name} has its own implementation of attention"
    assert trained.encoder.config._attn_implementation == before


def test_reasons_to_pad_leave_the_encoder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, encoded = classifier(tmp_path, "xlm-roberta", Pooling.mean)
    assert judged(trained, encoded, "no") == "the kernel for packed windows needs half precision, not fp32"
    with monkeypatch.context() as patch:
        # Such as an encoder that counts its positions in yet another way.
        patch.setattr(model, "first_position", lambda config: 0)
        assert "packed windows get different vectors" in str(judged(trained, encoded))
    with monkeypatch.context() as patch:

        def refuse(*_: Any, **__: Any) -> Tensor:
            raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.\nat::cuda")

        patch.setattr(packed, "varlen_attn", refuse)
        assert judged(trained, encoded) == "FlashAttention only supports Ampere GPUs or newer."
    assert trained.encoder.config._attn_implementation == "sdpa"
    dropping, encoded = classifier(tmp_path / "dropping", "bert", Pooling.mean, attention_dropout=0.1)
    assert "model.attention_dropout=0" in str(judged(dropping, encoded))
    assert dropping.encoder.config._attn_implementation == "sdpa"


def test_a_gpu_logs_whether_it_packs_and_a_cpu_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("tagsmith").propagate = True
    caplog.set_level(logging.INFO, "tagsmith")
    trained, encoded = classifier(tmp_path, "bert", Pooling.mean)
    reason: str | None = "too old"
    monkeypatch.setattr(fitting, "why_padded", lambda *_: reason)
    fitting.configure_device(trained, encoded, SimpleNamespace(device=CPU, mixed_precision="bf16"))  # type: ignore[arg-type]
    assert not caplog.text
    assert trained.encoder.config._attn_implementation == attention.NAME
    assert not trained.packs
    gpu: Any = SimpleNamespace(device=torch.device("cuda"))
    fitting.configure_device(trained, encoded, gpu)
    assert "windows are padded: too old" in caplog.text
    assert not trained.packs
    reason = None
    fitting.configure_device(trained, encoded, gpu)
    assert "windows are packed, without padding" in caplog.text
    assert trained.packs


def pack(trained: TextClassifier, *_: Any) -> None:
    """`fitting.configure_device`, on a CPU, in fp32."""
    trained.encoder.set_attn_implementation(NAME)
    trained.packs = True


def largest_difference(a: RunFolder, b: RunFolder) -> float:
    first, second = load_file(a.weights), load_file(b.weights)
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("about", [{}, {"frozen_layers": 1}, {"compile": True}], ids=["plain", "frozen", "compiled"])
def test_training_on_packed_windows_ends_where_training_on_padded_ones_does(
    about: dict[str, Any], settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the code generator, which takes a compiler and a minute.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    padded, expected = train(settings(single_label_file, "padded", **FP32, **about))
    monkeypatch.setattr(tagsmith.train.train_run, "configure_device", pack)
    rows: list[int] = []
    forward = TextClassifier.forward

    def watched(self: TextClassifier, inputs: Tensor, attention_mask: Any) -> Tensor:
        rows.append(len(inputs) if self.training else 0)
        return forward(self, inputs, attention_mask)

    if not about:
        monkeypatch.setattr(TextClassifier, "forward", watched)
    packed_run, found = train(settings(single_label_file, "packed", **FP32, **about))
    assert set(rows) <= {0, 1}
    assert largest_difference(padded, packed_run) < 1e-4
    assert found["log_loss"] == pytest.approx(expected["log_loss"], abs=1e-4)
    # What is logged is what the encoder computes.
    lines = [[json.loads(line) for line in run.metrics.open()] for run in (padded, packed_run)]
    steps = [[line for line in of_run if "tokens" in line] for of_run in lines]
    assert [line["tokens"] for line in steps[0]] == [line["tokens"] for line in steps[1]]
    assert max(line["padding_share"] for line in steps[0]) > 0
    assert {line["padding_share"] for line in steps[1]} == {0}
    assert "log_loss" in " ".join(lines[1][-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", PACKED)
def test_one_compilation_serves_rows_of_any_length(kind: str, tmp_path: Path) -> None:
    trained, encoded = classifier(tmp_path, kind, Pooling.mean)
    trained.encoder.set_attn_implementation(NAME)
    counter = CompileCounter()
    torch._dynamo.reset()
    compiled = torch.compile(trained.eval(), dynamic=True, backend=counter)
    for documents in ([0, 1], [1, 2, 3], [3, 0], [2, 1, 0], [3, 2, 1, 0]):
        inputs, where, _, _ = tensors(encoded.batch(np.array(documents)), CPU, True)
        torch.testing.assert_close(compiled(inputs, where), trained(inputs, where))
    assert counter.frame_count == 1


@pytest.mark.gpu
@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_the_kernel_of_a_gpu_agrees_with_padded_windows(kind: str, precision: torch.dtype, tmp_path: Path) -> None:
    trained, encoded = classifier(tmp_path, kind, Pooling.mean)
    gpu = torch.device("cuda")
    batch = encoded.batch(np.array([1, 3, 0, 2]))
    expected, slopes = outcome(trained.to(gpu).eval(), batch, False, gpu)
    trained.encoder.set_attn_implementation(NAME)
    with torch.autocast("cuda", precision):
        logits, gradients = outcome(trained, batch, True, gpu)
    torch.testing.assert_close(logits.float(), expected, atol=0.05, rtol=0.05)
    flat, true = (torch.cat([g.flatten().to(gpu).float() for g in found]) for found in (gradients, slopes))
    assert torch.cosine_similarity(flat, true, dim=0) > 0.99


@pytest.mark.gpu
def test_a_step_on_packed_windows_does_not_wait_for_the_gpu(tmp_path: Path) -> None:
    trained, encoded = classifier(tmp_path, "modernbert", Pooling.mean)
    trained.to("cuda").encoder.set_attn_implementation(NAME)
    inputs, where, document, windows = tensors(encoded.batch(np.array([1, 3, 0, 2])), torch.device("cuda"), True)
    for mode in (0, "error"):  # Once to load what is loaded once.
        torch.cuda.set_sync_debug_mode(mode)
        try:
            with torch.autocast("cuda", torch.bfloat16):
                mean_by_group(trained(inputs, where), document, windows).square().mean().backward()
        finally:
            torch.cuda.set_sync_debug_mode(0)


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_training_on_a_gpu_packs(
    compiled: bool, settings: Make, single_label_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("tagsmith").propagate = True
    caplog.set_level(logging.INFO, "tagsmith")
    run = settings(single_label_file)
    found, _ = train(
        replace(run, train=replace(run.train, cpu=False, compile=compiled, mixed_precision=Precision.bf16))
    )
    assert "windows are packed" in caplog.text
    steps = [json.loads(line) for line in found.metrics.open()]
    assert {line["padding_share"] for line in steps if "tokens" in line} == {0}
