"""Row documents, however many: those among which the next ones to tag are looked for."""

import hashlib
import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagsmith.classify.files.inputs import Row, open_input
from tagsmith.core.errors import DataError, InputMissing, listing
from tagsmith.core.progress import meter
from tagsmith.data.check import same_text

MOST_TOLD = 1000
"""Bad rows that are kept to be told; the others are counted."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An untagged document: its id, or where it stands, and its text and group."""

    id: str
    text: str
    group: str | None = None


@dataclass
class Pool:
    """What was read.

    Attributes:
        candidates: drawn at random, in the order of the pool.
        rows: all that were read.
        known: rows with the text of a document of the run.
        bad: rows that cannot be used; problems: what is wrong with the first of them.
        renamed: candidates with the id of another document; they are named by their place.
    """

    candidates: list[Candidate] = field(default_factory=list)
    rows: int = 0
    known: int = 0
    bad: int = 0
    problems: list[str] = field(default_factory=list)
    renamed: int = 0


def read_pool(
    path: Path, text_field: str, delimiter: str | None, encoding: str, most: int, seed: int,
    known_texts: Collection[str], known_ids: Collection[str],
) -> Pool:  # fmt: skip
    """Read a pool in memory that is bounded by `most`, the number of its documents that are drawn as candidates.

    Texts of the run are passed over, and of equal texts one is drawn.

    Args:
        known_texts: those of the run, in the form of `same_text`.
        known_ids: those of the run.

    Raises:
        InputMissing: there is no such file or folder.
        SettingsError, DataError: see `inputs.open_input`; none of its rows can be used.
    """
    if not path.exists():
        raise InputMissing(f"pool={path}: does not exist (looked for it from {Path.cwd()}).")
    pool = Pool()
    rows = open_input(path, text_field, delimiter, encoding, setting="pool").rows
    drawn = _draw(_usable(rows, path.name, known_texts, pool), most, seed)
    if not drawn and not pool.known:
        raise DataError(listing(f"pool={path}: holds no document that can be used.", pool.problems))
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
    """Rows with where they stand (`pool.jsonl:17`, or the name of a file); the others are counted."""
    with meter("reading the pool", None, "rows") as progress:
        for row in rows:
            pool.rows += 1
            progress.advance(1)
            place = row.key["file"] if "file" in row.key else f"{source}:{row.key['row']}"
            wrong = row.error or _wrong_id(row.key.get("id"))
            if wrong:
                pool.bad += 1
                if len(pool.problems) < MOST_TOLD:
                    pool.problems.append(f"{place}: {wrong}")
            elif same_text(row.text) in known_texts:
                pool.known += 1
            else:
                yield place, row


def _wrong_id(value: Any) -> str | None:
    usable = value is None or (isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip())
    return None if usable else f"expected text or a number as id, found {value!r}"[:100]


def _draw(rows: Iterable[tuple[str, Row]], most: int, seed: int) -> list[tuple[str, Row]]:
    """`most` rows at random, in their order; the same ones whatever that order is.

    Those whose seeded digests of the text are the least: equal texts have equal digests, so that they count once, and
    nothing but the rows drawn so far is remembered.
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
