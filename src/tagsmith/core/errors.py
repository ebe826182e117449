"""What a person can mend: errors that carry a clear message and an exit status, and never a traceback."""

import errno
from collections.abc import Sequence

NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
"""What a file system says where there is no room left: `TryAgainLater`."""


class TagsmithError(Exception):
    """A mistake that a person can mend; a script prints the message and leaves with `exit_status`."""

    exit_status = 70


class SettingsError(TagsmithError):
    """A setting has a wrong name, type or value, or two settings contradict each other."""

    exit_status = 64


class DataError(TagsmithError):
    """Tagged data, a run or a bundle does not hold what it should."""

    exit_status = 65


class InputMissing(TagsmithError):
    """A file or folder that the settings name is not there."""

    exit_status = 66


class TryAgainLater(TagsmithError):
    """Nothing is wrong but the moment: another process holds the lock, the disk is full."""

    exit_status = 75


def counted(number: int, noun: str) -> str:
    """The number with its noun: `1 class`, `2 classes`, `1,000 documents`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


class Interrupted(TryAgainLater):
    """The process was told to leave, and has; the message says how to go on."""


def listing(headline: str, problems: Sequence[str], most: int = 100) -> str:
    """`headline` and the `problems` below it, one a line; past `most` lines the rest is counted."""
    lines = [headline, *(f"  - {problem}" for problem in problems[:most])]
    if len(problems) > most:
        lines.append(f"  ... and {len(problems) - most:,} more")
    return "\n".join(lines)
