"""Tags of documents when classes change: most follow from the change, those of split classes have to be given again."""

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
class SplitDocument:
    """A document of split classes; its labels are placeholders until it is tagged again.

    Attributes:
        before: its classes before the change.
        choices: the new classes that it may have.
    """

    document: Document
    before: list[str]
    choices: list[str]


@dataclass
class Unresolved:
    """Documents whose tags do not follow from the change of classes, and counts of what was done with others.

    Attributes:
        pending: documents of split classes that need a new tag, by `id()` of the document.
        deleted: documents left out because their class is deleted.
        resolved: documents of split classes that were tagged again.
        already_renamed: documents that had the new name of a renamed class before, by that name.
    """

    pending: dict[int, SplitDocument] = field(default_factory=dict)
    deleted: list[Document] = field(default_factory=list)
    resolved: int = 0
    already_renamed: dict[str, int] = field(default_factory=dict)

    @property
    def documents(self) -> list[Document]:
        return [one.document for one in self.pending.values()]

    def resolve(self, tags: Iterable[Document]) -> list[Document]:
        """Apply manual tags to the pending documents; returns the tags of other documents."""
        by_id = {document.id: document for document in self.documents if document.id is not None}
        by_text = {same_text(document.text): document for document in self.documents if isinstance(document.text, str)}
        others = []
        for tag in tags:
            document = by_id.get(tag.id or "") or by_text.get(same_text(tag.text))
            if document is None:
                others.append(tag)
                continue
            document.labels = list(tag.labels)
            self.resolved += self.pending.pop(id(document), None) is not None
        return others

    def lines(self) -> list[dict[str, Any]]:
        """One record per pending document, for a file that `data.tagged` reads once its `tag` is filled in."""
        return [
            {
                "id": one.document.id,
                "text": one.document.text,
                "tag": None,
                "labels": one.before,
                "choices": one.choices,
            }
            for one in self.pending.values()
        ]

    def notes(self) -> list[str]:
        """Remarks for the user, one line each."""
        notes = [
            f"{counted(count, 'document')} already had the class {name} and count as documents of the renamed class; "
            "if it was a different class, use `merge`."
            for name, count in self.already_renamed.items()
        ]
        if self.resolved:
            notes.append(f"{counted(self.resolved, 'document')} of split classes tagged again by data.tagged.")
        if self.pending:
            notes.append(
                f"left out {counted(len(self.pending), 'document')} of split classes; fill in their `tag` in "
                "split_classes.jsonl of the run, and name that file in data.tagged."
            )
        if self.deleted:
            notes.append(f"left out {counted(len(self.deleted), 'document')} of deleted classes.")
        return [f"data.schema_changes: {note}" for note in notes]


def change_classes(documents: Sequence[Document], declared: Sequence[str] | None, changes: SchemaChanges) -> list[str]:
    """The classes after the changes, in order: of the declared ones, or else of those found, in natural order.

    Raises:
        DataError: the changes do not match the classes; every mismatch is listed.
    """
    found = dict.fromkeys(name for document in documents for name in document.labels)
    # Some documents may have the new names already.
    after = {*changes.become.values(), *changes.add, *(part for parts in changes.split.values() for part in parts)}
    before = {*changes.become, *changes.split, *changes.delete}
    existing = (name for name in found if name in before or name not in after)
    old = list(declared) if declared is not None else natural_order(existing)
    if problems := changes.fit(old):
        raise DataError(listing("data.schema_changes does not match the classes of the data:", problems))
    return list(changes.classes(old))


def change_tags(
    documents: Sequence[Document], task: Task | None, changes: SchemaChanges
) -> tuple[list[Document], Unresolved]:
    """Give documents the tags that follow from the changes.

    Returns:
        The documents that are kept, in order, those of split classes with placeholders; and what is unresolved.
    """
    kept, unresolved = [], Unresolved()
    found = Counter(name for document in documents for name in document.labels)
    unresolved.already_renamed = {
        new: found[new] for old, new in changes.become.items() if old in found and found[new] and new != old
    }
    for document in documents:
        before = document.labels
        after = [changes.after(name) for name in before]
        labels = list(dict.fromkeys(parts[0] for parts in after if parts))
        if before and not labels and task is not Task.multi_label:
            unresolved.deleted.append(document)
            continue
        if any(len(parts) > 1 for parts in after):
            choices = list(dict.fromkeys(part for parts in after for part in parts))
            unresolved.pending[id(document)] = SplitDocument(document, before, choices)
        document.labels = labels
        kept.append(document)
    return kept, unresolved


def rename_tags(names: Sequence[str], known: Iterable[str], changes: SchemaChanges) -> list[str]:
    """Manual tags by their new names, where they are old names with exactly one successor."""
    classes, result = set(known), []
    for name in names:
        after = changes.after(name)
        result.append(after[0] if name not in classes and len(after) == 1 else name)
    return list(dict.fromkeys(result))
