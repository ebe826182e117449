"""Errors that a user can fix: each has a clear message and an exit status, and is shown without a traceback."""

import errno
import re
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


QUOTED = r"""(?:(?<!\w)'(?:[^'\\]|\\.)*(?:'|$)|"(?:[^"\\]|\\.)*(?:"|$))"""
VARIABLE = re.compile(rf"{QUOTED}(?:, {QUOTED})*|\b\d[\d,.]*\b")
"""What differs between messages of one cause: quoted values, lists of them, and numbers."""

SHOWN = 3
"""Rows of one cause that are listed each; of more rows, so many places and different values are named."""


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


def by_cause(problems: Sequence[tuple[str, int, str]], shown: int = SHOWN) -> list[str]:
    """Lines for `listing`, of problems as (file, row, message): one line for rows that have the same cause.

    Messages have the same cause where they differ in quoted values and numbers alone.
    """
    causes: dict[tuple[str, ...], list[int]] = {}
    for position, (_, _, what) in enumerate(problems):
        causes.setdefault(tuple(VARIABLE.split(what)), []).append(position)
    lines: dict[int, str] = {}
    for wording, positions in causes.items():
        if len(positions) <= shown:
            lines |= {i: f"{problems[i][0]}:{problems[i][1]}: {problems[i][2]}" for i in positions}
        else:
            lines[positions[0]] = _one_line([problems[i] for i in positions], wording, shown)
    return [line for _, line in sorted(lines.items())]


def _one_line(problems: Sequence[tuple[str, int, str]], wording: Sequence[str], shown: int) -> str:
    """`60 rows: unknown class 'a', 'b', 'c', ...; declared are x, y (tickets.csv:3, 5, 9 and 57 more)`."""
    what = wording[0]
    columns = zip(*(VARIABLE.findall(message) for _, _, message in problems), strict=True)
    for values, after in zip(columns, wording[1:], strict=True):
        different = list(dict.fromkeys(values))
        named = [value if len(value) <= 60 else f"{value[:60]}..." for value in different[:shown]]
        what += ", ".join(named + ["..."] * (len(different) > shown)) + after
    first, file = [], ""
    for place, row, _ in problems[:shown]:
        first.append(f"{row}" if place == file else f"{place}:{row}")
        file = place
    return f"{len(problems):,} rows: {what} ({', '.join(first)} and {len(problems) - shown:,} more)"
