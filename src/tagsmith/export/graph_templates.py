"""Graphs without weights in the cache folder: exporting another model of the same network fills one of them.

`torch.onnx.export` takes seconds of a core even for a tiny model, and only the tensors of its result depend on the
weights. A template is exported once, from a copy of the model whose weights are random and all different, so that each
tensor of the graph is known to be a parameter or the transpose of one.
"""

import copy
import hashlib
import json
import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper

from tagsmith.config.settings import CacheSettings
from tagsmith.core.files import atomic_path
from tagsmith.export import graph as graph_module
from tagsmith.export.graph import EXAMPLE, export_graph
from tagsmith.model import text_classifier
from tagsmith.model.text_classifier import TextClassifier

log = logging.getLogger("tagsmith")

PLACES = "tagsmith.parameters"
"""Metadata of a template, JSON: for each tensor without content, the parameter that belongs there, and whether it is
transposed."""

ALIKE = 1e-4
"""Largest difference of outputs between the model and its filled template."""

CODE = hashlib.sha256(
    b"".join(Path(str(file)).read_bytes() for file in (graph_module.__file__, text_classifier.__file__, __file__))
).hexdigest()
"""Digest of the code that makes templates, part of their names."""

Arrays = Mapping[str, NDArray[np.float32]]


def write_graph(path: Path, model: TextClassifier, embedding: bool, cache: CacheSettings) -> None:
    """Write the graph of a model, from the template of its network if there is a cache folder.

    Args:
        model: on the CPU, in fp32.
        embedding: whether vectors are an output, too.
    """
    if cache.folder is None:
        export_graph(path, model, embedding)
        return
    place = Path(cache.folder).expanduser() / "graphs" / f"{_key(model, embedding)}.onnx"
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    template = _read(place)
    if template is None:
        template = _template(place, path, model, embedding)
        if not _alike(_filled(template, weights), model):
            # The exporter has computed a tensor from several parameters.
            log.info("the graph of this network depends on its weights: it is exported each time")
            export_graph(path, model, embedding)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(place) as temporary:
            onnx.save(template, temporary)
    onnx.save(_filled(template, weights), path)


def _key(model: TextClassifier, embedding: bool) -> str:
    """SHA-256 of all that the graph depends on, except for the weights."""
    config = model.encoder.config.to_dict() | {"_name_or_path": None}
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    versions = {name: version(name) for name in ("torch", "transformers", "onnx", "onnxscript")}
    about = [CODE, repr(model), config, model.pooling.value, shapes, embedding, versions]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()


def _read(place: Path) -> onnx.ModelProto | None:
    """A template from the cache; None where there is none, or it is damaged."""
    try:
        template = onnx.load(place)
        _places(template)
    except (OSError, DecodeError, ValueError, KeyError):
        return None
    return template


def _template(place: Path, beside: Path, model: TextClassifier, embedding: bool) -> onnx.ModelProto:
    """Export a copy of the model with random weights, and empty the tensors that hold them."""
    random = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in random.parameters():
            parameter.normal_(0, 0.02, generator=draw)
    export_graph(beside, random, embedding)
    graph = onnx.load(beside)
    known: dict[tuple[tuple[int, ...], bytes], tuple[str, bool]] = {}
    for name, parameter in random.named_parameters():
        array = parameter.detach().numpy()
        if array.ndim == 2:
            known[array.T.shape, array.T.tobytes()] = name, True
        known[array.shape, array.tobytes()] = name, False
    places = {}
    for tensor in graph.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if (found := known.get((array.shape, array.tobytes()))) is not None:
            places[tensor.name] = found
            tensor.ClearField("raw_data")
    onnx.helper.set_model_props(graph, {PLACES: json.dumps(places)})
    return graph


def _places(template: onnx.ModelProto) -> dict[str, tuple[str, bool]]:
    found: dict[str, tuple[str, bool]] = json.loads(
        {entry.key: entry.value for entry in template.metadata_props}[PLACES]
    )
    return found


def _filled(template: onnx.ModelProto, weights: Arrays) -> onnx.ModelProto:
    """The graph of a model with these weights."""
    graph = onnx.ModelProto()
    graph.CopyFrom(template)
    places = _places(graph)
    del graph.metadata_props[:]
    for tensor in graph.graph.initializer:
        if tensor.name in places:
            name, transposed = places[tensor.name]
            array = weights[name].T if transposed else weights[name]
            tensor.raw_data = array.astype(np.float32).tobytes()
    return graph


def _alike(graph: onnx.ModelProto, model: TextClassifier) -> bool:
    """Whether a graph returns the logits of the model for the example of the export."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = [tensor.numpy() for tensor in EXAMPLE]
    (found,) = session.run(["logits"], dict(zip(("input_ids", "attention_mask"), inputs, strict=True)))
    with torch.no_grad():
        wanted = model.eval()(*EXAMPLE).numpy()
    return bool(np.abs(found - wanted).max() <= ALIKE)
