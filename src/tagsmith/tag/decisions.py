"""What people decide about a document, and what follows from all decisions; pure functions."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise
from typing import Any

from tagsmith.tag.classes import Again

LONGEST_BREAK = 300.0
"""Seconds between two decisions beyond which a person was not tagging."""

RECENT = 50
"""Tags from which the pace is computed."""

CHOSEN = "chosen"
"""The reason of a document that the person has looked for."""

ALIKE = "alike"
"""The reason of a document that was tagged together with another one of nearly the same text."""

SECOND_PASS = "second_pass"
"""The reason of a document that its own person tags a second time, without the first tag and the suggestions in view.
A tag with this reason measures how consistent the person is, and changes nothing."""


class Kind(Enum):
    """The kinds of decisions."""

    tag = "tag"
    skip = "skip"
    flag = "flag"
    note = "note"
    undo = "undo"
    settle = "settle"  # A tag by somebody who has seen what the others answered.


@dataclass(frozen=True)
class Decision:
    """One line of the log, which only grows.

    Attributes:
        key: made by the page; a decision that is sent again after a lost answer has the same one, and counts once.
        document: id of the document.
        tags: the classes of a `tag` or `settle`.
        note: the text of a `note`; "" removes an earlier one.
        suggestion: the classes that the page suggested, best first.
        reason: why the document was shown: a reason of a queue, or `chosen` by the person.
        at: seconds since 1970.
        undoes: number of the decision that an `undo` takes back.
        helped: whether suggestions were shown.
        alike: of documents that were tagged together: the key of the decision on the one that was shown.
        again: why the tags, which are those by the names that classes have now, have to be given again.
        source: where the suggestions came from, a value of `accepted.Source`; "" without suggestions.
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
    helped: bool = False
    again: Again | None = None
    source: str = ""
    alike: str = ""

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
class Second:
    """A second answer of a person to a document, given without the first one in view; tags None: skipped."""

    person: str
    first: tuple[str, ...]
    tags: tuple[str, ...] | None
    number: int

    @property
    def differs(self) -> bool:
        return self.tags is not None and set(self.tags) != set(self.first)


@dataclass(frozen=True)
class State:
    """What the decisions on a document amount to.

    Attributes:
        status: the last of `tag` and `skip`; where several people answer, `tag` if their tags are the same or somebody
            has settled them, `settle` if they differ, `skip` if all have skipped; None where there is neither.
        tags: None unless the status is `tag`.
        person, at, reason, helped: of the decision that is the status, or of the last one.
        number: of the last decision.
        full: whether nobody else is needed for this document.
        settled: whether the tags are those of somebody who has settled them.
        disputed: whether the answers wait to be settled.
        people: where several people answer, what the decisions of each of them amount to.
        seconds: the second answers to the document.
        alike: of documents that were tagged together by the last decision: the same text, otherwise "".
        again: why the last tags have to be given again: their classes have changed; the status is None.
    """

    status: Kind | None = None
    tags: tuple[str, ...] | None = None
    flagged: bool = False
    note: str = ""
    person: str = ""
    at: float = 0.0
    number: int = 0
    reason: str = ""
    helped: bool = False
    full: bool = False
    settled: bool = False
    disputed: bool = False
    people: Mapping[str, "State"] = field(default_factory=dict)
    seconds: tuple[Second, ...] = ()
    again: Again | None = None
    alike: str = ""

    @property
    def answers(self) -> dict[str, "State"]:
        """The answer of each person: a tag or a skip. Of a document for one person, that of the last one."""
        if not self.people:
            return {self.person: self} if self.status is not None else {}
        return {person: one for person, one in self.people.items() if one.status is not None}

    def seen_by(self, person: str) -> "State | None":
        """What the person may see: while others are still to answer, only what the person has decided."""
        return self.people.get(person) if self.people and not self.full else self


def state_of(decisions: Iterable[Decision], wanted: int = 1) -> State | None:
    """The state of one document by its decisions that were not undone, in their order; None without any.

    Args:
        wanted: people who answer independently; 1: the last tag counts.
    """
    found = list(decisions)
    if (last := _last_counts(found)) is None or wanted == 1:
        return last
    own = dict[str, State]()
    for person in dict.fromkeys(one.person for one in found):
        some = [one for one in found if one.person == person and one.kind is not Kind.settle]
        if (state := _last_counts(some)) is not None:
            own[person] = state
    answers = {person: one for person, one in own.items() if one.status is not None}
    tagged = [one for one in answers.values() if one.status is Kind.tag]
    settled = next((one for one in reversed(found) if one.kind is Kind.settle and one.again is None), None)
    state = replace(
        last,
        flagged=any(one.flagged for one in own.values()),
        note="\n".join(f"{person}: {one.note}" for person, one in own.items() if one.note),
        people=own,
        settled=settled is not None,
    )
    if settled is not None:
        tags, by = settled.tags, settled.person
        return replace(state, status=Kind.tag, tags=tags, person=by, at=settled.at, full=True, disputed=False)
    differ = len({frozenset(one.tags or ()) for one in tagged}) > 1
    full = len(answers) >= wanted
    return replace(
        state,
        status=Kind.settle if differ else Kind.tag if tagged else Kind.skip if answers else None,
        tags=tagged[-1].tags if tagged and not differ else None,
        person=", ".join(answers) or last.person,
        full=full,
        disputed=full and (differ or any(one.disputed for one in own.values())),
    )


def _last_counts(decisions: Sequence[Decision]) -> State | None:
    """The state by decisions of which the last tag or skip counts."""
    now, first, seconds = State(), dict[str, tuple[str, ...]](), list[Second]()
    decided = 0
    for one in decisions:
        now = replace(now, number=one.number)
        if one.reason == SECOND_PASS and one.kind in (Kind.tag, Kind.skip):
            if one.person in first and one.again is None:
                tags = one.tags if one.kind is Kind.tag else None
                seconds.append(Second(one.person, first[one.person], tags, one.number))
        elif one.again is not None:
            now = replace(now, status=None, tags=None, again=one.again, reason=one.reason, full=False, settled=False)
            first.pop(one.person, None)
        elif one.kind in (Kind.tag, Kind.skip, Kind.settle):
            status = Kind.skip if one.kind is Kind.skip else Kind.tag
            now = replace(
                now, status=status, tags=None if status is Kind.skip else one.tags, person=one.person, at=one.at,
                reason=one.reason, helped=one.helped, full=True, settled=one.kind is Kind.settle, again=None,
                alike=one.alike,
            )  # fmt: skip
            decided = one.number
            if one.kind is Kind.tag:
                first[one.person] = one.tags
        elif one.kind is Kind.flag:
            now = replace(now, flagged=not now.flagged)
        elif one.kind is Kind.note:
            now = replace(now, note=one.note)
        if now.status is None:
            now = replace(now, person=one.person, at=one.at)
    disputed = any(one.differs and one.number > decided for one in seconds)
    return replace(now, seconds=tuple(seconds), disputed=disputed) if decisions else None


def tags_of(document: "StoredDocument", state: State | None) -> tuple[str, ...] | None:
    """The tags of a document: those of people, or else those that it came with; a suspected tag is none."""
    if state is None or state.status is None:
        return document.given if document.place is None else None
    return state.tags


def kind_of(kind: Kind, reason: str, state: State | None) -> Kind:
    """The kind of a person's tag or skip: a tag of a document whose answers they have seen settles it."""
    seen = reason == CHOSEN and state is not None and bool(state.people) and state.full
    return Kind.settle if kind is Kind.tag and seen else kind


def place(document: str, salt: str) -> float:
    """A number from 0 to 1 that is random, but always the same for a document and a purpose."""
    return int.from_bytes(hashlib.blake2b(f"{salt} {document}".encode(), digest_size=8).digest()) / 2**64


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
        again: why the given tags have to be given again; `given` is None then.
    """

    id: str
    text: str
    group: str | None = None
    given: tuple[str, ...] | None = None
    place: int | None = None
    suggested: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    again: Again | None = None
