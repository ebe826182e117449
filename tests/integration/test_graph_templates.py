"""A graph that is filled from a template is the graph that an export would have written."""

import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tagsmith.config.settings import CacheSettings, DataSettings, ModelSettings
from tagsmith.core.schema import Schema, Task
from tagsmith.export import graph_templates
from tagsmith.export.graph_templates import write_graph
from tagsmith.model.loaded_model import load_pretrained
from tagsmith.model.text_classifier import TextClassifier

pytestmark = pytest.mark.slow

IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 8, 3, 0, 0], [2, 5, 6, 3, 0]])
MASK = (IDS != 0).long()


@pytest.fixture(scope="module")
def model(encoder: Path) -> TextClassifier:
    schema = Schema(("a", "b", "c", "d"), Task.single_label)
    return load_pretrained(ModelSettings(path=str(encoder)), DataSettings(), schema, 0.5).classifier


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, model: TextClassifier) -> CacheSettings:
    """With the template of the model."""
    folder = tmp_path_factory.mktemp("templates")
    write_graph(folder / "first.onnx", model, True, CacheSettings(str(folder / "cache")))
    return CacheSettings(str(folder / "cache"))


def template_of(cache: CacheSettings) -> Path:
    (found,) = Path(str(cache.folder), "graphs").iterdir()
    return found


def no_export(*_: object) -> None:
    raise AssertionError("exported again")


def test_another_model_of_the_network_is_not_exported_and_has_its_own_logits(
    model: TextClassifier, cache: CacheSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_templates, "export_graph", no_export)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5).add_(0.01)
    found = []
    for i, one in enumerate((model, other)):
        write_graph(tmp_path / f"{i}.onnx", one, True, cache)
        session = onnxruntime.InferenceSession(tmp_path / f"{i}.onnx")
        logits, vectors = session.run(None, {"input_ids": IDS.numpy(), "attention_mask": MASK.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(logits, one.eval()(IDS, MASK), atol=1e-5)
            np.testing.assert_allclose(vectors, one.features(IDS, MASK), atol=1e-5)
        found.append(logits)
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_a_template_holds_no_weights(model: TextClassifier, cache: CacheSettings) -> None:
    parameters = sum(parameter.numel() * 4 for parameter in model.parameters())
    held = sum(len(tensor.raw_data) for tensor in onnx.load(template_of(cache)).graph.initializer)
    assert held < parameters / 10


def test_a_damaged_template_is_replaced(
    model: TextClassifier, cache: CacheSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_templates, "export_graph", no_export)
    template, content = template_of(cache), template_of(cache).read_bytes()
    for damaged in (b"", b"nonsense", content[: len(content) // 2]):
        template.write_bytes(damaged)
        with pytest.raises(AssertionError, match="exported again"):
            write_graph(tmp_path / "graph.onnx", model, True, cache)
    template.write_bytes(content)


def test_a_network_whose_filled_template_has_other_logits_is_exported_each_time(
    model: TextClassifier, cache: CacheSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_graph(tmp_path / "ready.onnx", model, True, cache)
    ready = onnx.load(tmp_path / "ready.onnx")
    exported: list[TextClassifier] = []

    def export(path: Path, one: TextClassifier, _: bool) -> None:
        # Whatever the weights, as if they had become constants of the graph.
        exported.append(one)
        onnx.save(ready, path)

    monkeypatch.setattr(graph_templates, "export_graph", export)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.head.bias.add_(1)
    empty = CacheSettings(str(tmp_path / "cache"))
    write_graph(tmp_path / "graph.onnx", other, True, empty)
    assert exported[-1] is other
    assert not Path(str(empty.folder), "graphs").exists()
