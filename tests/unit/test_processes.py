"""The processes of a launch: the end of their group, and their threads."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tagsmith.model import processes

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
