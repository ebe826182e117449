"""A graph whose matrix products are of whole numbers of 8 bits: smaller, faster where the processor has them.

Weights are rounded once, a scale for each output (`per_channel`), to 7 bits (`reduce_range`): pairs of products of 8
bits overflow on processors without VNNI. Inputs are rounded when they come, a scale for all of them, so one large value
coarsens all others; the products that end a feed-forward part have the largest, and are left out early.
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
        name: for the log and the certificate.
        operators: kinds of nodes that are quantized: `Gather` is the table of embeddings.
        exclude: names of products that stay as they are.
    """

    name: str
    operators: tuple[str, ...]
    exclude: tuple[str, ...]


def attempts(graph: Path) -> Iterator[Attempt]:
    """Ways to quantize a graph, each more careful than the one before."""
    model = onnx.load(graph)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in shapes]
    down = tuple(node.name for node in products if shapes[node.input[1]][0] > shapes[node.input[1]][-1])
    yield Attempt("all products and embeddings", ("MatMul", "Gather"), ())
    yield Attempt("all products", ("MatMul",), ())
    yield Attempt("all products but those that end a feed-forward part", ("MatMul",), down)
    half = tuple(node.name for node in products[: len(products) // 2])
    yield Attempt("products of the upper half of the layers", ("MatMul",), tuple(dict.fromkeys([*half, *down])))


def quantize(source: Path, target: Path, attempt: Attempt) -> int:
    """Write the quantized graph; returns how many of its products are of whole numbers."""
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".quantize") as folder:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(source, prepared, skip_symbolic_shape=True, skip_optimization=True)
        quantize_dynamic(
            prepared, target, op_types_to_quantize=list(attempt.operators), per_channel=True, reduce_range=True,
            weight_type=QuantType.QInt8, nodes_to_exclude=list(attempt.exclude),
            extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
    model: Any = onnx.load(target)
    return sum(node.op_type in INTEGER_PRODUCTS for node in model.graph.node)
