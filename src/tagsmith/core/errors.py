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

ROW = re.compile(r"(?P<file>.+?):(?P<row>\d+): (?P<what>.*)", re.DOTALL)
"""A problem of a row: its place, and what is wrong."""

SHOWN = 3
"""Rows of one cause that are listed each; of more rows, so many places and different values are named."""


def counted(number: int, noun: str) -> str:
    """The number with its noun: `1 class`, `2 classes`, `1,000 documents`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


class Interrupted(TryAgainLater):
    """A signal has stopped the process; the message says how to resume."""


def listing(headline: str, problems: Sequence[str], most: int = 100) -> str:
    """`headline` and the `problems` below it, one a line; beyond `most` lines the rest is counted.

    Problems of rows (`FILE:ROW: what is wrong`) that have the same cause share a line, see `by_cause`.
    """
    found = by_cause(problems)
    lines = [headline, *(f"  - {problem}" for problem in found[:most])]
    if len(found) > most:
        lines.append(f"  ... and {len(found) - most:,} more")
    return "\n".join(lines)


def by_cause(problems: Sequence[str]) -> list[str]:
    """The problems with one line for rows of the same cause, where there are more than `SHOWN` of them.

    Messages have the same cause where they differ in quoted values and numbers alone:
    `60 rows: unknown class 'a', 'b', 'c', ...; the classes are x, y (tickets.csv:3, 5, 9 and 57 more)`.
    """
    causes: dict[tuple[str, ...], list[re.Match[str]]] = {}
    lines: dict[str, list[re.Match[str]] | None] = {}
    for problem in problems:
        if (row := ROW.match(problem)) is None:
            lines[problem] = None
        else:
            rows = causes.setdefault(tuple(VARIABLE.split(row["what"])), [])
            rows.append(row)
            lines[problem] = rows
    shown = []
    for problem, same in lines.items():
        if same is None or len(same) <= SHOWN:
            shown.append(problem)
        elif problem == same[0].string:  # The line of a cause comes once, at its first row.
            shown.append(_one_line(same))
    return shown


def _one_line(rows: Sequence[re.Match[str]]) -> str:
    wording = VARIABLE.split(rows[0]["what"])
    what = wording[0]
    columns = zip(*(VARIABLE.findall(row["what"]) for row in rows), strict=True)
    for values, after in zip(columns, wording[1:], strict=True):
        different = list(dict.fromkeys(values))
        named = [value if len(value) <= 60 else f"{value[:60]}..." for value in different[:SHOWN]]
        what += ", ".join(named + ["..."] * (len(different) > SHOWN)) + after
    places: list[str] = []
    for before, row in zip([None, *rows], rows[:SHOWN], strict=False):
        same_file = before is not None and before["file"] == row["file"]
        places.append(row["row"] if same_file else f"{row['file']}:{row['row']}")
    return f"{len(rows):,} rows: {what} ({', '.join(places)} and {len(rows) - SHOWN:,} more)"
