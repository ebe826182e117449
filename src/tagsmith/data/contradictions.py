"""Documents with the same text and different labels: normal in tagged data, so they are counted and listed."""

from collections.abc import Sequence
from typing import Any

from tagsmith.config.settings import Contradictions
from tagsmith.core.errors import SettingsError, counted
from tagsmith.core.schema import Task
from tagsmith.data.check import same_text
from tagsmith.data.documents import Document


def contradictions(documents: Sequence[Document]) -> list[list[Document]]:
    """The documents of each text that is tagged in several ways, in the order of the texts."""
    first: dict[str, Document] = {}
    repeated: dict[str, list[Document]] = {}
    for document in documents:
        text = same_text(document.text)
        if (before := first.setdefault(text, document)) is not document:
            repeated.setdefault(text, [before]).append(document)
    return [group for group in repeated.values() if len({frozenset(one.labels) for one in group}) > 1]


def settle_contradictions(
    usable: Sequence[Document], kept: Sequence[Document], do: Contradictions, task: Task, notes: list[str]
) -> list[dict[str, Any]]:
    """Unite the labels of equal texts where `do` says so, and note what was found.

    Args:
        usable: all documents without problems; their `split` is set to None where they are not kept.
        kept: the documents that have a split, manual tags included.

    Returns:
        One record per text that is tagged in several ways, with the tags as they were; `split` is null for a document
        that is left out.

    Raises:
        SettingsError: labels of single-label data cannot be united.
    """
    if do is Contradictions.unite and task is Task.single_label:
        raise SettingsError(
            "data.contradictions=unite: expected multi-label data, found single-label data; task=multi_label allows "
            "several labels per document."
        )
    with_split = {id(document) for document in kept}
    for document in usable:
        if id(document) not in with_split:
            document.split = None
    groups = contradictions(list({id(document): document for document in (*usable, *kept)}.values()))
    found = _records(groups)
    if groups:
        notes.append(_note(groups, do))
    if do is Contradictions.unite:
        _unite(groups)
    return found


def _unite(groups: Sequence[Sequence[Document]]) -> None:
    """Give the documents of each text all its labels; those of one split do not change those of another."""
    for group in groups:
        for split in {document.split for document in group}:
            part = [document for document in group if document.split == split]
            labels = list(dict.fromkeys(name for document in part for name in document.labels))
            for document in part:
                document.labels = list(labels)


def _note(groups: Sequence[Sequence[Document]], do: Contradictions) -> str:
    documents = [document for group in groups for document in group]
    held_out = sum(any(document.split in ("test", "validation") for document in group) for group in groups)
    one, other = groups[0][0], next(d for d in groups[0] if set(d.labels) != set(groups[0][0].labels))
    done = "have all labels of their text now" if do is Contradictions.unite else "are kept as they are"
    return (
        f"{counted(len(groups), 'text')} with different labels, in {counted(len(documents), 'document')} "
        f"({held_out:,} of the texts held out), such as {_tags(one)} at {one.file}:{one.row} and {_tags(other)} at "
        f"{other.file}:{other.row}; the documents {done}, and the run's contradictions.jsonl lists them."
    )


def _records(groups: Sequence[Sequence[Document]]) -> list[dict[str, Any]]:
    return [
        {
            "text": group[0].text,
            "documents": [
                {"file": one.file, "row": one.row, "id": one.id, "split": one.split, "labels": list(one.labels)}
                for one in group
            ],
        }
        for group in groups
    ]


def _tags(document: Document) -> str:
    return "+".join(document.labels) or "no class"
