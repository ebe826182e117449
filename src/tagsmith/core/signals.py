"""SIGTERM and SIGINT: obeyed at once, but for training, which first saves where it stands."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

BOUNCE = 1.0
"""Seconds in which a second SIGINT is the first one again: a launcher passes on what the terminal has sent already."""


class Interruption:
    """Whether this process has been told to leave; `told_by` is the name of the signal, None before it comes."""

    def __init__(self) -> None:
        self.told_by: str | None = None
        self._told_at = 0.0

    def note(self, number: int, _: FrameType | None) -> None:
        """Handle a signal. Raises: KeyboardInterrupt, where a person asks for the second time."""
        if self.told_by is None:
            self.told_by, self._told_at = signal.Signals(number).name, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._told_at > BOUNCE:
            raise KeyboardInterrupt


@contextmanager
def noted() -> Iterator[Interruption]:
    """Note SIGTERM and SIGINT while the block runs, for it to leave where it can go on later.

    A second SIGINT is obeyed at once. Outside of the main thread, which alone gets signals, nothing is ever noted.
    """
    interruption = Interruption()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            # What the caller ignores, as a shell does for its background jobs, stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, interruption.note)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interruption.told_by is not None:
        raise KeyboardInterrupt  # It came after the last place where the block looks.


def obey_sigterm() -> None:
    """From now on SIGTERM is what Ctrl-C is: a KeyboardInterrupt, on the way of which temporary files are removed."""

    def obey(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, obey)


def leave_in_peace() -> None:
    """Ignore SIGTERM from now on: the process leaves already, and its launcher may tell it once more."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def leave_with_parent() -> None:
    """End this process when its parent has ended, however that was killed: nobody waits for its work any more."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        assert parent is not None
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()
