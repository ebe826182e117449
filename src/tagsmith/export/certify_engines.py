"""Certificates of the bundle's graphs, and of OpenVINO in each precision that this processor has."""

import logging
from pathlib import Path

from tagsmith.classify.bundle import golden
from tagsmith.classify.bundle.contents import GOLDEN
from tagsmith.classify.classifier import Classifier
from tagsmith.classify.engine import BF16, CERTIFICATES, FP32, OPENVINO, Engine, has_avx512, has_bf16, installed
from tagsmith.core.errors import DataError, SettingsError
from tagsmith.export.parity import Answers, Certificate, ParityTest

log = logging.getLogger("tagsmith")


def certify_graph(folder: Path, test: ParityTest, quantized: bool = False) -> Certificate:
    """The certificate of a graph in a bundle that has no manifest yet."""
    classifier = Classifier.open_unchecked(folder, quantized=quantized)
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
    """The certificate of an engine, or why there is none.

    In fp32 it must decide as the trained model does, and in any precision give the golden answers, which are checked
    whenever the bundle is loaded.
    """
    classifier = Classifier.open_unchecked(folder, engine=engine)
    found = test.certify(Answers(*classifier.decide(test.texts)))
    tolerance = golden.BF16_TOLERANCE if engine.precision == BF16 else None
    reason = None if engine.precision == BF16 or found.same else found.describe()
    try:
        golden.check(folder / GOLDEN, test.schema, test.rule, classifier.decide, tolerance=tolerance)
    except DataError as error:
        reason = str(error)
    name = CERTIFICATES[engine.precision]
    if reason is None:
        log.info(f"{name}: {found.describe()}")
        return found, None
    log.warning(f"{name} is left out: {reason}")
    return None, reason
