"""A file that takes hours to write: appended to beside its name, gone on with after a kill, and whole when it has it.

.NAME.partial        what is written so far
.NAME.partial.json   how much of that is certain, its SHA-256, and where the work stands; renamed into place each time

What a kill leaves beyond the certain part is cut off, and the work that it came from is done again.
"""

import glob
import hashlib
import os
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from tagsmith.core.errors import DataError, SettingsError, TryAgainLater
from tagsmith.core.files import read_json, sync, write_json


class Journal:
    """Bytes on the way to the file `path`; used as a context manager, it is held by one process at a time.

    Attributes:
        state: what the last `commit` said of the work; {}: nothing is certain yet.
        done: the work is done, and all that is left to do is `finish`.
    """

    def __init__(self, path: Path):
        self.path = path
        self.partial = path.with_name(f".{path.name}.partial")
        self.progress = path.with_name(f".{path.name}.partial.json")
        self.state: dict[str, Any] = {}
        self.done = False
        self._lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Journal":
        """Raises: TryAgainLater, another process writes this file; OSError, no file can be made there."""
        try:
            self._lock.acquire()
        except Timeout:
            # A folder in which no file can be made looks the same to the lock; this tells the two apart.
            Path(self._lock.lock_file).open("ab").close()
            raise TryAgainLater(f"output={self.path}: another process is writing it.") from None
        for left in self.path.parent.glob(f".{glob.escape(self.progress.name)}.*.tmp"):
            left.unlink()
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
        """Whether an earlier process has left something certain."""
        return self.progress.exists()

    def begin(self) -> None:
        """Write from the beginning; what was left goes."""
        self.discard()
        self._file = self.partial.open("wb")

    def go_on(self, about: dict[str, Any]) -> None:
        """Cut off what is not certain, and write on from there.

        Args:
            about: what the bytes depend on; it must be what the first `commit` was given.

        Raises:
            SettingsError: it is not.
            DataError: the certain part is not what was written.
        """
        again = "overwrite=true begins anew"
        names = ("bytes", "sha256", "about", "state", "done")
        size, sha256, before, self.state, self.done = read_json(
            self.progress, lambda content: [content[name] for name in names], "the progress of a command", again
        )
        if different := [name for name in sorted(before.keys() | about.keys()) if before.get(name) != about.get(name)]:
            found = ", ".join(f"{name}={about.get(name)} (was {before.get(name)})" for name in different)
            raise SettingsError(f"resume=true: expected what the interrupted command had, found {found}; {again}.")
        # The kill may have come after the last rename.
        whole = self.path if self.done and not self.partial.exists() else self.partial
        left = size
        if whole.exists():
            with whole.open("rb") as file:
                while left and (chunk := file.read(min(left, 1 << 20))):
                    self._digest.update(chunk)
                    left -= len(chunk)
        if left or self._digest.hexdigest() != sha256:
            raise DataError(f"{whole}: is not what was written before the interruption; {again}.")
        if whole is self.partial:
            os.truncate(self.partial, size)
            self._file = self.partial.open("ab")

    def append(self, content: bytes) -> None:
        """Write on; certain only by the next `commit`."""
        assert self._file is not None, "begin or go_on comes first"
        self._file.write(content)
        self._digest.update(content)

    def head(self, count: int) -> list[str]:
        """The first lines, at most so many."""
        if self._file is not None:
            self._file.flush()
        with self.partial.open(encoding="utf-8") as file:
            return list(islice(file, count))

    def commit(self, state: dict[str, Any], about: dict[str, Any], done: bool = False) -> None:
        """Make certain what was appended, and where the work stands (ready for JSON)."""
        assert self._file is not None, "begin or go_on comes first"
        self.state = state
        self._file.flush()
        os.fsync(self._file.fileno())
        size, sha256 = self._file.tell(), self._digest.hexdigest()
        content = {"bytes": size, "sha256": sha256, "done": done, "about": about, "state": state}
        write_json(self.progress, content)

    def finish(self, state: dict[str, Any], about: dict[str, Any]) -> None:
        """Give the file its name; nothing is left beside it."""
        if self._file is not None:
            self.commit(state, about, done=True)
            self._file.close()
            self._file = None
            self.partial.replace(self.path)
            sync(self.path.parent)
        self.progress.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove all that is not the file itself."""
        if self._file is not None:
            self._file.close()
            self._file = None
        # The certain part first: without it, the rest is nothing to go on with.
        self.progress.unlink(missing_ok=True)
        self.partial.unlink(missing_ok=True)
