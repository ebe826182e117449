"""Asynchronous jobs in one SQLite file, so that they survive a restart.

The texts of the documents stay in the file only until their job ends.
"""

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError, SettingsError, TryAgainLater

LAYOUT = 1
"""Version of the table; a file with another version is refused."""

WAITING, RUNNING, CANCELLING = "notStarted", "running", "cancelling"
SUCCEEDED, PARTLY, FAILED, CANCELLED = "succeeded", "partiallyCompleted", "failed", "cancelled"
UNFINISHED = (WAITING, RUNNING, CANCELLING)


@dataclass(frozen=True)
class Job:
    """One job; times are seconds since 1970.

    Attributes:
        request: display name and tasks.
        result: `tasks` and `errors` of a job that has ended.
    """

    id: str
    status: str
    request: dict[str, Any]
    result: dict[str, Any] | None
    created: float
    updated: float
    expires: float


class TooManyJobs(Exception):
    """The limit on unfinished jobs is reached."""


class JobStore:
    """The job file; every method is one transaction, and may be called from any thread.

    Args:
        path: the file; None: jobs are kept in memory.
        max_unfinished: limit on unfinished jobs.
        seconds: lifetime of a job.

    Raises:
        TryAgainLater: another service has locked the file.
        SettingsError: the file cannot be written.
        DataError: the file is not a job file.
    """

    def __init__(self, path: Path | None, max_unfinished: int, seconds: float):
        self._max_unfinished, self._seconds = max_unfinished, seconds
        self._lock = threading.Lock()
        if path is not None:
            try:
                path.touch(mode=0o600)  # It holds documents of other people for a while.
            except OSError as error:
                raise SettingsError(f"serve.jobs={path}: cannot be written: {error.strerror}.") from error
        try:
            self._file = sqlite3.connect(path or ":memory:", timeout=1.0, check_same_thread=False)
            self._file.executescript(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                "PRAGMA secure_delete = ON;"
            )
            self._prepare(path)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise TryAgainLater(
                    f"serve.jobs={path}: locked by another service; use a file of its own for this one."
                ) from error
            raise SettingsError(f"serve.jobs={path}: cannot be used: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"serve.jobs={path}: is not a job file of this service ({error}); use another file."
            ) from error

    def _prepare(self, path: Path | None) -> None:
        (version,) = self._file.execute("PRAGMA user_version").fetchone()
        if version not in (0, LAYOUT):
            raise DataError(f"serve.jobs={path}: expected layout {LAYOUT}, found {version}; use another file.")
        with self._transaction() as file:
            file.execute(
                "CREATE TABLE IF NOT EXISTS jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL,"
                " status TEXT NOT NULL, request TEXT NOT NULL, documents TEXT, result TEXT, created REAL NOT NULL,"
                " updated REAL NOT NULL, expires REAL NOT NULL, sent_as TEXT UNIQUE)"
            )
            # The service that ran these has stopped: they start again, or end.
            file.execute("UPDATE jobs SET status = ? WHERE status = ?", (WAITING, RUNNING))
            file.execute("UPDATE jobs SET status = ?, documents = NULL WHERE status = ?", (CANCELLED, CANCELLING))
            file.execute(f"PRAGMA user_version = {LAYOUT}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._file:
            yield self._file

    def add(self, request: dict[str, Any], documents: list[dict[str, Any]], retry_key: str | None) -> str:
        """Store a new job and return its id, or that of an earlier job with the same `retry_key`.

        Raises:
            TooManyJobs: too many jobs are unfinished.
        """
        now, name = time.time(), str(uuid.uuid4())
        with self._transaction() as file:
            if retry_key is not None:
                known = file.execute("SELECT id FROM jobs WHERE sent_as = ?", (retry_key,)).fetchone()
                if known is not None:
                    return str(known[0])
            (unfinished,) = file.execute(f"SELECT count(*) FROM jobs WHERE {_UNFINISHED}", UNFINISHED).fetchone()
            if unfinished >= self._max_unfinished:
                raise TooManyJobs
            file.execute(
                "INSERT INTO jobs (id, status, request, documents, created, updated, expires, sent_as)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (name, WAITING, json.dumps(request), json.dumps(documents), now, now, now + self._seconds, retry_key),
            )
        return name

    def get(self, name: str) -> Job | None:
        """A job, without its documents; None: unknown or expired."""
        with self._transaction() as file:
            row = file.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ? AND expires > ?", (name, time.time()))
            found = row.fetchone()
        return _job(found) if found is not None else None

    def take(self) -> tuple[Job, list[dict[str, Any]]] | None:
        """Mark the job that has waited longest as running; returns it with its documents, None if no job is waiting."""
        with self._transaction() as file:
            row = file.execute(
                f"SELECT {_COLUMNS}, documents FROM jobs WHERE status = ? ORDER BY number LIMIT 1", (WAITING,)
            ).fetchone()
            if row is None:
                return None
            file.execute("UPDATE jobs SET status = ?, updated = ? WHERE id = ?", (RUNNING, time.time(), row[0]))
        return _job(row[:-1]), json.loads(row[-1])

    def give_back(self, name: str) -> None:
        """Return a running job to the queue, because the service stops before it ends."""
        with self._transaction() as file:
            file.execute("UPDATE jobs SET status = ? WHERE id = ? AND status = ?", (WAITING, name, RUNNING))

    def finish(self, name: str, status: str, result: dict[str, Any]) -> None:
        """Store the result of a job and remove its texts; a job that was cancelled meanwhile stays cancelled."""
        with self._transaction() as file:
            file.execute(
                "UPDATE jobs SET status = CASE status WHEN ? THEN ? ELSE ? END, result = ?, documents = NULL,"
                " updated = ? WHERE id = ?",
                (CANCELLING, CANCELLED, status, json.dumps(result), time.time(), name),
            )

    def cancel(self, name: str) -> str | None:
        """Cancel an unfinished job; returns its previous status, None if there is no such job."""
        with self._transaction() as file:
            row = file.execute("SELECT status FROM jobs WHERE id = ? AND expires > ?", (name, time.time())).fetchone()
            if row is None:
                return None
            if row[0] == WAITING:
                file.execute(
                    "UPDATE jobs SET status = ?, documents = NULL, updated = ? WHERE id = ?",
                    (CANCELLED, time.time(), name),
                )
            elif row[0] == RUNNING:
                file.execute("UPDATE jobs SET status = ?, updated = ? WHERE id = ?", (CANCELLING, time.time(), name))
        return str(row[0])

    def cancelling(self, name: str) -> bool:
        """Whether a running job has been cancelled or has expired."""
        job = self.get(name)
        return job is None or job.status == CANCELLING

    def unfinished(self) -> int:
        """The number of unfinished jobs."""
        with self._transaction() as file:
            (count,) = file.execute(f"SELECT count(*) FROM jobs WHERE {_UNFINISHED}", UNFINISHED).fetchone()
        return int(count)

    def remove_expired(self) -> int:
        """Remove expired jobs; returns how many."""
        with self._transaction() as file:
            return file.execute("DELETE FROM jobs WHERE expires <= ? AND status <> ?", (time.time(), RUNNING)).rowcount

    def close(self) -> None:
        with self._lock:
            self._file.close()


_COLUMNS = "id, status, request, result, created, updated, expires"
_UNFINISHED = "status IN (?, ?, ?)"


def _job(row: tuple[Any, ...]) -> Job:
    name, status, request, result, *times = row
    return Job(name, status, json.loads(request), json.loads(result) if result else None, *times)
