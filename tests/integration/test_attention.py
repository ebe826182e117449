"""On a CPU that computes in bf16, attention is in fp32; nothing else of an encoder changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tagsmith.config.settings import DataSettings, ModelSettings, Pooling
from tagsmith.core.schema import Schema, Task
from tagsmith.model.attention import NAME, use_fp32_attention
from tagsmith.model.loaded_model import load_pretrained
from tagsmith.model.packed import tensors
from tagsmith.model.text_classifier import TextClassifier
from tests.conftest import make_encoder

TEXTS = ["a cat", "the dog and a horse near some bread with milk", "cheese", "axe under the saw " * 9]
SCHEMA = Schema(("tools", "food", "animals"), Task.single_label)
CPU = torch.device("cpu")


def classifier(folder: Path, kind: str) -> tuple[TextClassifier, tuple[Tensor, Tensor]]:
    """A tiny classifier with a head, and a batch of padded windows for it."""
    settings = ModelSettings(path=str(make_encoder(folder / kind, kind)), pooling=Pooling.mean)
    loaded = load_pretrained(settings, DataSettings(), SCHEMA, 0.5)
    model = loaded.classifier
    torch.nn.init.normal_(model.head.weight)
    inputs, mask, _, _ = tensors(loaded.encode(TEXTS).batch(np.arange(4)), CPU)
    assert isinstance(mask, Tensor)
    assert mask.min() == 0
    return model.eval(), (inputs, mask)


def outcome(model: TextClassifier, batch: tuple[Tensor, Tensor], bf16: bool) -> tuple[Tensor, list[Tensor]]:
    """Logits, and the gradients of a loss of them."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(*batch)
    loss = torch.nn.functional.cross_entropy(logits.float(), torch.arange(len(logits)) % 3)
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return logits.detach(), [slope for slope in found if slope is not None]


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "modernbert"])
def test_attention_is_in_fp32_and_the_same_in_fp32_training(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = classifier(tmp_path, kind)
    expected, slopes = outcome(model, batch, bf16=False)
    use_fp32_attention(model.encoder)
    assert model.encoder.config._attn_implementation == NAME
    logits, gradients = outcome(model, batch, bf16=False)
    assert torch.equal(logits, expected)
    assert all(torch.equal(a, b) for a, b in zip(gradients, slopes, strict=True))
    seen = set()
    attention = torch.nn.functional.scaled_dot_product_attention

    def watched(query: Tensor, *others: Tensor, **about: Tensor) -> Tensor:
        found: Tensor = attention(query, *others, **about)  # type: ignore[arg-type]
        seen.add((query.dtype, found.dtype))
        return found

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    logits, gradients = outcome(model, batch, bf16=True)
    assert seen == {(torch.float32, torch.float32)}
    assert not torch.equal(logits, expected)
    torch.testing.assert_close(logits.float(), expected, atol=0.05, rtol=0.05)
    assert len(gradients) == len(slopes)
    for found, wanted in zip(gradients, slopes, strict=True):
        assert (found - wanted).norm() <= 0.1 * wanted.norm() + 1e-3


def test_an_encoder_with_its_own_attention_keeps_it(tmp_path: Path) -> None:
    model, batch = classifier(tmp_path, "deberta-v2")
    before = model.encoder.config._attn_implementation
    expected, _ = outcome(model, batch, bf16=True)
    use_fp32_attention(model.encoder)
    assert model.encoder.config._attn_implementation == before
    assert torch.equal(outcome(model, batch, bf16=True)[0], expected)
