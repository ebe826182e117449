import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tagsmith.core.errors import DataError, SettingsError, TryAgainLater
from tagsmith.serve.jobs import JobStore, TooManyJobs

REQUEST: dict[str, Any] = {"displayName": None, "tasks": []}
DOCUMENTS = [{"id": "0", "text": "a secret text"}]


def store(path: Path | None, most: int = 10, seconds: float = 3600) -> JobStore:
    return JobStore(path, most, seconds)


def test_a_job_from_new_to_done(tmp_path: Path) -> None:
    jobs = store(tmp_path / "jobs.sqlite")
    name = jobs.add(REQUEST, DOCUMENTS, None)
    found = jobs.get(name)
    assert found is not None
    assert (found.status, found.result, found.expires - found.created) == ("notStarted", None, 3600)
    taken = jobs.take()
    assert taken is not None
    assert (taken[0].id, taken[1]) == (name, DOCUMENTS)
    assert jobs.take() is None
    assert jobs.unfinished() == 1
    jobs.finish(name, "succeeded", {"tasks": [1], "errors": []})
    done = jobs.get(name)
    assert done is not None
    assert (done.status, done.result) == ("succeeded", {"tasks": [1], "errors": []})
    assert jobs.unfinished() == 0
    jobs.close()
    # Only the owner can read the file, and the texts of finished jobs are deleted.
    assert (tmp_path / "jobs.sqlite").stat().st_mode & 0o077 == 0
    assert all(b"a secret text" not in path.read_bytes() for path in tmp_path.iterdir())


def test_jobs_survive_a_restart(tmp_path: Path) -> None:
    before = store(tmp_path / "jobs.sqlite")
    names = [before.add(REQUEST, DOCUMENTS, None) for _ in range(3)]
    before.take()
    before.take()
    before.cancel(names[1])
    before.close()
    after = store(tmp_path / "jobs.sqlite")
    statuses = [job.status for name in names if (job := after.get(name)) is not None]
    assert statuses == ["notStarted", "cancelled", "notStarted"]
    taken = after.take()
    assert taken is not None
    assert (taken[0].id, taken[1]) == (names[0], DOCUMENTS)
    after.close()


def test_cancelling() -> None:
    jobs = store(None)
    waiting, running = jobs.add(REQUEST, DOCUMENTS, None), jobs.add(REQUEST, DOCUMENTS, None)
    assert jobs.cancel("unknown") is None
    jobs.take()
    assert jobs.cancel(running) == "notStarted"
    assert jobs.cancel(waiting) == "running"
    assert jobs.cancelling(waiting)
    jobs.finish(waiting, "succeeded", {"tasks": [], "errors": []})
    assert [jobs.get(name).status for name in (waiting, running)] == ["cancelled"] * 2  # type: ignore[union-attr]
    assert jobs.cancel(waiting) == "cancelled"


def test_a_repeated_request_is_one_job() -> None:
    jobs = store(None)
    assert jobs.add(REQUEST, DOCUMENTS, "same") == jobs.add(REQUEST, DOCUMENTS, "same")
    assert jobs.add(REQUEST, DOCUMENTS, "other") != jobs.add(REQUEST, DOCUMENTS, "same")


def test_a_job_expires_and_too_many_are_refused() -> None:
    jobs = store(None, most=2, seconds=-1)
    names = [jobs.add(REQUEST, DOCUMENTS, None) for _ in range(2)]
    with pytest.raises(TooManyJobs):
        jobs.add(REQUEST, DOCUMENTS, None)
    assert [jobs.get(name) for name in names] == [None, None]
    assert jobs.cancel(names[0]) is None
    assert jobs.remove_expired() == 2
    assert jobs.unfinished() == 0


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        store(tmp_path / "nowhere" / "jobs.sqlite")
    (tmp_path / "text").write_text("no database, and long enough to look like one" * 20)
    with pytest.raises(DataError, match="is not a job file"):
        store(tmp_path / "text")
    with sqlite3.connect(tmp_path / "later") as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(DataError, match="expected layout 1, found 99"):
        store(tmp_path / "later")
    held = store(tmp_path / "held")
    with pytest.raises(TryAgainLater, match="another service"):
        store(tmp_path / "held")
    held.close()
