"""Exports the ONNX graph of a model."""

import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from tagsmith.classify.bundle import contents as layout
from tagsmith.core.schema import Schema
from tagsmith.model.text_classifier import TextClassifier


def _example() -> tuple[Tensor, Tensor]:
    ids = torch.ones(2, 16, dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    return ids, mask


EXAMPLE = _example()
"""Ids and mask, int64 [2, 16]; with padding, since the exporter might specialise the graph to masks of ones."""


class _WithVectors(nn.Module):
    """Returns the logits and the vectors of windows."""

    def __init__(self, model: TextClassifier):
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        vectors = self.model.features(inputs, attention_mask)
        return self.model.head(vectors), vectors


def export_graph(path: Path, model: TextClassifier, embedding: bool) -> None:
    """Write the ONNX graph of encoder, pooling and head for any number of windows and tokens.

    Args:
        model: on the CPU.
        embedding: whether vectors are an output, too.
    """
    names = {0: Dim("windows"), 1: Dim("tokens")}
    attention = model.encoder.config._attn_implementation
    # Eager attention: scaled_dot_product_attention checks for rows without tokens, up to a sixth of the time.
    model.encoder.set_attn_implementation("eager")
    with warnings.catch_warnings():
        # The exporter warns that two inputs share the names of their axes, which is intended.
        warnings.filterwarnings("ignore", message=".*The axis name.*")
        warnings.filterwarnings("ignore", category=FutureWarning)  # Within torch itself.
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # It asks for torchvision, which is not needed.
        torch.onnx.export(
            (_WithVectors(model) if embedding else model).eval(),
            EXAMPLE,
            path,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits", layout.EMBEDDING] if embedding else ["logits"],
            dynamic_shapes={"inputs": names, "attention_mask": names},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model.encoder.set_attn_implementation(attention)


def write_schema_hash(path: Path, schema: Schema) -> None:
    """Write the hash of the schema into the metadata of a graph."""
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {layout.SCHEMA_HASH: schema.hash})
    onnx.save(graph, path)
