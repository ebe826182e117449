"""Which document a person sees next: the queue of a run, or what the suggestions plan, with a random audit."""

import math
import random
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

from tagsmith.tag.decisions import SECOND_PASS, Kind, State, StoredDocument, place
from tagsmith.tag.store import Store

CLAIM_SECONDS = 900.0
"""How long a document that one person's page has fetched counts as being answered by that person."""

SINCE = 20
"""Tags of a person between the first answer to a document and the second one, at least."""

Shown = tuple[str, str]
"""The id of a document, and the reason why it is shown."""


class _Line:
    """Documents in an order; the first ones that nobody is needed for are passed over once, not at each request."""

    def __init__(self, documents: Sequence[Shown]):
        self._documents, self._start = documents, 0

    def reset(self) -> None:
        self._start = 0

    def left(self, store: Store) -> Iterator[Shown]:
        states, documents = store.states, self._documents
        while self._start < len(documents) and (state := states.get(documents[self._start][0])) and state.full:
            self._start += 1
        return (documents[i] for i in range(self._start, len(documents)))


class Order:
    """The order of a project; may be called from any thread.

    Documents whose classes were split or deleted come first. A document is shown to as many people as are to answer it.
    One that a person has skipped, or that came with tags, is shown only to a person who looks for it. The audit is the
    beginning of one random order of all documents, so that its tags measure the suggestions without bias, however the
    other documents were chosen.

    Args:
        audit_share: share of the documents that belong to the audit, where no run has chosen the order.
        second_share: share of the documents that a person has tagged before, to be tagged again.
    """

    def __init__(self, store: Store, audit_share: float, seed: int, second_share: float = 0.0):
        self._store, self._share, self._second_share = store, audit_share, second_share
        self._lock = threading.Lock()
        self._claims: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._claimed: deque[tuple[float, str, str]] = deque()  # In the order of time.
        self._plan: Sequence[Shown] = ()
        outline = store.outline()
        queued = sorted((one for one in outline if one.place is not None), key=lambda one: (one.place, one.number))
        self._queue = _Line([(one.id, str(one.suggested.get("reason", ""))) for one in queued])
        self._random = random_order([one.id for one in outline if one.place is None and one.given is None], seed)
        self._audit = _Line([(name, "audit") for name in self._random])
        self._others = _Line([(name, "random") for name in self._random])
        self._reopened = (store.tally, 0)
        self._shown = len(store.states)
        self._shown_to: Counter[str] = Counter()
        self._draw = random.Random(seed)

    def set_plan(self, plan: Sequence[Shown]) -> None:
        """What to show from now on, best first; documents that are not in it follow in random order."""
        self._plan = plan

    def next(self, person: str, most: int, without: Collection[str], now: float | None = None) -> list[Shown]:
        """The next documents for a person, at most `most`, without those that their page has already."""
        now = time.monotonic() if now is None else now
        states = self._store.states
        with self._lock:
            tally = self._store.tally
            if self._reopened != (tally, tally.reopened):
                self._reopened = (tally, tally.reopened)
                for line in (self._queue, self._audit, self._others):
                    line.reset()
            self._forget(now - CLAIM_SECONDS)
            given = set(without)

            def free(name: str) -> bool:
                if name in given or ((state := states.get(name)) is not None and state.full):
                    return False
                answered = set() if state is None else set(state.answers)
                return person not in answered and len({*answered, *self._claims.get(name, ())} - {person}) < (
                    self._store.wanted(name)
                )

            found: list[Shown] = []
            while len(found) < most and (
                shown := self._second(person, given) or next((one for one in self._candidates() if free(one[0])), None)
            ):
                found.append(shown)
                given.add(shown[0])
                self._shown_to[person] += 1
                if shown[1] != SECOND_PASS:
                    self._claim(shown[0], person, now)
                    self._shown += 1
            for name in without:
                self._claim(name, person, now)
        return found

    def _claim(self, name: str, person: str, now: float) -> None:
        self._claims[name][person] = now
        self._claimed.append((now, name, person))

    def _forget(self, before: float) -> None:
        """Drop the claims that were not renewed since."""
        while self._claimed and self._claimed[0][0] <= before:
            since, name, person = self._claimed.popleft()
            if self._claims.get(name, {}).get(person) == since:
                del self._claims[name][person]
                if not self._claims[name]:
                    del self._claims[name]

    def _candidates(self) -> Iterator[Shown]:
        started = ((name, state.reason) for name, state in [*self._store.tally.waiting.items()])
        rest = self._others.left(self._store)
        due = _due(self._shown, self._share)
        ordered = chain(self._audit.left(self._store), self._plan) if due else chain(self._plan, rest)
        again = ((name, "classes") for name in self._store.again)
        return chain(started, again, self._queue.left(self._store), ordered)

    def _second(self, person: str, without: Collection[str]) -> Shown | None:
        """A document that the person has tagged, from time to time."""
        if not _due(self._shown_to[person], self._second_share):
            return None
        own = [
            (answer.at, name)
            for name, state in [*self._store.states.items()]
            if (answer := state.answers.get(person)) is not None and answer.status is Kind.tag and not state.settled
            if name not in without and all(one.person != person for one in state.seconds)
        ]
        own.sort()
        return (self._draw.choice(own[:-SINCE])[1], SECOND_PASS) if len(own) > SINCE else None


def random_order(names: Sequence[str], seed: int) -> list[str]:
    """Documents in a random order which later documents join without changing that of the others."""
    return sorted(names, key=lambda name: place(name, str(seed)))


def audited(outline: Sequence[StoredDocument], states: Mapping[str, State], seed: int) -> set[str]:
    """The documents of the audit: those of a run's queue, or the random order as far as it was shown.

    All documents up to that point count, also those that were shown for another reason first: left out, the sample
    would lack the ones that the regression is most uncertain about.
    """
    names = random_order([one.id for one in outline if one.place is None and one.given is None], seed)
    shown = [i for i, name in enumerate(names) if name in states and states[name].reason in ("audit", "random")]
    queued = {one.id for one in outline if one.place is not None and one.suggested.get("reason") == "audit"}
    return {*names[: max(shown, default=-1) + 1], *queued}


def _due(shown: int, share: float) -> bool:
    return math.floor((shown + 1) * share) > math.floor(shown * share)
