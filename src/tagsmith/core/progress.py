"""Progress of long work: a live bar on a terminal, otherwise a log line every 30 seconds."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger("tagsmith")

LOG_EVERY = float(os.environ.get("TAGSMITH_LOG_SECONDS", 30))
"""Seconds between two lines in a log; a program that follows the log, as the tagging page does, sets fewer."""


_bar_is_shown = False


class Meter:
    """Counts units of work; `detail` replaces the rate that is shown by default."""

    def __init__(self, what: str, total: int | None, unit: str, bar: Progress | None, done: int = 0):
        self.what, self.total, self.unit, self.bar = what, total, unit, bar
        self.done = self.before = done
        self.started = self.reported = time.monotonic()
        self.task = bar.add_task(what, total=total, completed=done, detail="") if bar else None

    def advance(self, count: int, detail: str = "") -> None:
        self.done += count
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=self.done, detail=detail or self._rate())
        elif time.monotonic() - self.reported >= LOG_EVERY:
            self.reported = time.monotonic()
            log.info(f"{self.what}: {self._count()}, {detail or self._rate()}{self._left()}")

    def _rate(self) -> str:
        rate = (self.done - self.before) / max(1e-9, time.monotonic() - self.started)
        return f"{rate:,.0f} {self.unit}/s" if rate >= 10 else f"{rate * 60:,.0f} {self.unit}/min"

    def _count(self) -> str:
        return f"{self.done:,}" + (f" of {self.total:,}" if self.total is not None else "") + f" {self.unit}"

    def _left(self) -> str:
        if self.total is None or self.done == self.before:
            return ""
        spent = time.monotonic() - self.started
        return f", {spent / (self.done - self.before) * (self.total - self.done):,.0f} s left"


@contextmanager
def meter(what: str, total: int | None, unit: str, *, show: bool = True, done: int = 0) -> Iterator[Meter]:
    """A `Meter` over `total` units (None: unknown), `done` of them already finished; `show=False` prints nothing."""
    global _bar_is_shown
    if not show or _bar_is_shown or not sys.stderr.isatty():
        plain = Meter(what, total, unit, None, done)
        if not show or _bar_is_shown:  # Two live bars would overwrite each other.
            plain.reported = float("inf")
        yield plain
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        _bar_is_shown = True
        try:
            yield Meter(what, total, unit, bar, done)
        finally:
            _bar_is_shown = False
