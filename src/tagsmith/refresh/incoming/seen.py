"""What a refresh remembers of each document, and how documents of two days are matched."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any

from tagsmith.data.check import same_text
from tagsmith.data.documents import Document

LETTERS = 200
"""Letters of a text that decide its writing system."""

EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO"}
"""Writing systems that one Japanese or Chinese text mixes; they count as one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A document as a refresh remembers it.

    Attributes:
        sha256: of the text as `same_text` returns it.
        length: characters of the text.
        script: the writing system of most of its letters, such as latin; "" without letters.
        text, place: of documents that were just read; "" of those of an earlier refresh.
    """

    id: str | None
    sha256: str
    labels: tuple[str, ...]
    length: int
    language: str | None
    script: str
    text: str = field(default="", compare=False)
    place: str = field(default="", compare=False)

    @classmethod
    def of(cls, document: Document, labels: Iterable[str]) -> "Seen":
        text, place = document.text, f"{document.file}:{document.row}"
        code = sha256(same_text(text).encode("utf-8", "backslashreplace")).hexdigest()
        labels = tuple(sorted(labels))
        return cls(document.id, code, labels, len(text), document.language, script_of(text), text, place)

    def as_json(self) -> dict[str, Any]:
        """The line of `seen.jsonl`; without the text, which the run has."""
        stored = ("id", "sha256", "labels", "length", "language", "script")
        return {name: getattr(self, name) for name in stored}

    @classmethod
    def of_json(cls, line: Mapping[str, Any]) -> "Seen":
        """Raises: KeyError where a field is missing."""
        return cls(line["id"], line["sha256"], tuple(line["labels"]), line["length"], line["language"], line["script"])

    def example(self) -> dict[str, Any]:
        """What a person needs to find the document."""
        found = {"id": self.id, "place": self.place, "text": self.text[:80], "labels": list(self.labels)}
        return {name: value for name, value in found.items() if value not in (None, "")}

    def __str__(self) -> str:
        name = self.place or self.id or f"a text with SHA-256 {self.sha256[:12]}"
        text = f": {' '.join(self.text[:80].split())!r}" if self.text else ""
        return f"{name} ({'+'.join(self.labels) or 'no class'}){text}"


@dataclass(frozen=True)
class Matched:
    """The documents of today beside those of before.

    Attributes:
        new: documents that were not there; of several new ones with one text and no id, the first.
        copies: further documents of today, without an id, whose text there is already.
        changed: documents of both days with other tags or another text, as (before, today).
        withdrawn: documents of before whose id and text are gone.
    """

    new: list[Seen]
    copies: list[Seen]
    changed: list[tuple[Seen, Seen]]
    withdrawn: list[Seen]

    @property
    def retagged(self) -> list[tuple[Seen, Seen]]:
        return [(one, other) for one, other in self.changed if one.labels != other.labels]

    @property
    def edited(self) -> list[tuple[Seen, Seen]]:
        return [(one, other) for one, other in self.changed if one.sha256 != other.sha256]


def match(before: Sequence[Seen], today: Sequence[Seen]) -> Matched:
    """Match documents by their id, and the others by their text; so an id column may come or go."""
    by_id = {one.id: one for one in before if one.id is not None}
    pairs: list[tuple[Seen, Seen]] = []
    rest: list[Seen] = []
    used: set[int] = set()
    for one in today:
        if one.id is not None and (same := by_id.get(one.id)) is not None:
            pairs.append((same, one))
            used.add(id(same))
        else:
            rest.append(one)
    by_text: defaultdict[str, list[Seen]] = defaultdict(list)
    for one in reversed(before):
        if id(one) not in used:
            by_text[one.sha256].append(one)
    unmatched = []
    for alike in (True, False):  # Copies with the same tags first.
        unmatched, rest = rest, []
        for one in unmatched:
            there = by_text.get(one.sha256, [])
            fitting = [at for at, other in enumerate(there) if not alike or other.labels == one.labels]
            if fitting:
                pairs.append((there.pop(fitting[-1]), one))
            else:
                rest.append(one)
    known = {one.sha256 for _, one in pairs}
    new: list[Seen] = []
    copies: list[Seen] = []
    for one in rest:
        (copies if one.id is None and one.sha256 in known else new).append(one)
        known.add(one.sha256)
    texts = {one.sha256 for one in today}
    left = [one for there in by_text.values() for one in there]
    withdrawn = [one for one in left if one.id is not None or one.sha256 not in texts]
    order = {id(one): i for i, one in enumerate(before)}
    withdrawn.sort(key=lambda one: order[id(one)])
    changed = [(one, other) for one, other in pairs if (one.labels, one.sha256) != (other.labels, other.sha256)]
    return Matched(new, copies, changed, withdrawn)


def script_of(text: str) -> str:
    """The writing system of most of the first letters of a text, such as latin; "" where it has none."""
    if text[:LETTERS].isascii() and any(character.isalpha() for character in text[:LETTERS]):
        return "latin"
    counts: Counter[str] = Counter()
    for character in text[: 10 * LETTERS]:
        if script := _script(character):
            counts[script] += 1
            if counts.total() >= LETTERS:
                break
    return counts.most_common(1)[0][0] if counts else ""


@cache
def _script(character: str) -> str:
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").partition(" ")[0]
    return "east asian" if name in EAST_ASIAN else name.lower()
