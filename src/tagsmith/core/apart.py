"""Commands of Tagsmith, one after the other, by a process of its own that outlives the one that has started it."""

import fcntl
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.core.errors import TagsmithError

PYTHON = (sys.executable, "-m", "tagsmith")
"""What `python scripts/NAME.py` stands for in a process whose working directory may be any."""

OUTPUT = "output.txt"
"""What the commands have printed. The process that prints there locks it: that it is locked says that it lives,
whichever process has started it, and what it ends with says how it has ended."""

MARK = ">>> "
"""Begins the lines that are printed between the commands."""

PROGRESS = re.compile(r"(?P<what>[^:]+): (?P<done>[\d,]+) of (?P<total>[\d,]+) (?P<unit>\w+), (?P<detail>.+)")
LEFT = re.compile(r", ([\d,]+) s left$")
TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")

TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Standing:
    """How the commands stand.

    Attributes:
        running: whether their process lives.
        command: the number of the one that runs or ran last, from 1.
        status: the exit status of the last one, if they have ended by themselves; None: they run, or were killed.
        lines: the last lines that were printed, without times and marks.
        progress: `what`, `done`, `total`, `unit`, `rate` and `seconds_left` of what is done now, where it says so.
    """

    running: bool
    command: int
    status: int | None
    lines: list[str]
    progress: dict[str, Any] | None


def start(place: Path, commands: Sequence[Sequence[str]]) -> subprocess.Popen[bytes]:
    """Start commands, such as `["train", "run=runs/mine"]`, which print into the folder.

    Raises:
        BlockingIOError: those that print there are still running.
    """
    with (place / OUTPUT).open("ab") as output:
        fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A session of its own: Ctrl-C closes what has started it, and the commands go on.
        return subprocess.Popen(
            ["sh", "-c", _script(commands)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"TAGSMITH_LOG_SECONDS": "2"},
        )


def stop(process: int, by: signal.Signals = signal.SIGTERM) -> None:
    """Ask the commands of a process that is running to end; a training saves a checkpoint first."""
    with suppress(ProcessLookupError):
        os.killpg(process, by)


def refuse(place: Path, error: TagsmithError) -> None:
    """Print what commands print that have failed with an error, which are not started because of it."""
    with (place / OUTPUT).open("a", encoding="utf-8") as output:
        output.write(f"{MARK}0\nerror: {error}\n{MARK}exit {error.exit_status}\n")


def is_running(place: Path) -> bool:
    """Whether commands that print into the folder run."""
    try:
        with (place / OUTPUT).open("rb") as output:
            fcntl.flock(output, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def standing(place: Path) -> Standing:
    """How the commands stand that print into the folder."""
    running = is_running(place)  # Before what they have printed is read, so that an end is not missed.
    lines = _tail(place / OUTPUT)
    marks = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
    numbers = [int(mark.split()[0]) for mark in marks if mark[0].isdigit()]
    ended = not running and bool(marks) and marks[-1].startswith("exit ")
    return Standing(
        running,
        numbers[-1] if numbers else 1,
        int(marks[-1].removeprefix("exit ")) if ended else None,
        [line for line in lines if not line.startswith(MARK)],
        _progress(lines),
    )


def typed(words: Sequence[str]) -> str:
    """A command as people type it."""
    return shlex.join(["python", f"scripts/{words[0]}.py", *words[1:]])


def _script(commands: Sequence[Sequence[str]]) -> str:
    """The commands, one after the other, in the language of the shell; each gives way to what people wait for.

    Where memory runs out, Linux ends them before the process that has started them.
    """
    steps = [
        f"echo {shlex.quote(f'{MARK}{number} {typed(words)}')} && nice -n 10 {shlex.join([*PYTHON, *words])}"
        for number, words in enumerate(commands, 1)
    ]
    first = "{ echo 500 > /proc/self/oom_score_adj; } 2> /dev/null; "
    return f"{first}{' && '.join(steps)}; echo '{MARK}exit '$?"


def _tail(path: Path) -> list[str]:
    """The last lines of what was printed, without times."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [TIME.sub("", line) for line in text.splitlines() if line.strip()]


def _progress(lines: Sequence[str]) -> dict[str, Any] | None:
    """What the last line about progress says, unless another command has begun since."""
    for line in reversed(lines):
        if line.startswith(MARK):
            return None
        if found := PROGRESS.fullmatch(line):
            left = LEFT.search(line)
            return {
                "what": found["what"],
                "unit": found["unit"],
                "done": int(found["done"].replace(",", "")),
                "total": int(found["total"].replace(",", "")),
                "rate": LEFT.sub("", found["detail"]),
                "seconds_left": int(left[1].replace(",", "")) if left else None,
            }
    return None
