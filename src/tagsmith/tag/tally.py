"""Counts of the states of a project, kept up to date by each decision, so that none of them looks at all documents."""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from typing import Any

from tagsmith.tag.decisions import RECENT, Kind, State, tags_an_hour


class Tally:
    """Counts over the documents of a project.

    Args:
        documents: how many there are.
        given: those that came with tags and are shown only to a person who looks for them.

    Attributes:
        waiting: documents with an answer that others are still to answer, in the order of the first answers.
        reopened: grows when a document needs an answer again, by an undo.
    """

    def __init__(self, documents: int, given: set[str]):
        self._documents, self._given = documents, given
        self._counts: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._times: defaultdict[str, list[float]] = defaultdict(list)
        self.waiting: dict[str, State] = {}
        self.reopened = 0

    def change(self, document: str, before: State | None, after: State | None) -> None:
        """Replace the state of a document."""
        for state, by in ((before, -1), (after, 1)):
            if state is not None:
                self._add(document, state, by)
        if after is not None and not after.full and after.answers:
            self.waiting[document] = after
        else:
            self.waiting.pop(document, None)
        self.reopened += before is not None and (after is None or len(after.answers) < len(before.answers))

    def _add(self, document: str, state: State, by: int) -> None:
        counts, answers = self._counts, state.answers
        counts["tagged"] += by * (state.status is Kind.tag)
        counts["skipped"] += by * (state.status is Kind.skip)
        counts["flagged"] += by * state.flagged
        counts["disputed"] += by * state.disputed
        counts["full"] += by * (state.full and state.status is not None)
        counts["given"] += by * (document in self._given and state.status is not None)
        for person, answer in answers.items():
            if not state.full:
                self._answered[person] += by
            if answer.status is Kind.tag:
                times = self._times[person]
                if by > 0:
                    insort(times, answer.at)
                else:
                    del times[bisect_left(times, answer.at)]

    @property
    def tagged(self) -> int:
        """Documents with a tag by people."""
        return self._counts["tagged"]

    def paces(self) -> dict[str, tuple[int, float | None]]:
        """By person, the number of tags that count, and how many they set an hour."""
        return {person: (len(times), tags_an_hour(times)) for person, times in sorted(self._times.items()) if times}

    def progress(self, person: str) -> dict[str, Any]:
        """The counts for the page of a person; `left`: documents that the person is still to answer."""
        counts = self._counts
        given = len(self._given) - counts["given"]
        return {
            "documents": self._documents,
            "given": given,
            "tagged": counts["tagged"],
            "skipped": counts["skipped"],
            "left": self._documents - given - counts["full"] - self._answered[person],
            "flagged": counts["flagged"],
            "disputed": counts["disputed"],
            "tags_an_hour": tags_an_hour(self._times[person][-RECENT:]),
        }
