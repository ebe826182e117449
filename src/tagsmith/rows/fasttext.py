"""Lines of fastText: `__label__a __label__b text`."""

import re

from tagsmith.rows.files import File
from tagsmith.rows.lines import lines_of, scan, unreadable
from tagsmith.rows.table import BadRow, Reading, Rows, Table

PREFIX = "__label__"
_LABEL = re.compile(rf"(?:^|(?<=\s)){PREFIX}(\S+)\s*")


def labelled_lines(file: File, how: Reading) -> Table:
    """One row per line, with the fields `label` (a class, or a list of several) and `text`."""
    found = scan(file, how)

    def open_rows(columns: tuple[str, ...] | None) -> Rows:
        for number, line in enumerate(lines_of(file, found.encoding, how.fallback), 1):
            if line.strip():
                yield number, unreadable(line, found.encoding) or _row(line)

    return Table("fastText", ("label", "text"), found.lines, open_rows, found.details)


def _row(line: str) -> dict[str, object] | BadRow:
    names = _LABEL.findall(line)
    if not names:
        return BadRow(f"expected {PREFIX} and a class in the line", line)
    return {"label": names if len(names) > 1 else names[0], "text": _LABEL.sub("", line).strip()}
