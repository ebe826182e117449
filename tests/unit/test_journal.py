"""A journal produces the same bytes wherever it is killed."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tagsmith.classify.files.journal import Journal
from tagsmith.core.errors import DataError, SettingsError, TryAgainLater

ABOUT = {"bundle": "a"}
PIECES = [f"piece {i}\n".encode() for i in range(6)]
CHANGES = {"open", "os.rename", "os.remove", "os.truncate"}


def work(path: Path) -> None:
    """Append the pieces, with a commit after every other one."""
    with Journal(path) as journal:
        if journal.interrupted:
            journal.resume(ABOUT)
        else:
            journal.begin()
        written = journal.state.get("written", 0)
        for i in range(written, 0 if journal.done else len(PIECES)):
            journal.append(PIECES[i])
            if i % 2:
                journal.commit({"written": i + 1}, ABOUT)
        journal.finish({"written": len(PIECES)}, ABOUT)


def killed_at(path: Path, operation: int) -> None:
    """Kill the process just before the n-th change of a file."""
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in CHANGES and path.name in str(arguments[0]):
            seen += 1
            if seen == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    work(path)


def run(path: Path, operation: int) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=killed_at, args=(path, operation))
    process.start()
    process.join(30)
    return process.exitcode


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_a_kill_before_any_operation_loses_nothing(tmp_path: Path) -> None:
    operation, kills = 1, 0
    while True:
        folder = tmp_path / str(operation)
        folder.mkdir()
        path = folder / "out.jsonl"
        if run(path, operation) == 0:
            break
        kills += 1
        assert not path.exists() or path.read_bytes() == b"".join(PIECES)
        if not path.exists() or Journal(path).interrupted:
            run(path, operation // 2 + 1)  # Again, elsewhere.
            if not path.exists() or Journal(path).interrupted:
                work(path)
        assert path.read_bytes() == b"".join(PIECES)
        assert [left.name for left in folder.iterdir() if "lock" not in left.name] == ["out.jsonl"]
        operation += 1
    assert kills > 12


def interrupted(path: Path) -> None:
    with Journal(path) as journal:
        journal.begin()
        journal.append(b"certain\n")
        journal.commit({"rows": 1}, ABOUT)
        journal.append(b"lost")


def test_uncommitted_content_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    interrupted(path)
    with Journal(path) as journal:
        journal.resume(ABOUT)
        assert journal.state == {"rows": 1}
        journal.append(b"next\n")
        journal.finish({"rows": 2}, ABOUT)
    assert path.read_bytes() == b"certain\nnext\n"
    assert [left.name for left in tmp_path.iterdir()] == ["out.jsonl"]


def test_without_a_commit_nothing_remains(tmp_path: Path) -> None:
    with Journal(tmp_path / "out.jsonl") as journal:
        journal.begin()
        journal.append(b"lost")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"Certain\n", b"certai"])
def test_a_damaged_partial_file_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "out.jsonl"
    interrupted(path)
    Journal(path).partial.write_bytes(damage)
    with Journal(path) as journal, pytest.raises(DataError, match="was changed after the interruption"):
        journal.resume(ABOUT)


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    interrupted(path)
    with Journal(path) as journal, pytest.raises(SettingsError, match=r"found bundle=b \(was a\)"):
        journal.resume({"bundle": "b"})


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with Journal(path), pytest.raises(TryAgainLater, match="another process"), Journal(path):
        pass
