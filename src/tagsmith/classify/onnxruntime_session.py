"""A graph in onnxruntime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from tagsmith.classify.engine import CPU
from tagsmith.classify.prediction import Floats
from tagsmith.core.errors import DataError, SettingsError


class OnnxruntimeSession:
    """A graph that several threads may call concurrently.

    Args:
        path: the ONNX file.
        threads: threads of each call.
        providers: execution providers in order of preference; the CPU computes what they cannot.

    Attributes:
        widths: the last dimension of each output, by its name.
        metadata: of the graph.

    Raises:
        SettingsError: onnxruntime lacks a provider, or it cannot be used on this machine.
        DataError: the file is not a graph.
    """

    def __init__(self, path: Path, threads: int, providers: Sequence[str]):
        self._session = _open(path, threads, list(providers))
        self.widths: dict[str, Any] = {output.name: output.shape[-1] for output in self._session.get_outputs()}
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[Floats]:
        """The outputs with these names."""
        found: list[Floats] = self._session.run(names, inputs)
        return found


def _open(graph: Path, threads: int, providers: list[str]) -> onnxruntime.InferenceSession:
    available = onnxruntime.get_available_providers()
    if missing := [name for name in providers if name not in available]:
        raise SettingsError(
            f"providers: expected some of {', '.join(available)}, found {', '.join(missing)}; "
            "GPU providers need onnxruntime-gpu instead of onnxruntime."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Spinning idle threads would take the cores from the tokenizer and from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=list(dict.fromkeys([*providers, CPU])))
    except Exception as error:  # onnxruntime raises nothing narrower.
        raise DataError(f"{graph}: expected a graph that onnxruntime can load: {error}") from error
    # onnxruntime silently skips a provider that fails to start, for example because its driver is missing.
    if unused := [name for name in providers if name not in session.get_providers()]:
        raise SettingsError(
            f"providers: {', '.join(unused)} cannot be used on this machine; see the output of onnxruntime."
        )
    return session
