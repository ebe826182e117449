"""Threads that stop waiting for each other actively while other processes need the cores.

Between two parallel regions the threads of OpenMP spin for some milliseconds, which is the fastest way to go on as long
as each has a core. Beside a busy process it is the slowest: a thread that spins keeps the core from the one that it
waits for. libgomp, which torch's wheels for Linux contain, spins 3,000 times less while it manages more threads than
there are cores (GNU libgomp manual, GOMP_SPINCOUNT). So while this process has to wait for cores, it holds a team of
sleeping OpenMP threads. The number of threads that compute stays the same, and with it every result.
"""

import ctypes
import os
import threading
import time
from pathlib import Path

import torch

SECONDS = 0.5
"""How often the waiting is measured."""

BUSY = 0.05
"""Share of the time that the computing threads waited for a core, above which others are using the cores."""

SET_BY_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Environment variables with which the user decides how threads wait."""

_lock = threading.Lock()
_watching: int | None = None  # The process whose cores are watched; a fork inherits no thread.


def yield_to_neighbours() -> None:
    """Watch from now on how long this process waits for cores, and let its threads sleep while it has to.

    Does nothing where it cannot help: with one thread, without libgomp or Linux's figures, or if the user has set one
    of `SET_BY_USER`.
    """
    global _watching
    with _lock:
        if _watching == os.getpid() or torch.get_num_threads() == 1 or any(name in os.environ for name in SET_BY_USER):
            return
        gomp = _loaded_libgomp()
        if gomp is None or waited() is None:
            return
        _watching = os.getpid()
        threading.Thread(target=_watch, args=(gomp, torch.get_num_threads()), daemon=True, name="neighbours").start()


def waited(tasks: Path = Path("/proc/self/task")) -> float | None:
    """Seconds that all threads of this process together were ready to run but had no core; None: not known here."""
    total = 0
    try:
        for task in tasks.iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[1])  # Nanoseconds.
            except (FileNotFoundError, ProcessLookupError):
                continue  # The thread has ended.
    except (OSError, IndexError, ValueError):
        return None
    return total / 1e9


def _loaded_libgomp() -> ctypes.CDLL | None:
    for path in (Path(torch.__file__).parent / "lib").glob("libgomp*.so*"):
        try:
            return ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        except OSError:
            continue  # torch uses another one.
    return None


def _watch(gomp: ctypes.CDLL, threads: int) -> None:
    before, since = waited(), time.monotonic()
    held: threading.Event | None = None
    while before is not None:
        time.sleep(SECONDS)
        found, now = waited(), time.monotonic()
        # A thread that ended took its seconds along; without figures the threads wait as they always did.
        busy = found is not None and found - before > BUSY * threads * (now - since)
        if busy and held is None:
            held = threading.Event()
            threading.Thread(target=_hold_sleeping_team, args=(gomp, held), daemon=True, name="sleepers").start()
        elif not busy and held is not None:
            held.set()
            held = None
        before, since = found, now


def _hold_sleeping_team(gomp: ctypes.CDLL, enough: threading.Event) -> None:
    """Hold a team of OpenMP threads until `enough` is set: with it, libgomp manages more threads than there are cores.

    The team runs a function once, which may be any that ignores a null pointer, and then sleeps.
    """
    gomp.GOMP_parallel(ctypes.CDLL(None).abs, None, ctypes.c_uint(gomp.omp_get_num_procs() + 1), ctypes.c_uint(0))
    enough.wait()
