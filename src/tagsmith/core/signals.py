"""SIGTERM and SIGINT: they end a process immediately, except while training, which saves a checkpoint first."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

BOUNCE = 1.0
"""Seconds in which a second SIGINT counts as the first: a launcher forwards what the terminal has sent already."""


class Interruption:
    """`signal_name`: the signal that asks this process to stop; None before it arrives."""

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self._arrived = 0.0

    def receive(self, number: int, _: FrameType | None) -> None:
        """Handle a signal. Raises: KeyboardInterrupt at the second Ctrl-C."""
        if self.signal_name is None:
            self.signal_name, self._arrived = signal.Signals(number).name, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._arrived > BOUNCE:
            raise KeyboardInterrupt


@contextmanager
def deferred_signals() -> Iterator[Interruption]:
    """Record SIGTERM and SIGINT while the block runs, so that it can stop where it can be resumed.

    A second SIGINT stops it immediately. Outside the main thread, which alone receives signals, none is recorded.
    """
    interruption = Interruption()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            # A signal that the parent ignores, as a shell does for background jobs, stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, interruption.receive)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interruption.signal_name is not None:
        raise KeyboardInterrupt  # It arrived after the block had checked for the last time.


def raise_on_sigterm() -> None:
    """From now on SIGTERM raises KeyboardInterrupt, as Ctrl-C does, so that temporary files are removed."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def ignore_sigterm() -> None:
    """Ignore SIGTERM from now on: the process is exiting, and its launcher may send the signal again."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def exit_with_parent() -> None:
    """End this process when its parent has ended, even if the parent was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        assert parent is not None
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()
