"""onnxruntime on this machine: which cores, which providers, and how many calls of a graph at once."""

import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import onnxruntime

from tagsmith.errors import DataError, SettingsError

T = TypeVar("T")

CPU = "CPUExecutionProvider"

TOKENS_A_THREAD = 64
"""Of a call: enough for the arithmetic, few enough for a core's cache, for little padding, and for equal shares.

Documents a second on two cores of an Intel Xeon (Sapphire Rapids), MiniLM, four fifths short questions and a fifth
abstracts, in calls of 64, 128, 256, 512 and 2,048 tokens: two at once, of a thread each, 149, 150, 148, 136, 106; one
after the other, of two threads each, -, 108, 111, 114, 95. 64 short questions at a time: see the README's load.
"""

TOKENS_OF_A_GPU = 16_384
"""Of a call: a GPU wants many at once."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shares(threads: int) -> tuple[int, int]:
    """How many calls at once, and the threads of each: (2, 1) of 2, (2, 2) of 4, (4, 2) of 8, (4, 4) of 16.

    Calls that share nothing wait for nothing, threads that share a call do at every product; but one document alone
    is one call.
    """
    each = math.isqrt(threads)
    return threads // each, each


class Graph:
    """The graph of a bundle, ready to compute; several threads may share it.

    Args:
        path: of the ONNX file.
        threads: to compute with on the CPU; None: one a core.
        providers: of onnxruntime, the first first; the CPU does what they cannot.

    Attributes:
        session: what runs one call.
        call_tokens: with how many tokens, padding included, a call is fast.

    Raises:
        SettingsError: onnxruntime has no such provider, or it cannot be used on this machine.
        DataError: the file holds no graph.
    """

    def __init__(self, path: Path, threads: int | None, providers: Sequence[str]):
        self._calls, each = shares(threads or cores())
        self.call_tokens = TOKENS_A_THREAD * each
        if list(providers) != [CPU]:
            self._calls, self.call_tokens = 1, TOKENS_OF_A_GPU
        # Of all threads that share the graph: more calls than that would only wait for each other.
        self._room = threading.BoundedSemaphore(self._calls)
        self.session = _open(path, each, list(providers))

    def each(self, call: Callable[[T], None], batches: Sequence[T]) -> None:
        """Make the call for every batch, as many at once as there are threads for."""

        def make(batch: T) -> None:
            with self._room:
                call(batch)

        if self._calls == 1 or len(batches) < 2:
            for batch in batches:
                make(batch)
            return
        # Threads of this call alone: they start in no time beside it, and a process that is forked inherits none.
        with ThreadPoolExecutor(min(self._calls, len(batches))) as pool:
            for _ in pool.map(make, batches):
                pass  # An error of a call is raised here; those that have not begun are not made then.


def _open(graph: Path, threads: int, providers: list[str]) -> onnxruntime.InferenceSession:
    available = onnxruntime.get_available_providers()
    if missing := [name for name in providers if name not in available]:
        raise SettingsError(
            f"providers: expected some of {', '.join(available)}, found {', '.join(missing)}; "
            "those of a GPU come with onnxruntime-gpu in the place of onnxruntime."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
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
