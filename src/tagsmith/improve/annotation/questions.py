"""The lines of a run's queues as questions to annotators, and the lines of tags that result."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError, InputMissing, listing
from tagsmith.data.check import same_text
from tagsmith.data.exports.answers import Settled
from tagsmith.rows.json_rows import json_lines
from tagsmith.rows.table import BadRow


@dataclass(frozen=True)
class Question:
    """A document to tag; `suggested` is None where there is no suggestion."""

    id: str
    text: str
    score: float
    suggested: tuple[str, ...] | None
    why: str


CELL = 32_767
"""The most characters that a spreadsheet keeps in a cell."""


def same_document(sent: str, returned: str) -> bool:
    """Whether a text that an annotation tool returns is the one that it was sent.

    As `data.check.same_text`, but a spreadsheet may have cut the end of a long text.
    """
    first, second = same_text(sent), same_text(returned)
    return first == second or (len(returned) > CELL - 100 and first.startswith(second))


def read_questions(paths: Sequence[Path], unanswered: bool = True) -> list[Question]:
    """The documents of queues that `scripts/improve.py` wrote; of several lines of one document, the first counts.

    Args:
        unanswered: whether to leave out lines with a tag.

    Raises:
        InputMissing: a file does not exist.
        DataError: lines are unusable; all of them are listed.
    """
    found: dict[str, Question] = {}
    problems: list[str] = []
    for path in paths:
        if not path.is_file():
            raise InputMissing(f"{path}: the queue does not exist; scripts/improve.py writes queues.")
        for row, record in json_lines(path):
            if isinstance(record, BadRow):
                problems.append(f"{path}:{row}: {record.what}")
            elif not isinstance(record.get("text"), str) or not isinstance(record.get("id"), str):
                problems.append(f"{path}:{row}: expected id and text, found {', '.join(record) or 'none'}")
            elif record.get("suspected", True) and not (unanswered and record.get("tag") is not None):
                found.setdefault(record["id"], _question(record))
    if problems:
        raise DataError(listing("These lines of queues are unusable:", problems))
    return list(found.values())


def _question(record: dict[str, Any]) -> Question:
    suggested = record.get("suggested")
    tags = None if suggested is None else tuple(suggested) if isinstance(suggested, list) else (str(suggested),)
    why = str(record.get("why") or record.get("reason") or "")
    return Question(record["id"], record["text"], float(record.get("score") or 0.0), tags, why)


def tag_lines(settled: Iterable[Settled], multi_label: bool) -> list[dict[str, Any]]:
    """Lines that `data.tagged` reads, one per document; `tag` is null where the document still needs one."""
    return [
        {
            **({"id": one.id} if one.id is not None else {}),
            "text": one.text,
            "tag": None if one.labels is None else list(one.labels) if multi_label else one.labels[0],
            **({"why": one.why} if one.why else {}),
            **({"answers": [{"tag": list(tag), "people": n} for tag, n in one.answers]} if one.answers else {}),
        }
        for one in settled
    ]
