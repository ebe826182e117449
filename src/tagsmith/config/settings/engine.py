"""Settings of what computes a bundle, which several scripts have."""

from enum import Enum


class EngineName(Enum):
    """What computes the graph of a bundle."""

    auto = "auto"
    onnxruntime = "onnxruntime"
    openvino = "openvino"


class Precision(Enum):
    """The precision of its matrix products."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


ENGINE = (
    "what computes: onnxruntime, or openvino (extra openvino); auto: openvino where the processor has AVX-512 or bf16 "
    "and the bundle a certificate"
)
PRECISION = (
    "fp32, or bf16 on processors that have it and with a certificate in the bundle; auto: fp32, or bf16 where "
    "engine=auto finds that it loses at most 0.1 points of macro F1"
)
