"""The requests of the page about classes: what they are, how they collide, and how people change them."""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from tagsmith.core.errors import DataError, counted
from tagsmith.core.schema_changes import PARTS, read_content
from tagsmith.tag.classes import DESCRIBE, ClassChange
from tagsmith.tag.collisions import TELL, changes_of_mind, collisions, replaced
from tagsmith.tag.decisions import Kind
from tagsmith.tag.guard import Refused
from tagsmith.tag.store import Store
from tagsmith.tag.web import Nothing, Route, Strict

MOST_COLLISIONS = 20


class Change(Strict):
    """A change of the classes; see `classes.ClassChange`."""

    key: str = Field(min_length=8, max_length=64)
    changes: dict[str, Any]


class TakeBack(Strict):
    """Take back a change of the classes."""

    key: str = Field(min_length=8, max_length=64)
    number: int


class ClassRequests:
    """The requests about classes.

    Args:
        changed: called after each change.
        state: what every answer to a person holds.
    """

    def __init__(self, store: Store, changed: Callable[[], None], state: Callable[[str], dict[str, Any]]):
        self._store, self._changed, self._state = store, changed, state

    def routes(self) -> Iterator[Route]:
        yield Route("classes", Nothing, self.classes)
        yield Route("change_classes", Change, self.change)
        yield Route("restore_classes", TakeBack, self.take_back)

    def classes(self, _: Nothing, person: str) -> dict[str, Any]:
        """The classes with their numbers of documents, the changes so far, the last one first, and collisions."""
        history, states = self._store.history, self._store.snapshot()
        found = collisions(self._store.log(every=True), history.schema.classes)[:MOST_COLLISIONS]
        return {
            "classes": [
                {"name": name, "guideline": text, "documents": number}
                for (name, text), number in zip(history.guidelines.items(), class_counts(self._store), strict=True)
            ],
            "again": sum(name not in states or states[name].status is None for name in self._store.again),
            "changes": history_lines(self._store),
            "collisions": [
                {"classes": one.classes, "changed": one.changed, "missed": one.missed, "similar": one.similar}
                for one in found
            ],
            **self._state(person),
        }

    def change(self, body: Change, person: str) -> dict[str, Any]:
        return self._append(ClassChange(body.key, body.changes, person, time.time()))

    def take_back(self, body: TakeBack, person: str) -> dict[str, Any]:
        return self._append(ClassChange(body.key, {}, person, time.time(), undoes=body.number))

    def _append(self, line: ClassChange) -> dict[str, Any]:
        try:
            self._store.change_classes(line)
        except DataError as error:
            raise Refused(409, str(error)) from None
        self._changed()
        return self._state(line.person)


def class_counts(store: Store) -> list[int]:
    """How many documents have each class, in the order of the classes: by a person, or else from before."""
    states = store.snapshot()
    counts = Counter(name for one in states.values() for name in one.tags or ())
    counts.update(
        name
        for one in store.outline()
        if one.given and one.place is None and ((state := states.get(one.id)) is None or state.status is None)
        for name in one.given
    )
    return [counts[name] for name in store.history.guidelines]


def change_of(path: Path) -> ClassChange:
    """The change that a file names: the parts of `classes.ClassChange`, or `take_back` with the number of a change.

    Raises:
        InputMissing, DataError: the file cannot be read.
    """
    content = read_content(path, "changes")
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: expected some of {', '.join((*PARTS, DESCRIBE, 'take_back'))}, found {content!r}"[:200]
        )
    number = content.pop("take_back", None)
    if number is not None and (content or not str(number).isdecimal()):
        raise DataError(f"{path}: take_back: expected the number of a change and nothing else, found {number!r}.")
    return ClassChange(secrets.token_hex(16), content, "", time.time(), undoes=None if number is None else int(number))


def classes_in_words(store: Store) -> list[str]:
    """The classes with their documents, the changes so far, and what collides."""
    guidelines = store.history.guidelines.items()
    lines = [
        f"{name}: {counted(number, 'document')}{f'; {text}' if text else ''}"
        for (name, text), number in zip(guidelines, class_counts(store), strict=True)
    ]
    lines += [f"change {one['number']}: {one['what']}" for one in reversed(history_lines(store))]
    return lines + [
        f"{' and '.join(one.classes)}: minds changed {one.changed} times, {one.missed} suggestions of the other one"
        for one in collisions(store.log(every=True), store.history.schema.classes)[:MOST_COLLISIONS]
    ]


def history_lines(store: Store) -> list[dict[str, Any]]:
    """The changes of the classes, the last one first; `held`: it was not taken back."""
    lines = store.history.lines
    undone = {line.undoes for line in lines}
    return [
        {
            "number": line.number,
            "person": line.person,
            "at": line.at,
            "what": in_words(line) + (" (taken back)" if line.number in undone else ""),
            "held": line.undoes is None and line.number not in undone,
        }
        for line in reversed(lines)
    ]


def in_words(line: ClassChange) -> str:
    """What a change does."""
    if line.undoes is not None:
        return f"took back change {line.undoes}"
    content = line.content
    parts = [f"renamed {old} to {new}" for old, new in (content.get("rename") or {}).items()]
    parts += [f"merged {', '.join(old)} into {new}" for new, old in (content.get("merge") or {}).items()]
    parts += [f"split {old} into {', '.join(new)}" for old, new in (content.get("split") or {}).items()]
    for part, done in (("add", "added"), ("delete", "deleted")):
        if names := content.get(part):
            parts.append(f"{done} {', '.join(names)}")
    if described := content.get("describe"):
        parts.append(f"described {', '.join(described)}")
    return "; ".join(parts)


def collision(store: Store, document: str, person: str) -> dict[str, Any] | None:
    """The pair between which the person has just changed their mind, where it is time to say so."""
    own = [one for one in store.log(document, every=True) if one.person == person and one.kind is Kind.tag]
    if len(own) < 2 or not (pairs := list(replaced(own[-2].tags, own[-1].tags))):
        return None
    times = changes_of_mind(one for one in store.log(every=True) if one.person == person)
    worst = max(pairs, key=lambda pair: times[pair])
    if not times[worst] or times[worst] % TELL:
        return None
    return {"classes": worst, "times": times[worst]}
