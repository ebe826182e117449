"""The classes of a project, which people change while they tag, and what older tags have become by these changes.

The log of changes only grows; tags stay as they were given and are read through the changes since, by the rules of
`core.schema_changes`. A change that was taken back changes only the tags that were given while it held.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tagsmith.core.errors import DataError, listing
from tagsmith.core.schema import Schema, Task, normal_name
from tagsmith.core.schema_changes import PARTS, SchemaChanges
from tagsmith.data.class_names import folded_name

DESCRIBE = "describe"
"""The part of a change that sets guidelines, class -> text, beside those of `core.schema_changes`."""


@dataclass(frozen=True)
class ClassChange:
    """One line of the log.

    Attributes:
        content: the parts of `core.schema_changes`, and `describe`; empty where the line takes back another one.
        decisions, documents: the numbers of the last decision and of the last document before it.
        undoes: number of the line that this one takes back.
    """

    key: str
    content: Mapping[str, Any]
    person: str
    at: float
    decisions: int = 0
    documents: int = 0
    undoes: int | None = None
    number: int = 0


@dataclass(frozen=True)
class Again:
    """Why a person has to tag a document again: its classes were split or deleted.

    Attributes:
        had: its classes when it was tagged.
        kept: those of its classes now that follow from them.
        choices: the classes that came of the others.
    """

    had: tuple[str, ...]
    kept: tuple[str, ...]
    choices: tuple[str, ...]


class History:
    """The log of changes, replayed; immutable.

    Attributes:
        version: number of the last line, 0 without one.
        guidelines: class -> its guideline, "" for none, in the order of the classes.
        known: all names that classes have or had.

    Raises:
        DataError: a change does not fit the classes at its place.
    """

    def __init__(self, lines: Sequence[ClassChange], task: Task):
        self.lines, self.task = tuple(lines), task
        self.version = lines[-1].number if lines else 0
        places = {line.number: place for place, line in enumerate(lines)}
        self._undone = {line.undoes for line in lines}
        self._undoes = [None if line.undoes is None else places[line.undoes] for line in lines]
        self._decisions = [line.decisions for line in lines]
        self._documents = [line.documents for line in lines]
        self._changes = [parsed(line.content)[0] if line.content else SchemaChanges() for line in lines]
        self._images: dict[tuple[int, str], tuple[str, ...]] = {}
        self.guidelines: dict[str, str] = {}
        for line in self.lines:
            if line.content and line.number not in self._undone:
                self.guidelines = changed(self.guidelines, line.content)
        self.known = {name for one in self._changes for name in new_names(one)}

    @property
    def schema(self) -> Schema:
        return Schema(tuple(self.guidelines), self.task)

    def missing(self, classes: Sequence[str], guidelines: Mapping[str, str]) -> dict[str, Any]:
        """The change that adds the classes that are not there, and sets the guidelines that differ; empty without."""
        new = [name for name in classes if name not in self.guidelines]
        texts = {
            name: text
            for name, text in guidelines.items()
            if name in classes and text and text != self.guidelines.get(name)
        }
        return {name: part for name, part in (("add", new), (DESCRIBE, texts)) if part}

    def new_texts(self, guidelines: Mapping[str, str]) -> dict[str, str]:
        """The guidelines that no line has given before to classes that there are."""
        given = {item for line in self.lines for item in (line.content.get(DESCRIBE) or {}).items()}
        return {name: text for name, text in guidelines.items() if (name, text) not in given}

    def with_line(self, line: ClassChange) -> "History":
        """The history with a line more.

        Raises:
            DataError: the line does not fit the classes, or later lines build on the one that it takes back.
        """
        if line.undoes is None and not line.content:
            raise DataError(f"A change of the classes: expected some of {', '.join((*PARTS, DESCRIBE))}, found none.")
        in_force = {one.number for one in self.lines if one.content} - self._undone
        if line.undoes is not None and line.undoes not in in_force:
            raise DataError(f"take_back: expected the number of a change that is in force, found {line.undoes}.")
        try:
            return History((*self.lines, replace(line, number=self.version + 1)), self.task)
        except DataError as error:
            if line.undoes is None:
                raise
            raise DataError(f"Later changes build on this one; take them back first. {error}") from None

    def of_decision(self, tags: Sequence[str], number: int) -> tuple[tuple[str, ...], Again | None]:
        """What the tags of the decision with this number have become."""
        return self.since(tags, bisect_left(self._decisions, number))

    def of_document(self, tags: Sequence[str], number: int) -> tuple[tuple[str, ...], Again | None]:
        """What the tags have become with which the document with this number was added."""
        return self.since(tags, bisect_left(self._documents, number))

    def suggestion(self, line: Mapping[str, Any], number: int) -> dict[str, Any]:
        """The line of a queue of a document by the names of now; scores of merged classes are added."""
        place = bisect_left(self._documents, number)
        scores: dict[str, float] = {}
        for name, score in line["scores"].items():
            for now in self.since([name], place)[0]:
                scores[now] = scores.get(now, 0.0) + score
        return {**line, "suggested": list(self.since(line["suggested"], place)[0]), "scores": scores}

    def of_version(self, tags: Sequence[str], version: int) -> tuple[tuple[str, ...], Again | None]:
        """What tags have become that a page sends which has seen the classes of this version."""
        return self.since(tags, sum(line.number <= version for line in self.lines))

    def since(self, tags: Sequence[str], place: int) -> tuple[tuple[str, ...], Again | None]:
        """What tags have become that were given after so many lines, and whether they have to be given again."""
        if place == len(self.lines):
            return tuple(tags), None
        images = {name: self._image(name, place) for name in tags}
        kept = tuple(dict.fromkeys(image[0] for image in images.values() if len(image) == 1))
        single = self.task is Task.single_label
        unclear = [image for image in images.values() if len(image) > 1 or (single and not image)]
        if not unclear:
            return kept, None
        return kept, Again(tuple(tags), kept, tuple(dict.fromkeys(name for image in unclear for name in image)))

    def _image(self, name: str, place: int) -> tuple[str, ...]:
        """The classes that the class `name` may be by now, from the first `place` lines on."""
        if (place, name) not in self._images:
            names: tuple[str, ...] = (name,)
            for position in range(place, len(self.lines)):
                undone = self._undoes[position]
                if undone is not None and undone < place:
                    step = inverse(self._changes[undone])
                elif undone is None and self.lines[position].number not in self._undone:
                    step = self._changes[position]
                else:
                    continue
                names = tuple(dict.fromkeys(part for one in names for part in step.after(one)))
            self._images[place, name] = tuple(one for one in names if one in self.guidelines)
        return self._images[place, name]


def parsed(content: Mapping[str, Any]) -> tuple[SchemaChanges, dict[str, str]]:
    """The changes and the guidelines of a line, by normalised names.

    Raises:
        DataError: the content is malformed, or its changes contradict each other.
    """
    described = content.get(DESCRIBE) or {}
    if not isinstance(described, Mapping) or not all(isinstance(text, str) for text in described.values()):
        raise DataError("describe: expected a mapping of class names to guidelines.")
    others = {name: value for name, value in content.items() if name != DESCRIBE}
    changes = SchemaChanges.of(others, "classes").normalised() if others else SchemaChanges()
    return changes, {normal_name(name): text.strip() for name, text in described.items()}


def new_names(changes: SchemaChanges) -> Iterator[str]:
    """The names that changes give."""
    yield from changes.become.values()
    yield from changes.add
    for parts in changes.split.values():
        yield from parts


def changed(guidelines: Mapping[str, str], content: Mapping[str, Any]) -> dict[str, str]:
    """The classes with their guidelines after a change; that of a merged class is those of the old ones together.

    Raises:
        DataError: the change does not fit the classes, or a new name differs from another by case or accents alone.
    """
    changes, described = parsed(content)
    texts = dict.fromkeys(changes.classes(tuple(guidelines)), "")
    for old, text in guidelines.items():
        after = changes.after(old)
        if len(after) == 1:
            texts[after[0]] = "; ".join(filter(None, (texts[after[0]], text)))
        elif old in after:
            texts[old] = text
    Schema(tuple(texts), Task.multi_label)  # Raises where a name cannot be one of a class.
    problems = [f"{name}: unknown class, so it cannot be described" for name in described if name not in texts]
    spelled: dict[str, str] = {}
    for name in texts:
        if (other := spelled.setdefault(folded_name(name), name)) != name and not {name, other} <= guidelines.keys():
            problems.append(f"{name}: differs from {other} by case or accents alone; choose another name")
    if problems:
        raise DataError(listing("The changes of classes cannot be applied:", problems))
    return texts | described


def inverse(changes: SchemaChanges) -> SchemaChanges:
    """What taking back changes does to the tags that were given while they held.

    A tag of a merged class could be any of the classes that were merged.
    """
    made: dict[str, list[str]] = {}
    for old, new in changes.become.items():
        made.setdefault(new, []).append(old)
    become = {new: names[0] for new, names in made.items() if len(names) == 1}
    become |= {part: old for old, parts in changes.split.items() for part in parts}
    split = {new: tuple(names) for new, names in made.items() if len(names) > 1}
    return SchemaChanges(become, split, changes.delete, changes.add)
