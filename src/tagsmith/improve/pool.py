"""The pool: untagged documents, however many, from which the next ones to tag are chosen."""

import hashlib
import heapq
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagsmith.classify.files.inputs import Row, open_input
from tagsmith.config.settings import ImproveRun
from tagsmith.config.settings.fields import names
from tagsmith.core.errors import DataError, listing
from tagsmith.core.progress import meter
from tagsmith.data.check import same_text
from tagsmith.rows.table import Reading

log = logging.getLogger("tagsmith")

MOST_PROBLEMS = 1000
"""Bad rows that are reported; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An untagged document; its id is that of its row, or else its file and row."""

    id: str
    text: str
    group: str | None = None


@dataclass
class Pool:
    """What was read.

    Attributes:
        candidates: documents drawn at random, in the order of the pool.
        rows: number of rows read.
        known: rows with the text of a document of the run.
        bad: unusable rows; `problems` says what is wrong with the first of them.
        renamed: candidates with the id of another document, which have their file and row as id.
    """

    candidates: list[Candidate] = field(default_factory=list)
    rows: int = 0
    known: int = 0
    bad: int = 0
    problems: list[str] = field(default_factory=list)
    renamed: int = 0


def read_pool(settings: ImproveRun, known_texts: Collection[str], known_ids: Collection[str]) -> Pool:
    """Read the pool and draw `candidates` of its documents, in memory that does not grow with the pool.

    Texts of the run are skipped, and of equal texts one is drawn.

    Args:
        known_texts: texts of the run, as `same_text` returns them.
        known_ids: ids of the run.

    Raises:
        InputMissing: the file or folder does not exist.
        SettingsError, DataError: see `inputs.open_input`; or no row is usable.
    """
    path = Path(str(settings.pool))
    pool = Pool()
    how = Reading(settings.delimiter, settings.encoding)
    given = open_input([str(settings.pool)], names(settings.text_field or "text"), how, setting="pool")
    for note in given.notes:
        log.warning(note)
    drawn = _draw(_usable(given.rows, path.name, known_texts, pool), settings.candidates, settings.seed)
    if not drawn and not pool.known:
        raise DataError(listing(f"pool={path}: holds no usable documents.", pool.problems))
    taken = set(known_ids)
    for place, row in drawn:
        name = str(row.key.get("id", place)).strip()
        if name in taken:
            pool.renamed += 1
            name = place
        taken.add(name)
        pool.candidates.append(Candidate(name, row.text, row.group))
    return pool


def _usable(rows: Iterable[Row], source: str, known_texts: Collection[str], pool: Pool) -> Iterable[tuple[str, Row]]:
    """Usable rows with their place (`pool.jsonl:17`, or the name of a file); the others are counted."""
    with meter("reading the pool", None, "rows") as progress:
        for row in rows:
            pool.rows += 1
            progress.advance(1)
            file = row.key.get("file", source)
            place = f"{file}:{row.key['row']}" if "row" in row.key else file
            problem = row.error or _id_problem(row.key.get("id"))
            if problem:
                pool.bad += 1
                if len(pool.problems) < MOST_PROBLEMS:
                    pool.problems.append(f"{place}: {problem}")
            elif same_text(row.text) in known_texts:
                pool.known += 1
            else:
                yield place, row


def _id_problem(value: Any) -> str | None:
    usable = value is None or (isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip())
    return None if usable else f"expected text or a number as id, found {value!r}"[:100]


def _draw(rows: Iterable[tuple[str, Row]], most: int, seed: int) -> list[tuple[str, Row]]:
    """`most` random rows, in their order; which ones does not depend on that order.

    Draws the rows with the smallest seeded digests of their texts: equal texts have equal digests, so that they count
    once, and only the rows drawn so far are in memory.
    """
    heap: list[tuple[int, int]] = []
    kept: dict[int, tuple[int, str, Row]] = {}
    salt = seed.to_bytes(8, "little")
    for number, (place, row) in enumerate(rows):
        text = same_text(row.text).encode()
        value = int.from_bytes(hashlib.blake2b(text, digest_size=8, salt=salt).digest(), "little")
        if value in kept or (len(heap) == most and value >= -heap[0][0]):
            continue
        kept[value] = (number, place, row)
        heapq.heappush(heap, (-value, number))
        if len(heap) > most:
            del kept[-heapq.heappop(heap)[0]]
    return [(place, row) for _, place, row in sorted(kept.values(), key=lambda item: item[0])]
