"""Documents as the page shows them: one to tag, the list of those that were decided, examples of a class."""

from collections.abc import Iterator
from typing import Any

from tagsmith.data.class_names import folded_name
from tagsmith.tag.decisions import State, StoredDocument
from tagsmith.tag.store import Store

BEGINNING = 160
"""Characters of a document in the list."""

EXAMPLE = 600
"""Characters of an example of a class."""


def shown(
    document: StoredDocument, state: State | None, suggestions: list[dict[str, Any]], reason: str
) -> dict[str, Any]:
    """A document to tag, ready for JSON; `again`: why it is tagged again, see `classes.Again`."""
    decided = state is not None and (state.status is not None or state.again is not None)
    again = state.again if state is not None and decided else document.again
    return {
        "id": document.id,
        "text": document.text,
        "suggestions": suggestions,
        "reason": reason,
        "again": None if again is None else {"had": again.had, "kept": again.kept, "choices": again.choices},
        **_decided(document, state),
    }


def _decided(document: StoredDocument, state: State | None) -> dict[str, Any]:
    tags = document.given if state is None or state.status is None else state.tags
    return {
        "status": "given" if state is None or state.status is None else state.status.value,
        "tags": None if tags is None else list(tags),
        "flagged": state is not None and state.flagged,
        "note": state.note if state is not None else "",
    }


def listed(store: Store, search: str, which: str, offset: int, most: int, person: str) -> dict[str, Any]:
    """The documents with decisions or tags, the last decided ones first.

    Args:
        search: part of the text, a class, the note, the person or the id, without regard to case and accents; "": all.
        which: `all`, a status (`tag`, `skip`, `settle`, `given`), `flagged` or `note`.
        person: who looks; the answers of others to a document that is still open are left out.

    Returns:
        `total`, the number of documents that match, and `documents`, those of the page.
    """
    wanted, states = folded_name(search.strip()), store.snapshot()
    found: list[tuple[int, int, dict[str, Any]]] = []
    for document in all_documents(store):
        state = states.get(document.id)
        state = None if state is None else state.seen_by(person)
        if state is None and document.given is None:
            continue
        entry = _decided(document, state)
        if state is not None and entry["tags"] is None and entry["status"] == "given":
            entry["status"] = "open"  # A flag or a note alone.
        if which not in ("all", entry["status"]) and not (which in ("flagged", "note") and entry[which]):
            continue
        by = state.person if state is not None else ""
        places = (document.text, document.id, entry["note"], by, *(entry["tags"] or ()))
        if wanted and not any(wanted in folded_name(place) for place in places):
            continue
        beginning = " ".join(document.text[: 2 * BEGINNING].split())[:BEGINNING]
        at = state.at if state is not None else None
        line = {"id": document.id, "beginning": beginning, "person": by, "at": at, **entry}
        found.append((-state.number if state is not None else 0, document.number, line))
    found.sort(key=lambda item: item[:2])
    return {"total": len(found), "documents": [line for _, _, line in found[offset : offset + most]]}


def examples(store: Store, name: str, most: int = 2) -> list[str]:
    """The beginnings of the documents that were last tagged with a class, or that came with it."""
    states = store.snapshot()
    tagged = sorted(
        ((one.at, key) for key, one in states.items() if one.full and name in (one.tags or ())), reverse=True
    )
    keys = [key for _, key in tagged[:most]]
    if len(keys) < most:
        given = (
            one.id
            for one in store.outline()
            if name in (one.given or ()) and ((state := states.get(one.id)) is None or state.status is None)
        )
        keys += [key for key, _ in zip(given, range(most - len(keys)), strict=False)]
    return [document.text[:EXAMPLE] for key in keys if (document := store.document(key)) is not None]


def all_documents(store: Store) -> Iterator[StoredDocument]:
    """All documents with their texts, some of them in memory at a time."""
    last = 0
    while documents := store.documents(last, 1000):
        last = documents[-1].number
        yield from documents
