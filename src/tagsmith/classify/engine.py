"""Which engine computes a bundle, and in which precision: by what is asked, installed, certified and built in."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tagsmith.core.errors import InputMissing, SettingsError

AUTO, ONNXRUNTIME, OPENVINO = ENGINES = ("auto", "onnxruntime", "openvino")
FP32, BF16, INT8 = ("fp32", "bf16", "int8")

CPU = "CPUExecutionProvider"
"""The execution provider of onnxruntime that every machine has."""

CERTIFICATES = {FP32: "openvino", BF16: "openvino_bf16"}
"""Names of OpenVINO's parity certificates in the manifest of a bundle, by precision."""

BF16_F1_LOST = 0.001
"""Largest loss of macro F1 on the test split at which `auto` computes in bf16."""

INSTRUCTIONS = {
    FP32: ("avx512f", "avx2"),
    BF16: ("amx_bf16", "avx512_bf16"),
    INT8: ("amx_int8", "avx512_vnni", "avx_vnni", "avx2"),
}
"""Instruction sets that multiply matrices in a precision, best first, as Linux names them."""


@dataclass(frozen=True)
class Engine:
    """What computes a graph.

    Attributes:
        name: onnxruntime or openvino.
        precision: of the matrix products: fp32, bf16 or int8.
        reason: why it was chosen; "": it was asked for.
    """

    name: str = ONNXRUNTIME
    precision: str = FP32
    reason: str = ""

    @property
    def version(self) -> str:
        """Version of the package, without its build."""
        return (installed(self.name) or "").split("-")[0]

    @property
    def instructions(self) -> str:
        """The best instruction set of this processor for the precision; "" where it is not known."""
        return next((name for name in INSTRUCTIONS[self.precision] if name in processor_flags()), "")

    def as_dict(self) -> dict[str, str]:
        return asdict(self) | {"version": self.version, "instructions": self.instructions}

    def __str__(self) -> str:
        named = ", ".join(filter(None, (f"{self.name} {self.version}", self.precision, self.instructions)))
        return f"{named} ({self.reason})" if self.reason else named


def choose(engine: str, precision: str, parity: Mapping[str, Mapping[str, Any]]) -> Engine:
    """The engine for a bundle in single precision on the CPU.

    `auto` computes in bf16 where the processor has it and the certificate allows it. In fp32 it takes OpenVINO on
    processors with AVX-512, where it was faster, and onnxruntime on all others, where both were as fast and onnxruntime
    needs less memory (measured, see the README).

    Args:
        engine: auto, onnxruntime or openvino.
        precision: fp32 or bf16; auto: fp32, or bf16 where the engine is auto, too, and may take it.
        parity: the certificates in the manifest.

    Raises:
        SettingsError: an unknown engine or precision, OpenVINO is not installed, or the processor has no bf16.
        InputMissing: bf16 is asked for, and the bundle has no certificate of it.
    """
    if engine not in ENGINES:
        raise SettingsError(f"engine: expected one of {', '.join(ENGINES)}, found {engine}.")
    if precision not in (AUTO, FP32, BF16):
        raise SettingsError(f"precision: expected {AUTO}, {FP32} or {BF16}, found {precision}.")
    if precision == BF16 and engine == ONNXRUNTIME:
        raise SettingsError("precision=bf16: expected engine=openvino or auto, since onnxruntime computes in fp32.")
    present = installed(OPENVINO) is not None
    if not present and (engine == OPENVINO or precision == BF16):
        what = "engine=openvino" if engine == OPENVINO else "precision=bf16"
        raise SettingsError(f"{what}: OpenVINO is not installed: pip install 'tagsmith[openvino]'.")
    if precision == BF16:
        if not has_bf16():
            raise SettingsError(
                f"precision=bf16: expected a processor with {' or '.join(INSTRUCTIONS[BF16])}, found one without; "
                "use precision=fp32."
            )
        if CERTIFICATES[BF16] not in parity:
            raise InputMissing(
                "precision=bf16: the bundle has no certificate of bf16; export its run again on this machine, with "
                "export.openvino=true."
            )
        return Engine(OPENVINO, BF16)
    if engine != AUTO:
        return Engine(engine)
    return _fastest(present, precision, parity)


def _fastest(present: bool, precision: str, parity: Mapping[str, Mapping[str, Any]]) -> Engine:
    """The engine that `auto` takes; `present`: whether OpenVINO is installed."""
    if not present:
        return Engine(reason="OpenVINO is not installed")
    if precision == AUTO and has_bf16() and (certificate := parity.get(CERTIFICATES[BF16])) is not None:
        lost = certificate["macro_f1_lost"]
        if lost <= BF16_F1_LOST:
            return Engine(OPENVINO, BF16, f"{100 * lost:.2f} points of macro F1 lost")
    if not has_avx512():
        return Engine(reason="OpenVINO is no faster without AVX-512")
    if CERTIFICATES[FP32] not in parity:
        return Engine(reason="the bundle has no certificate of OpenVINO")
    return Engine(OPENVINO, reason="faster with AVX-512")


def has_bf16() -> bool:
    """Whether this processor multiplies matrices in bf16; OpenVINO computes in fp32 where it does not."""
    return bool(processor_flags() & set(INSTRUCTIONS[BF16]))


def has_avx512() -> bool:
    """Whether this processor has AVX-512."""
    return "avx512f" in processor_flags()


@cache
def installed(package: str) -> str | None:
    """The version of a package; None: it is not installed. It is not imported, which takes a while."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def processor_flags() -> frozenset[str]:
    """The features of the processor as Linux names them; on other systems none."""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return flags_in(lines)
    except OSError:
        return frozenset()


def flags_in(cpuinfo: Iterable[str]) -> frozenset[str]:
    """The features of the first processor in the lines of /proc/cpuinfo."""
    named = (line.partition(":") for line in cpuinfo)
    found = next((values for name, _, values in named if name.strip() in ("flags", "Features")), "")
    return frozenset(found.split())
