"""onnxruntime on this machine: which cores and which providers."""

import os
from pathlib import Path

import onnxruntime

from tagsmith.errors import DataError, SettingsError


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


CPU = "CPUExecutionProvider"


def open_session(graph: Path, threads: int | None, providers: list[str]) -> onnxruntime.InferenceSession:
    """A session on these providers, the first first, and the CPU.

    Raises:
        SettingsError: onnxruntime has no such provider, or it cannot be used on this machine.
        DataError: the file holds no graph.
    """
    available = onnxruntime.get_available_providers()
    if missing := [name for name in providers if name not in available]:
        raise SettingsError(
            f"providers: expected some of {', '.join(available)}, found {', '.join(missing)}; "
            "those of a GPU come with onnxruntime-gpu in the place of onnxruntime."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    # Idle threads that spin take the cores from the tokenizer and from everything else on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=list(dict.fromkeys([*providers, CPU])))
    except Exception as error:  # onnxruntime raises nothing narrower.
        raise DataError(f"{graph}: expected a graph that onnxruntime loads: {error}") from error
    # onnxruntime goes on without a provider that does not start, such as one whose driver is missing.
    if unused := [name for name in providers if name not in session.get_providers()]:
        raise SettingsError(f"providers: {', '.join(unused)} cannot be used on this machine; onnxruntime says why.")
    return session
