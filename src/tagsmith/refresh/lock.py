"""The lock that a refresh holds over all its steps: one refresh of a store at a time, on all machines that mount it."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout

from tagsmith.core.errors import TryAgainLater
from tagsmith.core.files import write_json
from tagsmith.refresh.store import Json, Store, now


@contextmanager
def lock_held(store: Store, wait_minutes: float) -> Iterator[Json | None]:
    """Hold the lock of a store while the block runs.

    Yields:
        Who held it before and was killed: `pid`, `host`, `command`, `since`; None where it was released.

    Raises:
        TryAgainLater: another process holds it, still so after `wait_minutes`.
    """
    # The kernel releases the lock of a process that has ended, however it has ended.
    lock = FileLock(store.lock, timeout=wait_minutes * 60)
    try:
        lock.acquire(poll_interval=1 if wait_minutes else 0.05)
    except Timeout:
        raise TryAgainLater(f"store={store.path}: another process is using it: {describe(holder(store))}.") from None
    about = store.holder
    try:
        killed = holder(store)
        mine = {"pid": os.getpid(), "host": socket.gethostname(), "command": " ".join(sys.argv), "since": now()}
        with suppress(OSError):  # A rollback must work on a full disk.
            write_json(about, mine)
        yield killed
    finally:
        about.unlink(missing_ok=True)
        lock.release()


def holder(store: Store) -> Json | None:
    """Who holds the lock, or held it when it was killed; None where nobody has written it."""
    try:
        found = json.loads(store.holder.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def was_killed(found: Json) -> bool:
    """Whether the process that holds a lock is known to be gone; one of another machine is not."""
    if found.get("host") != socket.gethostname() or not isinstance(pid := found.get("pid"), int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def describe(found: Json | None) -> str:
    """Who holds a lock, in words."""
    if found is None:
        return "lock held by a process that has not said who it is"
    return f"lock held by process {found.get('pid')} on {found.get('host')} since {found.get('since')}"
