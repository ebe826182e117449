"""Certificates of the bundle's graphs, and of OpenVINO in each precision that this processor has."""

import logging
from pathlib import Path

from tagsmith.classify.classifier import Classifier
from tagsmith.classify.engine import BF16, CERTIFICATES, FP32, OPENVINO, Engine, has_avx512, has_bf16, installed
from tagsmith.core.errors import SettingsError
from tagsmith.export.parity import Answers, Certificate, ParityTest

log = logging.getLogger("tagsmith")


def certify_graph(folder: Path, test: ParityTest, quantized: bool = False, engine: Engine | None = None) -> Certificate:
    """The certificate of a graph in a bundle that has no manifest yet."""
    classifier = Classifier.open_unchecked(folder, quantized=quantized, engine=engine)
    return test.certify(Answers(*classifier.decide(test.texts)))


def engines_to_certify(asked: bool | None) -> list[Engine]:
    """OpenVINO in the precisions that this processor has; none where `auto` would not take it, unless it is asked for.

    Raises:
        SettingsError: it is asked for, but not installed.
    """
    present = installed(OPENVINO) is not None
    if asked and not present:
        raise SettingsError("export.openvino=true: OpenVINO is not installed: pip install 'tagsmith[openvino]'.")
    if not present or not (asked if asked is not None else has_avx512()):
        return []
    return [Engine(OPENVINO, precision) for precision in ((FP32, BF16) if has_bf16() else (FP32,))]


def certify_engine(folder: Path, test: ParityTest, engine: Engine) -> tuple[Certificate | None, str | None]:
    """The certificate of an engine, or why there is none: in fp32 it must decide as the trained model does."""
    name = CERTIFICATES[engine.precision]
    found = certify_graph(folder, test, engine=engine)
    if engine.precision == BF16 or found.same:
        log.info(f"{name}: {found.describe()}")
        return found, None
    log.warning(f"{name} is left out: {found.describe()}")
    return None, found.describe()
