"""What the processes of a launch owe to each other."""

import subprocess
import sys
from pathlib import Path

ENDS_IN_A_GROUP = """
import atexit, sys
import torch.distributed

# What is registered first is called last.
atexit.register(lambda: print(torch.distributed.is_initialized()))

import tagsmith.processes

torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
print(torch.distributed.is_initialized())
"""


def test_the_group_is_left_before_python_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDS_IN_A_GROUP, str(tmp_path / "meeting")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False"]
