"""Errors that a user can fix: each has a clear message and an exit status, and is shown without a traceback."""

import errno
from collections.abc import Sequence

NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
"""Errors of a file system that is full, reported as `TryAgainLater`."""


class TagsmithError(Exception):
    """An error that a user can fix; a script prints the message and exits with `exit_status`."""

    exit_status = 70


class SettingsError(TagsmithError):
    """A setting has a wrong name, type or value, or two settings contradict each other."""

    exit_status = 64


class DataError(TagsmithError):
    """Tagged data, a run or a bundle has content other than expected."""

    exit_status = 65


class InputMissing(TagsmithError):
    """A file or folder named by the settings does not exist."""

    exit_status = 66


class TryAgainLater(TagsmithError):
    """The same command may succeed later: another process holds the lock, or the disk is full."""

    exit_status = 75


def counted(number: int, noun: str) -> str:
    """The number with its noun: `1 class`, `2 classes`, `1,000 documents`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


class Interrupted(TryAgainLater):
    """A signal has stopped the process; the message says how to resume."""


def listing(headline: str, problems: Sequence[str], most: int = 100) -> str:
    """`headline` and the `problems` below it, one a line; beyond `most` lines the rest is counted."""
    lines = [headline, *(f"  - {problem}" for problem in problems[:most])]
    if len(problems) > most:
        lines.append(f"  ... and {len(problems) - most:,} more")
    return "\n".join(lines)
