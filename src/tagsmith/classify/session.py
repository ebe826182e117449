"""onnxruntime on this machine: which cores, which providers, and how many calls of a graph at once."""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

import onnxruntime

from tagsmith.core.cores import cores
from tagsmith.core.errors import DataError, SettingsError

T = TypeVar("T")

CPU = "CPUExecutionProvider"

TOKENS_A_THREAD = 64
"""Of a call: enough for the arithmetic, few enough for a core's cache, for little padding, and for equal shares.

Documents a second on two cores of an Intel Xeon (Sapphire Rapids), MiniLM, four fifths short questions and a fifth
abstracts: two calls at once, of a thread each and of 64, 128, 256, 512 and 2,048 tokens, 149, 150, 148, 136, 106; one
after the other, of two threads each and of 128, 256, 512 and 2,048 tokens, 108, 111, 114, 95.
"""

TOKENS_OF_A_GPU = 16_384
"""Of a call: a GPU wants many at once."""


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
        at_once: how many calls at once are fast.
        call_tokens: with how many tokens, padding included, a call is fast.

    Raises:
        SettingsError: onnxruntime has no such provider, or it cannot be used on this machine; no thread.
        DataError: the file holds no graph.
    """

    def __init__(self, path: Path, threads: int | None, providers: Sequence[str]):
        if threads is not None and threads < 1:
            raise SettingsError(f"threads: expected at least 1, or None for one a core, found {threads}.")
        self.at_once, each = shares(threads or cores())
        self.call_tokens = TOKENS_A_THREAD * each
        if list(providers) != [CPU]:
            self.at_once, each, self.call_tokens = 1, threads or cores(), TOKENS_OF_A_GPU
        # Of all threads that share the graph: more calls than that would only wait for each other.
        self._room, self._process = threading.BoundedSemaphore(self.at_once), os.getpid()
        self.session = _open(path, each, list(providers))

    def room(self) -> threading.BoundedSemaphore:
        """What a call holds while it runs, whoever makes it."""
        if os.getpid() != self._process:
            # Forked: the threads whose calls had taken the room are not here to give it back.
            self._room, self._process = threading.BoundedSemaphore(self.at_once), os.getpid()
        return self._room

    def each(self, call: Callable[[T], None], batches: Sequence[T]) -> None:
        """Make the call for every batch, as many at once as there are threads for.

        An error of a call is raised when those that have begun have ended; no other begins then.
        """
        room, todo = self.room(), deque(batches)
        errors: list[BaseException] = []

        def work() -> None:
            while True:
                try:
                    batch = todo.popleft()
                except IndexError:
                    return
                try:
                    with room:
                        if errors:
                            return
                        call(batch)
                except BaseException as error:  # Raised below, in the thread that waits.
                    errors.append(error)

        at_once = min(self.at_once, len(batches))
        if at_once > 1:
            self._in_threads(work, at_once, errors)
        else:
            work()
        if errors:
            raise errors.pop(0)

    @staticmethod
    def _in_threads(work: Callable[[], None], count: int, errors: list[BaseException]) -> None:
        """Run `work` in several threads until it is done; an interruption of this thread is added to `errors`."""
        # One pool per call: its threads start quickly, and a forked process inherits none of them.
        pool = ThreadPoolExecutor(count)
        running: list[Future[None]] = []
        try:
            running += (pool.submit(work) for _ in range(count))
            wait(running)
        except RuntimeError:  # Python is shutting down, or the system has no thread left.
            work()
        except BaseException as error:  # Ctrl-C; an error of a call is in `errors` already.
            errors.insert(0, error)
        finally:
            # Before the pool joins its threads: an interrupted `join` takes a running thread for one that has ended
            # (python/cpython#90882, until 3.13), and Python aborts if it exits while that thread runs the graph.
            wait(running)
            pool.shutdown()


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
