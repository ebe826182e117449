"""One night: a refresh in a process of its own, to which something happens."""

import errno
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from tagsmith.config.settings import RefreshRun
from tagsmith.core.errors import NO_ROOM, TagsmithError, TryAgainLater
from tagsmith.core.signals import raise_on_sigterm
from tagsmith.refresh import steps
from tagsmith.refresh.refresh_run import refresh
from tagsmith.refresh.store import Store

KILLED = -signal.SIGKILL


class Trouble(Enum):
    """What happens to a night's file, or to its process."""

    turned_tags = "turned_tags"
    vanished_class = "vanished_class"
    new_class = "new_class"
    copies_of_test = "copies_of_test"
    empty_file = "empty_file"
    half_written = "half_written"
    full_disk = "full_disk"
    killed = "killed"
    two_timers = "two_timers"
    clock_back = "clock_back"
    dead_webhook = "dead_webhook"
    broken_bundle = "broken_bundle"


def run_refresh(settings: RefreshRun) -> int:
    """The exit status that `scripts/refresh.py` would have."""
    try:
        return refresh(settings, Store(Path(settings.store)))
    except TagsmithError as error:
        return error.exit_status
    except OSError as error:
        return TryAgainLater.exit_status if error.errno in NO_ROOM else TagsmithError.exit_status


def start(settings: RefreshRun, trouble: Trouble | None = None) -> Any:
    """A process that refreshes, forked from one that has done the imports."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_night, args=(settings, trouble))
    process.start()
    return process


def killed_after(settings: RefreshRun, seconds: float) -> int:
    """Refresh, and kill the process with SIGKILL after some seconds; returns its exit status."""
    process = start(settings)
    process.join(seconds)
    process.kill()
    process.join()
    return int(process.exitcode)


def in_own_process(settings: RefreshRun, trouble: Trouble | None = None) -> int:
    """Refresh in a process of its own; returns its exit status."""
    process = start(settings, trouble)
    process.join()
    return int(process.exitcode)


def two_at_once(settings: RefreshRun) -> list[int]:
    """Two timers start the same command; returns both exit statuses."""
    processes = [start(settings), start(settings)]
    for process in processes:
        process.join()
    return sorted(int(process.exitcode) for process in processes)


def _night(settings: RefreshRun, trouble: Trouble | None) -> None:
    raise_on_sigterm()
    logging.getLogger("tagsmith").setLevel(logging.INFO)  # For the log of the store.
    prepare: dict[Trouble, Callable[[RefreshRun], None]] = {
        Trouble.full_disk: _fill_the_disk,
        Trouble.clock_back: _turn_the_clock_back,
        Trouble.broken_bundle: _break_the_bundle,
    }
    if trouble is not None and trouble in prepare:
        prepare[trouble](settings)
    sys.exit(run_refresh(settings))


def _fill_the_disk(settings: RefreshRun) -> None:
    """From some moment on, before training, no file of the store can be opened for writing."""
    folder, opened = Path(settings.store).resolve(), 0
    last = len(Store(folder).read_history()) % 12

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal opened
        if event != "open" or not isinstance(arguments[0], str) or not str(arguments[1] or "r").strip("rb"):
            return
        if Path(arguments[0]).resolve().is_relative_to(folder):
            opened += 1
            if opened > last:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])

    sys.addaudithook(refuse)


def _turn_the_clock_back(_: RefreshRun) -> None:
    """It is 2001."""
    clock, strftime = time.time, time.strftime
    back = clock() - 1_000_000_000
    vars(time)["time"] = lambda: clock() - back
    vars(time)["strftime"] = lambda form, when=None: strftime(form, when or time.localtime(time.time()))


def _break_the_bundle(_: RefreshRun) -> None:
    """One byte of the graph is another one after the export."""
    export: Callable[..., Path] = vars(steps)["export"]

    def broken(*arguments: Any) -> Path:
        bundle = export(*arguments)
        graph = bundle / "onnx" / "model.onnx"
        content = bytearray(graph.read_bytes())
        content[len(content) // 2] ^= 1
        graph.write_bytes(content)
        return bundle

    vars(steps)["export"] = broken
