"""Rows that cannot be used: how many are left out, and the message where there are more."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tagsmith.config.settings import DataSettings, OnBadRow
from tagsmith.core.errors import DataError, counted, listing
from tagsmith.core.files import write_lines
from tagsmith.data.documents import Document, Problem


class BadRows(DataError):
    """Too many rows cannot be used; `problems` are all problems, of which the message names the causes."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = problems


@contextmanager
def listed_in(path: Path) -> Iterator[None]:
    """Where the block raises `BadRows` and its message does not name each row, write all rows to this file.

    The file is removed where the block ends without an error.
    """
    try:
        yield
    except BadRows as error:
        if len(error.problems) < len(str(error).splitlines()):
            raise
        write_lines(path, (problem.as_dict() for problem in error.problems))
        raise BadRows(f"{error}\nAll of these rows, with their content: {path}", error.problems) from None
    path.unlink(missing_ok=True)


def origins(rows: Counter[str]) -> dict[str, str]:
    """From the file of a row to the file that counts: a folder for files of one row, which are documents themselves.

    Args:
        rows: how many rows each file has.
    """
    whole = Counter(dict.fromkeys(map(_without_place, rows), 0))
    for file, count in rows.items():
        whole[_without_place(file)] += count
    return {file: name if whole[name := _without_place(file)] > 1 else str(Path(name).parent) for file in rows}


def _without_place(file: str) -> str:
    """`labels.json` for `labels.json#documents`."""
    return file.partition("#")[0]


def refuse_or_leave_out(
    settings: DataSettings, problems: Sequence[Problem], documents: Sequence[Document], manual: Collection[str]
) -> str | None:
    """The note on rows that are left out; None where there are none.

    Args:
        problems: in the order of the files.
        documents: all that were read, with or without problems.
        manual: files with problems of which each row counts, since somebody has just written it.

    Raises:
        BadRows: there are more than `on_bad_row` and `max_bad_share` allow, in all or in one file.
    """
    if not problems:
        return None
    bad = {(problem.file, problem.row) for problem in problems}
    found = Counter(file for file, _ in bad)
    rows = found + Counter(one.file for one in documents if (one.file, one.row) not in bad)
    if too_many := _too_many(settings, found, rows, manual):
        headline = f"{counted(len(problems), 'problem')} in the tagged data: {too_many}"
        raise BadRows(listing(headline, [str(problem) for problem in problems]), [*problems])
    first = problems[0]
    return (
        f"Left out {counted(len(bad), 'bad row')} of {sum(rows.values()):,} (data.on_bad_row="
        f"{settings.on_bad_row.value}), the first one {first}; the run's rejected.jsonl lists them."
    )


def in_order(problems: Sequence[Problem], documents: Sequence[Document]) -> list[Problem]:
    """The problems in the order of the files and rows."""
    files = dict.fromkeys([one.file for one in documents] + [problem.file for problem in problems])
    order = {file: i for i, file in enumerate(files)}
    return sorted(problems, key=lambda problem: (order[problem.file], problem.row))


def _too_many(settings: DataSettings, found: Counter[str], rows: Counter[str], manual: Collection[str]) -> str | None:
    """Where more rows are bad than allowed, and what to do; None where they may be left out."""
    if settings.on_bad_row is OnBadRow.skip:
        return None
    if settings.on_bad_row is OnBadRow.error:
        return "data.on_bad_row=error allows none; correct these rows, or leave them out with data.on_bad_row=skip:"
    name = origins(rows)
    parts: dict[str, tuple[int, int]] = {"the data": (sum(found.values()), sum(rows.values()))}
    for file, count in rows.items():
        bad, of = parts.get(name[file], (0, 0))
        parts[name[file]] = bad + found[file], of + count
    if manual:
        return (
            f"each line of data.tagged counts, and {sum(found[file] for file in manual):,} cannot be used; correct "
            "them, or leave them out with data.on_bad_row=skip:"
        )
    for place, (bad, of) in parts.items():
        # Rounded up, so that one bad row is left out of a small file too.
        if bad > (allowed := math.ceil(settings.max_bad_share * of)):
            return (
                f"{bad:,} of {counted(of, 'row')} of {place} cannot be used, and data.max_bad_share="
                f"{settings.max_bad_share:g} allows {allowed:,}; correct them, or leave them out with "
                "data.on_bad_row=skip:"
            )
    return None


def leave_out(documents: Collection[Document], problems: Collection[Problem]) -> list[Document]:
    """The documents whose rows have no problem."""
    bad = {(problem.file, problem.row) for problem in problems}
    return [document for document in documents if (document.file, document.row) not in bad]
