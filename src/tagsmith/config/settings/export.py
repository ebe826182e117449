"""What a bundle holds beside what it cannot do without."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tagsmith.config.settings.fields import setting

FORMATS = ("onnx", "transformers")


class GoldenFrom(Enum):
    """Where the inputs come from to which a bundle holds the expected answers."""

    synthetic = "synthetic"
    documents = "documents"


@dataclass
class ExportSettings:
    """What a bundle holds."""

    formats: list[str] = setting(
        [FORMATS[0]],
        "onnx: what Classifier loads, always among them; transformers: also a folder for transformers.pipeline",
    )
    quantize: bool = setting(
        False, "also write onnx/model_quantized.onnx, in whole numbers of 8 bits; not shipped where it costs figures"
    )
    golden: GoldenFrom = setting(
        GoldenFrom.synthetic,
        "inputs that a bundle is checked with: synthetic (class names, characters) or documents of the test split, "
        "which then leave with it",
    )

    signing_key: str | None = setting(
        None, "file of the private key, in PEM, that signs the bundle (extra sign); its password: TAGSMITH_KEY_PASSWORD"
    )

    def problems(self) -> Iterator[str]:
        if unknown := [name for name in self.formats if name not in FORMATS]:
            yield f"formats: expected some of {', '.join(FORMATS)}; found {', '.join(unknown)}"
        if FORMATS[0] not in self.formats:
            yield f"formats: expected {FORMATS[0]} among them, which the proof and Classifier need"
