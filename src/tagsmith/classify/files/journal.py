"""A file that takes hours to write: written under a temporary name, resumable after a kill, renamed when complete.

.NAME.partial        the content so far
.NAME.partial.json   the committed size, its SHA-256 and the state of the work; replaced atomically

After a kill, content beyond the committed size is truncated, and the work for it is repeated.
"""

import glob
import hashlib
import os
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from tagsmith.core.errors import DataError, SettingsError, TryAgainLater
from tagsmith.core.files import read_json, sync, write_json

KEPT_LINES = 5
"""First lines that are kept of what went to standard output."""


class Journal:
    """The journal of the file `path`; as a context manager, it is locked by one process at a time.

    Attributes:
        state: the state of the work at the last `commit`; {}: nothing is committed yet.
        done: the work is complete; only `finish` remains.
    """

    def __init__(self, path: Path, convert: Callable[[Path, Path], None] | None = None):
        """Args: convert: writes the file `path` from the complete content; None: the content is the file."""
        self.path = path
        self._convert = convert
        self.partial = path.with_name(f".{path.name}.partial")
        self.progress = path.with_name(f".{path.name}.partial.json")
        self.state: dict[str, Any] = {}
        self.done = False
        self._lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Journal":
        """Raises: TryAgainLater, another process writes this file; OSError, the folder is not writable."""
        try:
            self._lock.acquire()
        except Timeout:
            # The lock reports a folder that is not writable in the same way; this raises OSError there.
            Path(self._lock.lock_file).open("ab").close()
            raise TryAgainLater(f"output={self.path}: locked by another process that is writing it.") from None
        for leftover in self.path.parent.glob(f".{glob.escape(self.progress.name)}.*.tmp"):
            leftover.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if not self.interrupted:
            self.partial.unlink(missing_ok=True)
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    @property
    def interrupted(self) -> bool:
        """Whether an interrupted process has left committed content."""
        return self.progress.exists()

    def begin(self) -> None:
        """Start from scratch; partial output is removed."""
        self.discard()
        self._file = self.partial.open("wb")

    def resume(self, conditions: dict[str, Any]) -> None:
        """Truncate content that is not committed, and append from there.

        Args:
            conditions: what the content depends on; it must equal that of the first `commit`.

        Raises:
            SettingsError: it differs.
            DataError: the committed content was changed.
        """
        again = "overwrite=true starts again"
        names = ("bytes", "sha256", "about", "state", "done")
        size, sha256, before, self.state, self.done = read_json(
            self.progress, lambda content: [content[name] for name in names], "the progress of a command", again
        )
        if different := [
            name for name in sorted(before.keys() | conditions.keys()) if before.get(name) != conditions.get(name)
        ]:
            found = ", ".join(f"{name}={conditions.get(name)} (was {before.get(name)})" for name in different)
            raise SettingsError(
                f"resume=true: expected the settings of the interrupted command, found {found}; {again}."
            )
        # The kill may have come after the last rename.
        whole = self.path if self.done and not self.partial.exists() else self.partial
        left = size
        if whole.exists():
            with whole.open("rb") as file:
                while left and (chunk := file.read(min(left, 1 << 20))):
                    self._digest.update(chunk)
                    left -= len(chunk)
        if left or self._digest.hexdigest() != sha256:
            raise DataError(f"{whole}: was changed after the interruption; {again}.")
        if whole is self.partial:
            os.truncate(self.partial, size)
            self._file = self.partial.open("ab")

    def append(self, content: bytes) -> None:
        """Append content; it is durable after the next `commit`."""
        assert self._file is not None, "call begin or resume first"
        self._file.write(content)
        self._digest.update(content)

    def head(self, count: int) -> list[str]:
        """The first lines, at most `count`."""
        if self._file is not None:
            self._file.flush()
        with self.partial.open(encoding="utf-8") as file:
            return list(islice(file, count))

    def commit(self, state: dict[str, Any], conditions: dict[str, Any], done: bool = False) -> None:
        """Make the appended content durable, with the state of the work (ready for JSON)."""
        assert self._file is not None, "call begin or resume first"
        self.state = state
        self._file.flush()
        os.fsync(self._file.fileno())
        size, sha256 = self._file.tell(), self._digest.hexdigest()
        content = {"bytes": size, "sha256": sha256, "done": done, "about": conditions, "state": state}
        write_json(self.progress, content)

    def finish(self, state: dict[str, Any], conditions: dict[str, Any]) -> None:
        """Rename the file to its final name, and remove everything else."""
        if self._file is not None:
            self.commit(state, conditions, done=True)
            self._file.close()
            self._file = None
            if self._convert is None:
                self.partial.replace(self.path)
            else:
                self._convert(self.partial, self.path)
            sync(self.path.parent)
        self.progress.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the partial output."""
        if self._file is not None:
            self._file.close()
            self._file = None
        # The state first, since the rest cannot be resumed without it.
        self.progress.unlink(missing_ok=True)
        self.partial.unlink(missing_ok=True)


class StandardOutput(Journal):
    """Content that goes to standard output as it is made; nothing can be resumed."""

    def __init__(self) -> None:
        super().__init__(Path("-"))
        self._first: list[str] = []

    def __enter__(self) -> "StandardOutput":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @property
    def interrupted(self) -> bool:
        return False

    def begin(self) -> None:
        self._first.clear()

    def append(self, content: bytes) -> None:
        if len(self._first) < KEPT_LINES:
            self._first += content.decode("utf-8").splitlines()[:KEPT_LINES]
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    def head(self, count: int) -> list[str]:
        return self._first[:count]

    def commit(self, state: dict[str, Any], conditions: dict[str, Any], done: bool = False) -> None:
        self.state = state

    def finish(self, state: dict[str, Any], conditions: dict[str, Any]) -> None:
        self.state = state

    def discard(self) -> None:
        return None
