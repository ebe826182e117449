"""The loaded graph of a bundle: its engine, its cores, and concurrent calls."""

import logging
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from tagsmith.classify.engine import BF16, CPU, OPENVINO, Engine
from tagsmith.classify.prediction import Floats
from tagsmith.core.cores import cores
from tagsmith.core.errors import SettingsError

log = logging.getLogger("tagsmith")

T = TypeVar("T")

TOKENS_PER_THREAD = 64
"""Tokens in a call, per thread: larger calls gain nothing and pad more (measured, see the README)."""

BF16_TOKENS = 1024
"""The same in bf16, whose larger tiles need more (measured on the engine alone, see the README)."""

GPU_TOKENS = 16_384
"""Tokens in a call on a GPU, which needs many to be busy."""


def shares(threads: int) -> tuple[int, int]:
    """Concurrent calls, and threads per call: (2, 1) for 2 threads, (2, 2) for 4, (4, 2) for 8, (4, 4) for 16.

    Separate calls never wait for each other, whereas the threads of one call synchronise at every matrix product; but a
    single document is a single call.
    """
    each = math.isqrt(threads)
    return threads // each, each


class Graph:
    """The loaded graph of a bundle; several threads may share it.

    Args:
        path: the ONNX file.
        threads: number of threads on the CPU; None: one per core.
        providers: execution providers of onnxruntime, in order of preference; the CPU computes what they cannot.
        engine: what computes the graph.

    Attributes:
        engine: what computes the graph in this process.
        widths: the last dimension of each output, by its name.
        metadata: of the graph; OpenVINO does not keep it.
        at_once: the best number of concurrent calls.
        call_tokens: the best number of tokens in a call, padding included.

    Raises:
        SettingsError: onnxruntime lacks a provider, or it cannot be used on this machine; or `threads` is below 1.
        DataError: the file is not a graph.
    """

    def __init__(self, path: Path, threads: int | None, providers: Sequence[str], engine: Engine | None = None):
        if threads is not None and threads < 1:
            raise SettingsError(f"threads: expected at least 1, or None for one per core, found {threads}.")
        self.at_once, each = shares(threads or cores())
        self.engine = engine or Engine()
        self.call_tokens = (BF16_TOKENS if self.engine.precision == BF16 else TOKENS_PER_THREAD) * each
        if list(providers) != [CPU]:
            self.at_once, each, self.call_tokens = 1, threads or cores(), GPU_TOKENS
        # Shared by all threads that use the graph: more calls would only compete for the cores.
        self._slots, self._process = threading.BoundedSemaphore(self.at_once), os.getpid()
        self._path, self._each, self._providers = path, each, providers
        self._session = self._open()
        self.widths, self.metadata = self._session.widths, self._session.metadata

    def _open(self) -> Any:
        # Imported here: each engine takes a while, and memory, and OpenVINO is optional.
        if self.engine.name == OPENVINO:
            from tagsmith.classify.openvino_session import OpenVinoSession

            return OpenVinoSession(self._path, self.at_once, self._each, self.engine.precision)
        from tagsmith.classify.onnxruntime_session import OnnxruntimeSession

        return OnnxruntimeSession(self._path, self._each, self._providers)

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[Floats]:
        """The outputs with these names, in one call of the graph; the caller holds one of the `slots`."""
        found: list[Floats] = self._session.run(names, inputs)
        return found

    def tokens_per_call(self, tokens: int) -> int:
        """The best number of tokens in a call, of so many in all: fewer than `call_tokens` to occupy all cores."""
        least = TOKENS_PER_THREAD * self._each
        return self.call_tokens if self.at_once == 1 else max(least, min(self.call_tokens, tokens // self.at_once))

    def slots(self) -> threading.BoundedSemaphore:
        """The semaphore that every call of the graph holds while it runs."""
        if os.getpid() != self._process:
            # After a fork, the threads that held the semaphore do not exist in this process and never release it.
            self._slots, self._process = threading.BoundedSemaphore(self.at_once), os.getpid()
            if self.engine.name == OPENVINO:
                log.warning("OpenVINO cannot be used in a forked process; this one computes with onnxruntime in fp32")
                self.engine = Engine(reason="a forked process")
                self._session = self._open()
        return self._slots

    def run_all(self, call: Callable[[T], None], batches: Sequence[T]) -> None:
        """Make the call for every batch, `at_once` of them concurrently.

        If a call raises, no further call starts, and the error is raised after the running calls have ended.
        """
        slots, remaining = self.slots(), deque(batches)
        errors: list[BaseException] = []
        calling: list[None] = []  # One entry for each thread that may be making a call.
        ended: SimpleQueue[None] = SimpleQueue()

        def work() -> None:
            while remaining and not errors:
                with slots:
                    # Before it looks at `errors`: whoever adds an error and then finds this empty, sees no call start.
                    calling.append(None)
                    try:
                        if not errors and (batch := _pop(remaining)):
                            call(*batch)
                    except BaseException as error:  # Raised below, in the calling thread.
                        errors.append(error)
                    finally:
                        calling.pop()
            ended.put(None)

        def wait() -> None:
            while calling or (remaining and not errors):
                ended.get()

        at_once = min(self.at_once, len(batches))
        try:
            # New threads for each call start quickly, and a forked process inherits none of them.
            for _ in range(at_once if at_once > 1 else 0):
                threading.Thread(target=work).start()
            if at_once == 1:
                work()
            wait()
        except RuntimeError:  # Python is shutting down, or the system has no thread left.
            work()
            wait()
        except KeyboardInterrupt as error:
            errors.insert(0, error)
            wait()
        if errors:
            remaining.clear()  # So that no thread takes another one after the error is gone.
            raise errors.pop(0)


def _pop(remaining: deque[T]) -> tuple[T] | None:
    try:
        return (remaining.popleft(),)
    except IndexError:  # Another thread was faster.
        return None
