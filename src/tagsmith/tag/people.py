"""What the page shows about several people: how well they agree, and where their answers wait to be settled."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from tagsmith.tag.decisions import State
from tagsmith.tag.store import Store
from tagsmith.tag.web import Nothing, Route, Strict


class Disputed(Strict):
    """A part of the documents whose answers wait to be settled."""

    offset: int = Field(default=0, ge=0)


class People:
    """The requests of the page about several people.

    A document is settled by a decision on it, as from the list: see `decisions.kind_of`.
    """

    def __init__(self, store: Store):
        self._store = store

    def routes(self) -> Iterator[Route]:
        yield Route("agreement", Nothing, self.agreement)
        yield Route("disputed", Disputed, lambda body, _: disputed(self._store, body.offset, 20))

    def agreement(self, _: Nothing, person: str) -> dict[str, Any]:
        """As `action=agreement`."""
        from tagsmith.tag.agreement import agreement  # Not while the page starts: SciPy takes a second.

        return agreement(self._store.snapshot(), self._store.history.schema, seed=0)


def disputed(store: Store, offset: int, most: int) -> dict[str, Any]:
    """The documents whose answers differ, when all of them are there, the first ones first; with who said what."""
    found = [(state.number, name) for name, state in store.snapshot().items() if state.disputed]
    lines = []
    for _, name in sorted(found)[offset : offset + most]:
        document, state = store.document(name), store.states.get(name)
        if document is not None and state is not None:
            lines.append({"id": name, "text": document.text, "note": state.note, "answers": _answers(state)})
    return {"total": len(found), "documents": lines}


def _answers(state: State) -> list[dict[str, Any]]:
    """Who said what; tags None: skipped."""
    first = [(person, one.tags) for person, one in state.answers.items()]
    second = [(f"{one.person}, again", one.tags) for one in state.seconds]
    return [{"person": who, "tags": None if tags is None else list(tags)} for who, tags in (*first, *second)]
