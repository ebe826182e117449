"""Tags of documents when classes change: which follow by themselves, and which a person has to give."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tagsmith.core.errors import DataError, counted, listing
from tagsmith.core.schema import Task, natural_order
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.data.check import same_text
from tagsmith.data.documents import Document


@dataclass(frozen=True)
class Waiting:
    """A document of split classes; its labels are a stand-in until a person has chosen.

    Attributes:
        before: its classes as they were.
        choices: the new classes of which it may have some.
    """

    document: Document
    before: list[str]
    choices: list[str]


@dataclass
class Undivided:
    """What follows by no rule from a change of classes.

    Attributes:
        waiting: by `id()` of the document.
        deleted: documents that are left out, their class being deleted.
        divided: documents of which a person has said it.
        renamed_already: by the new name of a class that is renamed, documents that had it before.
    """

    waiting: dict[int, Waiting] = field(default_factory=dict)
    deleted: int = 0
    divided: int = 0
    renamed_already: dict[str, int] = field(default_factory=dict)

    @property
    def documents(self) -> list[Document]:
        return [one.document for one in self.waiting.values()]

    def divide(self, tags: Iterable[Document]) -> list[Document]:
        """Take what a person has said about them; returns the tags that are about other documents."""
        by_id = {document.id: document for document in self.documents if document.id is not None}
        by_text = {same_text(document.text): document for document in self.documents if isinstance(document.text, str)}
        others = []
        for tag in tags:
            document = by_id.get(tag.id or "") or by_text.get(same_text(tag.text))
            if document is None:
                others.append(tag)
                continue
            document.labels = list(tag.labels)
            self.divided += self.waiting.pop(id(document), None) is not None
        return others

    def lines(self) -> list[dict[str, Any]]:
        """A line each for the file in which a person says which: what `data.tagged` reads."""
        return [
            {
                "id": one.document.id, "text": one.document.text, "tag": None, "labels": one.before,
                "choices": one.choices,
            }
            for one in self.waiting.values()
        ]  # fmt: skip

    def notes(self) -> list[str]:
        """Remarks for the person, one line each."""
        told = [
            f"data.schema_changes: {counted(count, 'document')} had the name {name} already, and are taken for "
            "documents of the renamed class; where it is another class, `merge` makes one of the two."
            for name, count in self.renamed_already.items()
        ]
        if self.divided:
            told.append(f"data.schema_changes: {counted(self.divided, 'document')} of split classes divided by tags.")
        if self.waiting:
            told.append(
                f"data.schema_changes: {counted(len(self.waiting), 'document')} of split classes left out until a "
                "person says which part; they stand in split_classes.jsonl of the run, for data.tagged."
            )
        if self.deleted:
            told.append(f"data.schema_changes: {counted(self.deleted, 'document')} of deleted classes left out.")
        return told


def change_classes(documents: Sequence[Document], declared: Sequence[str] | None, changes: SchemaChanges) -> list[str]:
    """The classes after the changes, in order: of those declared, else of those found, in natural order.

    Raises:
        DataError: the changes do not fit them; all of it is listed.
    """
    found = dict.fromkeys(name for document in documents for name in document.labels)
    # Documents may be tagged by the new names already.
    after = {*changes.become.values(), *changes.add, *(part for parts in changes.split.values() for part in parts)}
    before = {*changes.become, *changes.split, *changes.delete}
    there = (name for name in found if name in before or name not in after)
    old = list(declared) if declared is not None else natural_order(there)
    if problems := changes.fit(old):
        raise DataError(listing("data.schema_changes does not fit the classes of the data:", problems))
    return list(changes.classes(old))


def change_tags(
    documents: Sequence[Document], task: Task | None, changes: SchemaChanges
) -> tuple[list[Document], Undivided]:
    """Give documents the tags that follow from their own.

    Returns:
        Those that are left, in their order, those of split classes among them with a stand-in; and these.
    """
    kept, undivided = [], Undivided()
    found = Counter(name for document in documents for name in document.labels)
    undivided.renamed_already = {
        new: found[new] for old, new in changes.become.items() if old in found and found[new] and new != old
    }
    for document in documents:
        before = document.labels
        after = [changes.after(name) for name in before]
        labels = list(dict.fromkeys(parts[0] for parts in after if parts))
        if before and not labels and task is not Task.multi_label:
            undivided.deleted += 1
            continue
        if any(len(parts) > 1 for parts in after):
            choices = list(dict.fromkeys(part for parts in after for part in parts))
            undivided.waiting[id(document)] = Waiting(document, before, choices)
        document.labels = labels
        kept.append(document)
    return kept, undivided


def rename_tags(names: Sequence[str], known: Iterable[str], changes: SchemaChanges) -> list[str]:
    """A person's tags by the new names, where they are old ones of which one new class has become."""
    classes, result = set(known), []
    for name in names:
        after = changes.after(name)
        result.append(after[0] if name not in classes and len(after) == 1 else name)
    return list(dict.fromkeys(result))
