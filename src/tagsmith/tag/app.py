"""The requests of the page about documents and decisions."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import Field
from starlette.types import ASGIApp

from tagsmith.core.errors import TagsmithError
from tagsmith.tag.accepted import Source
from tagsmith.tag.alike import MOST, Copies
from tagsmith.tag.class_requests import ClassRequests, collision
from tagsmith.tag.decisions import ALIKE, CHOSEN, SECOND_PASS, Decision, Kind, StoredDocument, kind_of
from tagsmith.tag.export import next_command, write_tags
from tagsmith.tag.guard import Refused
from tagsmith.tag.listing import EXAMPLE, examples, listed, shown
from tagsmith.tag.modes import Modes
from tagsmith.tag.order import Order
from tagsmith.tag.people import People
from tagsmith.tag.stop import Stop
from tagsmith.tag.store import Store
from tagsmith.tag.suggestions import Suggestions
from tagsmith.tag.training import Training
from tagsmith.tag.web import Nothing, One, Route, Strict, application


class Next(Strict):
    """The documents to show next, without those that the page has."""

    count: int = Field(ge=1, le=10)
    without: list[str] = Field(default=[], max_length=20)


class Given(Enum):
    """The kinds of decisions that a page sends; `undo` has a request of its own."""

    tag = "tag"
    skip = "skip"
    flag = "flag"
    note = "note"


class Decided(Strict):
    """A decision; see `decisions.Decision`."""

    key: str = Field(min_length=8, max_length=64)
    document: str
    kind: Given
    tags: list[str] = Field(default=[])
    note: str = Field(default="", max_length=10_000)
    suggestion: list[str] = Field(default=[])
    reason: str = Field(default="", max_length=40)
    source: Source | None = None
    alike: list[str] = Field(default=[], max_length=MOST)
    classes: int = Field(default=2**31, description="the version of the classes that the page has seen")


class Undo(Strict):
    """Take back the person's last decision."""

    key: str = Field(min_length=8, max_length=64)


class Find(Strict):
    """A part of the list of decisions; see `listing.listed`."""

    search: str = Field(default="", max_length=1000)
    which: str = "all"
    offset: int = Field(default=0, ge=0)


class Tagging:
    """The page of a project; `app` is the ASGI app.

    Args:
        tokens: the person of each token.
        local: see `Guard`.
        blind: whether suggestions are hidden.
        words: see `Training`.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        order: Order,
        suggestions: Suggestions,
        stop: Stop,
        copies: Copies,
        modes: Modes,
        tokens: dict[str, str],
        local: bool = True,
        blind: bool = False,
        words: Sequence[str] = (),
    ):
        self._folder, self._store = folder, store
        self._order, self._suggestions, self._stop, self._blind = order, suggestions, stop, blind
        self._training, self._copies = Training(folder, store, words), copies
        self._modes = modes
        self.app: ASGIApp = application(self.routes(), tokens, local)

    @property
    def suggestions(self) -> Suggestions:
        return self._suggestions

    def routes(self) -> Iterator[Route]:
        yield Route("project", Nothing, self.project)
        yield Route("next", Next, self.next)
        yield Route("decisions", Decided, self.decide)
        yield Route("undo", Undo, self.undo)
        yield Route(
            "list", Find, lambda body, person: listed(self._store, body.search, body.which, body.offset, 50, person)
        )
        yield Route("document", One, self.document)
        yield Route("alike", One, self.alike)
        yield Route("examples", One, lambda body, _: {"texts": examples(self._store, body.name)})
        yield Route("export", Nothing, self.export)
        yield from ClassRequests(self._store, self._suggestions.classes_changed, self._state).routes()
        yield from self._modes.routes()
        yield from People(self._store).routes()
        yield from self._stop.routes()
        yield from self._training.routes()

    def project(self, _: Nothing, person: str) -> dict[str, Any]:
        """What the page needs once."""
        history = self._store.history
        return {
            "name": self._folder.resolve().name,
            "person": person,
            "multi_label": history.schema.multi_label,
            "classes": [{"name": name, "guideline": text} for name, text in history.guidelines.items()],
            **self._state(person),
        }

    def next(self, body: Next, person: str) -> dict[str, Any]:
        found = self._order.next(person, body.count, body.without)
        return {"documents": [self._shown(name, reason, person) for name, reason in found], **self._state(person)}

    def decide(self, body: Decided, person: str) -> dict[str, Any]:
        """Save a decision; the answer is sent when it is on the disk."""
        document = self._known(body.document)
        kind = Kind(body.kind.value)
        tags, suggestion = self._tags(body) if kind is Kind.tag else ((), ())
        state = self._store.states.get(body.document)
        if kind is Kind.skip and kind_of(Kind.tag, body.reason, state) is Kind.settle:
            raise Refused(409, "All people have answered this document; a class settles it.")
        note = body.note.strip() if kind is Kind.note else ""
        helped = not self._hides(body.reason) and bool(suggestion or self._suggestions.of(document))
        decision = Decision(
            body.key,
            body.document,
            kind_of(kind, body.reason, state),
            person,
            time.time(),
            tags,
            note,
            suggestion,
            body.reason,
            helped=helped,
            source=body.source.value if body.source else "",
            alike=body.key if body.alike else "",
        )
        self._store.decide(decision, *self._alike(decision, body.alike))
        self._suggestions.decided()
        said = collision(self._store, body.document, person) if kind is Kind.tag else None
        return {"collision": said, **self._state(person)}

    def _tags(self, body: Decided) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The tags and the suggestions of a decision by the names that classes have now."""
        history = self._store.history
        tags, again = history.of_version(list(dict.fromkeys(body.tags)), body.classes)
        suggestion, _ = history.of_version(body.suggestion, body.classes)
        if again is not None:
            raise Refused(409, f"The class {again.had[0]!r} has just been changed; choose again.")
        if unknown := [name for name in (*tags, *suggestion) if name not in history.guidelines]:
            raise Refused(422, f"Unknown class {unknown[0]!r}; reload the page.")
        if not history.schema.multi_label and len(tags) != 1:
            raise Refused(422, f"Expected one class, found {len(tags)}.")
        return tags, suggestion

    def undo(self, body: Undo, person: str) -> dict[str, Any]:
        """Take back the person's last decision; the answer holds its document, None where there is nothing left."""
        undone = self._store.undo(body.key, person, time.time())
        if undone is None:
            return {"document": None, "kind": None, **self._state(person)}
        self._suggestions.decided()
        document = self._shown(undone.document, undone.reason or CHOSEN, person)
        return {"document": document, "kind": undone.kind.value, "taken_back": list(undone.tags), **self._state(person)}

    def document(self, body: One, person: str) -> dict[str, Any]:
        """A document that the person wants to decide again."""
        self._known(body.name)
        return self._shown(body.name, CHOSEN, person)

    def export(self, _: Nothing, person: str) -> dict[str, Any]:
        """Write the tags, as `action=export` does."""
        try:
            paths, count = write_tags(self._folder, self._store, self._store.history.schema)
        except TagsmithError as error:
            raise Refused(409, str(error)) from None
        command = next_command(self._folder, self._store)
        return {"files": [str(path) for path in paths], "tags": count, "command": command}

    def alike(self, body: One, person: str) -> dict[str, Any]:
        """The near-copies of a document that the person may tag together with it."""
        found = self._copies.of(self._known(body.name), person)
        return {"documents": [{"id": one.id, "text": one.text[:EXAMPLE]} for one in found]}

    def _alike(self, decision: Decision, names: Sequence[str]) -> list[Decision]:
        """The same decision on near-copies, each with the suggestions that it had itself."""
        found = []
        for i, name in enumerate(dict.fromkeys(names), 1):
            suggested = [one["name"] for one in self._suggestions.of(self._known(name))]
            own = () if self._hides(decision.reason) else tuple(suggested)
            key = f"{decision.key} {i}"
            found.append(replace(decision, key=key, document=name, kind=Kind.tag, reason=ALIKE, suggestion=own))
        return found

    def _known(self, name: str) -> StoredDocument:
        if (document := self._store.document(name)) is None:
            raise Refused(404, "There is no such document; reload the page.")
        return document

    def _hides(self, reason: str) -> bool:
        """Whether a document is shown without suggestions."""
        return self._blind or reason == SECOND_PASS

    def _shown(self, name: str, reason: str, person: str) -> dict[str, Any]:
        document, state = self._known(name), self._store.states.get(name)
        state = None if state is None or reason == SECOND_PASS else state.seen_by(person)
        found = shown(document, state, [] if self._hides(reason) else self._suggestions.of(document), reason)
        return {**found, "alike": len(self._copies.of(document, person)) if reason != SECOND_PASS else 0}

    def _state(self, person: str) -> dict[str, Any]:
        return {
            "progress": self._store.progress(person),
            "status": self._suggestions.status,
            "accepted": self._suggestions.accepted,
            "classes_version": self._store.history.version,
            "outlook": self._stop.brief(),
        }
