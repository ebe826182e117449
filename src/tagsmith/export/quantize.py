"""Quantizes the matrix products of a graph to 8-bit integers: smaller, and faster on processors that support them.

Weights are rounded once, with a scale for each output (`per_channel`), to 7 bits (`reduce_range`), because pairs of
8-bit products overflow on processors without VNNI. Inputs are rounded at run time with a single scale, so that one
large value makes all others coarser; the last products of feed-forward layers have the largest, and are left out early.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

INTEGER_PRODUCTS = {"MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}


@dataclass(frozen=True)
class Attempt:
    """A way to quantize a graph.

    Attributes:
        name: name in logs and errors.
        operators: types of nodes to quantize; `Gather` is the embedding table.
        exclude: names of products that are not quantized.
    """

    name: str
    operators: tuple[str, ...]
    exclude: tuple[str, ...]


def attempts(graph: Path) -> Iterator[Attempt]:
    """Ways to quantize a graph, each with fewer quantized nodes than the previous one."""
    model = onnx.load(graph)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in shapes]
    down = tuple(node.name for node in products if shapes[node.input[1]][0] > shapes[node.input[1]][-1])
    yield Attempt("all products and embeddings", ("MatMul", "Gather"), ())
    yield Attempt("all products", ("MatMul",), ())
    yield Attempt("all products except the last ones of feed-forward layers", ("MatMul",), down)
    half = tuple(node.name for node in products[: len(products) // 2])
    yield Attempt("products of the upper half of the layers", ("MatMul",), tuple(dict.fromkeys([*half, *down])))


def quantize(source: Path, target: Path, attempt: Attempt) -> int:
    """Write the quantized graph; returns the number of its quantized products."""
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".quantize") as folder:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(source, prepared, skip_symbolic_shape=True, skip_optimization=True)
        quantize_dynamic(
            prepared,
            target,
            op_types_to_quantize=list(attempt.operators),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(attempt.exclude),
            extra_options={"MatMulConstBOnly": True},
        )
    model: Any = onnx.load(target)
    return sum(node.op_type in INTEGER_PRODUCTS for node in model.graph.node)
