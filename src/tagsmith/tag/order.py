"""Which document a person sees next: the queue of a run, or what the suggestions plan, with a random audit."""

import math
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain

from tagsmith.tag.store import Store

CLAIM_SECONDS = 900.0
"""How long a document that one person's page has fetched is not shown to others."""

Shown = tuple[str, str]
"""The id of a document, and the reason why it is shown."""


class Order:
    """The order of a project; may be called from any thread.

    A document that a person has skipped, or that came with tags, is shown only to a person who looks for it. The audit
    is the beginning of one random order of all documents, so that its tags measure the suggestions without bias,
    however the other documents were chosen.

    Args:
        audit_share: share of the documents that belong to the audit, where no run has chosen the order.
    """

    def __init__(self, store: Store, audit_share: float, seed: int):
        self._store, self._share = store, audit_share
        self._lock = threading.Lock()
        self._claims: dict[str, tuple[str, float]] = {}
        self._plan: Sequence[Shown] = ()
        outline = store.outline()
        queued = sorted((one for one in outline if one.place is not None), key=lambda one: (one.place, one.number))
        self._queue = [(one.id, str(one.suggested.get("reason", ""))) for one in queued]
        others = [one.id for one in outline if one.place is None and one.given is None]
        random.Random(seed).shuffle(others)
        self._random = others
        self._shown = len(store.states)

    def set_plan(self, plan: Sequence[Shown]) -> None:
        """What to show from now on, best first; documents that are not in it follow in random order."""
        self._plan = plan

    def next(self, person: str, most: int, without: Collection[str], now: float | None = None) -> list[Shown]:
        """The next documents for a person, at most `most`, without those that their page has already."""
        now = time.monotonic() if now is None else now
        states = self._store.snapshot()
        with self._lock:
            self._claims = {name: claim for name, claim in self._claims.items() if claim[1] > now - CLAIM_SECONDS}

            def free(name: str) -> bool:
                state, claim = states.get(name), self._claims.get(name)
                taken = claim is not None and claim[0] != person
                return (state is None or state.status is None) and not taken and name not in given

            given = set(without)
            found: list[Shown] = []
            while len(found) < most and (shown := next(self._candidates(free), None)) is not None:
                found.append(shown)
                given.add(shown[0])
                self._claims[shown[0]] = (person, now)
                self._shown += 1
            for name in without:
                self._claims[name] = (person, now)
        return found

    def _candidates(self, free: Callable[[str], bool]) -> Iterator[Shown]:
        audit = ((name, "audit") for name in self._random)
        due = math.floor((self._shown + 1) * self._share) > math.floor(self._shown * self._share)
        ordered = chain(audit, self._plan) if due else chain(self._plan, ((name, "random") for name in self._random))
        return (shown for shown in chain(self._queue, ordered) if free(shown[0]))
