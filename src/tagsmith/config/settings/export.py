"""Settings of the optional parts of a bundle."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tagsmith.config.settings.fields import setting

FORMATS = ("onnx", "transformers")


class GoldenFrom(Enum):
    """Source of the inputs whose expected predictions are part of a bundle."""

    synthetic = "synthetic"
    documents = "documents"


@dataclass
class ExportSettings:
    """Optional parts of a bundle."""

    formats: list[str] = setting(
        [FORMATS[0]],
        "onnx: required, loaded by Classifier; transformers: also a folder for transformers.pipeline",
    )
    quantize: bool = setting(
        False, "also write onnx/model_quantized.onnx, with 8-bit integers; left out where it makes the figures worse"
    )
    openvino: bool | None = setting(
        None,
        "certify OpenVINO (extra openvino) over the test split: fp32, and bf16 if this processor has it; null: where "
        "it is installed and the processor has AVX-512, since engine=auto takes it nowhere else",
    )
    golden: GoldenFrom = setting(
        GoldenFrom.synthetic,
        "inputs that verify a bundle: synthetic (class names, characters), or documents of the test split, which then "
        "become part of it",
    )

    signing_key: str | None = setting(
        None,
        "PEM file of the private key that signs the bundle (extra sign); its password: TAGSMITH_KEY_PASSWORD",
        reads=True,
    )

    def problems(self) -> Iterator[str]:
        if unknown := [name for name in self.formats if name not in FORMATS]:
            yield f"formats: expected some of {', '.join(FORMATS)}; found {', '.join(unknown)}"
        if FORMATS[0] not in self.formats:
            yield f"formats: expected {FORMATS[0]} among them, which the parity check and Classifier need"
