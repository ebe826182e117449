"""What a person decides about a document, and what follows from all decisions; pure functions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Any

LONGEST_BREAK = 300.0
"""Seconds between two decisions beyond which a person was not tagging."""

RECENT = 50
"""Tags from which the pace is computed."""


class Kind(Enum):
    """The kinds of decisions."""

    tag = "tag"
    skip = "skip"
    flag = "flag"
    note = "note"
    undo = "undo"


@dataclass(frozen=True)
class Decision:
    """One line of the log, which only grows.

    Attributes:
        key: made by the page; a decision that is sent again after a lost answer has the same one, and counts once.
        document: id of the document.
        tags: the classes of a `tag`.
        note: the text of a `note`; "" removes an earlier one.
        suggestion: the classes that the page suggested, best first.
        reason: why the document was shown: a reason of a queue, or `chosen` by the person.
        at: seconds since 1970.
        undoes: number of the decision that an `undo` takes back.
    """

    key: str
    document: str
    kind: Kind
    person: str
    at: float
    tags: tuple[str, ...] = ()
    note: str = ""
    suggestion: tuple[str, ...] = ()
    reason: str = ""
    undoes: int | None = None
    number: int = 0

    def rank(self, multi_label: bool) -> int | None:
        """The place from 1 of the tag among the suggestions, None if it is not among them.

        Multi-label: 1 where the tags are exactly the suggested ones.
        """
        if self.kind is not Kind.tag or not self.suggestion:
            return None
        if multi_label:
            return 1 if set(self.tags) == set(self.suggestion) else None
        return self.suggestion.index(self.tags[0]) + 1 if self.tags[0] in self.suggestion else None


@dataclass(frozen=True)
class State:
    """What the decisions on a document amount to.

    Attributes:
        status: the last of `tag` and `skip`; None where there is neither.
        tags: None unless the status is `tag`.
        person, at: of the decision that is the status, or of the last one.
        number: of the last decision.
    """

    status: Kind | None = None
    tags: tuple[str, ...] | None = None
    flagged: bool = False
    note: str = ""
    person: str = ""
    at: float = 0.0
    number: int = 0


def state_of(decisions: Iterable[Decision]) -> State | None:
    """The state of one document by its decisions that were not undone, in their order; None without any."""
    status, tags, flagged, note, person, at, number = None, None, False, "", "", 0.0, 0
    for one in decisions:
        number = one.number
        if one.kind in (Kind.tag, Kind.skip):
            status, person, at = one.kind, one.person, one.at
            tags = one.tags if one.kind is Kind.tag else None
        elif one.kind is Kind.flag:
            flagged = not flagged
        elif one.kind is Kind.note:
            note = one.note
        if status is None:
            person, at = one.person, one.at
    return State(status, tags, flagged, note, person, at, number) if number else None


def tags_an_hour(times: Sequence[float]) -> float | None:
    """The pace by the times of a person's last `RECENT` tags, ascending, without breaks; None with fewer than 5."""
    recent = times[-RECENT:]
    if len(recent) < 5:
        return None
    gaps = [later - earlier for earlier, later in pairwise(recent)]
    worked = [gap for gap in gaps if gap <= LONGEST_BREAK]
    seconds = sum(worked)
    return 3600 * len(worked) / seconds if seconds > 0 else None


@dataclass(frozen=True)
class StoredDocument:
    """A document of the project.

    Attributes:
        number: its place in the order in which documents were added, from 1.
        given: the tags that it came with; None: none.
        place: its place in the queue of a run, if it is in one.
        suggested: the line of that queue: `suggested`, `scores` and `reason`.
    """

    id: str
    text: str
    group: str | None = None
    given: tuple[str, ...] | None = None
    place: int | None = None
    suggested: dict[str, Any] = field(default_factory=dict)
    number: int = 0
