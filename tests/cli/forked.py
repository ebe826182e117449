"""Runs a script in a process forked from one that has done the slow imports."""

import os
import runpy
import sys
from pathlib import Path


def run_script(
    path: Path, overrides: list[str], folder: Path, environment: dict[str, str], out: Path, err: Path
) -> None:
    """Turn this process into `python PATH OVERRIDE ...`, with its output in two files."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = [str(path), *overrides]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name="__main__")
