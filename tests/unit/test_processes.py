"""The processes of a launch: the end of their group, and their threads."""

import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tagsmith.model import neighbours, processes

ENDS_IN_A_GROUP = """
import atexit, sys
import torch.distributed

# What is registered first is called last.
atexit.register(lambda: print(torch.distributed.is_initialized()))

import tagsmith.model.processes

torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
print(torch.distributed.is_initialized())
"""


@pytest.mark.slow
def test_the_group_is_closed_before_python_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDS_IN_A_GROUP, str(tmp_path / "meeting")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's memory")
def test_a_tensor_takes_the_memory_of_the_one_before() -> None:
    processes.keep_freed_memory()

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(2**24)  # 64 MiB, 16,384 pages; by default glibc may keep up to 32 MiB.
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    # The first ones may find the heap in pieces, as earlier tests left it.
    assert min(faults() for _ in range(10)) < 400


@pytest.mark.parametrize(("named", "expected"), [(None, 1), ("3", 3)])
def test_threads_are_the_cores_of_the_container_unless_set(
    named: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 1)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if named is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", named)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        processes.start_accelerator(True)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_seconds_without_a_core_are_those_of_all_threads(tmp_path: Path) -> None:
    for name, line in (("7", "9 1500000000 3\n"), ("8", "0 250000000 1\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "schedstat").write_text(line)
    (tmp_path / "9").mkdir()  # A thread that has just ended.
    assert neighbours.waited(tmp_path) == 1.75
    (tmp_path / "9" / "schedstat").write_text("")
    assert neighbours.waited(tmp_path) is None  # A kernel without these figures.
    assert neighbours.waited(tmp_path / "nowhere") is None


def test_threads_sleep_while_others_use_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    teams: list[threading.Event] = []
    holding: list[bool] = []
    found = [0.0, 0.0, 9.0, 18.0, 18.0, 27.0, None]
    this = threading.get_ident()

    class Started:
        def __init__(self, args: tuple[Any, threading.Event], **about: Any):
            teams.append(args[1])

        def start(self) -> None: ...

    def waited() -> float | None:
        if threading.get_ident() != this:  # The watch that an earlier test has left in this process.
            return 0.0
        holding.append(bool(teams) and not teams[-1].is_set())
        return found.pop(0)

    monkeypatch.setattr(neighbours.threading, "Thread", Started)
    monkeypatch.setattr(neighbours, "waited", waited)
    monkeypatch.setattr(neighbours, "SECONDS", 0.0)
    neighbours._watch(None, 2)  # type: ignore[arg-type]
    assert holding == [False, False, False, True, True, False, True]
    assert len(teams) == 2
    assert teams[-1].is_set()


def test_a_team_is_more_threads_than_cores_and_ends() -> None:
    gomp = neighbours._loaded_libgomp()
    if gomp is None:
        pytest.skip("torch brings no libgomp here")
    tasks, enough = Path("/proc/self/task"), threading.Event()
    before = len(list(tasks.iterdir()))
    team = threading.Thread(target=neighbours._hold_sleeping_team, args=(gomp, enough))
    team.start()

    def until(threads: int) -> bool:
        deadline = time.monotonic() + 30
        while len(list(tasks.iterdir())) != threads and time.monotonic() < deadline:
            time.sleep(0.001)
        return len(list(tasks.iterdir())) == threads

    assert until(before + 1 + gomp.omp_get_num_procs())
    enough.set()
    team.join()
    assert until(before)


@pytest.mark.parametrize("name", neighbours.SET_BY_USER)
def test_how_threads_wait_is_the_users_if_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in neighbours.SET_BY_USER:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(neighbours, "_watching", None)
    started: list[Any] = []
    monkeypatch.setattr(threading.Thread, "start", lambda self: started.append(self.name))
    monkeypatch.setattr(neighbours, "_loaded_libgomp", lambda: "libgomp")
    monkeypatch.setattr(neighbours, "waited", lambda: 0.0)
    with monkeypatch.context() as chosen:
        chosen.setenv(name, "passive")
        neighbours.yield_to_neighbours()
    assert started == []
    neighbours.yield_to_neighbours()
    neighbours.yield_to_neighbours()
    assert started == ["neighbours"]  # Once for each process.
