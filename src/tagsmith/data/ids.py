"""Ids of documents: unique in all splits, and the same when files are added."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tagsmith.core.errors import counted
from tagsmith.data.documents import Document
from tagsmith.rows.files import STANDARD_INPUT


def begin_anew(documents: Sequence[Document]) -> list[str]:
    """Put the split's name before the ids of a given split that uses ids of another one; returns notes."""
    notes = []
    used = {document.id for document in documents if document.split in (None, "train")} - {None}
    for split in ("validation", "test"):
        part = [document for document in documents if document.split == split and document.id is not None]
        ids = {document.id for document in part}
        if shared := len(ids & used):
            for document in part:
                document.id = f"{split}/{document.id}"
            notes.append(
                f"{counted(shared, 'id')} of {split} {'is an id' if shared == 1 else 'are ids'} of other splits too; "
                f"all ids of {split} begin with {split}/ now."
            )
        used |= ids
    return notes


def short_names(documents: Sequence[Document]) -> dict[str, str]:
    """The names of files in ids, of the files of documents without an id: a second file of one name keeps its path.

    A file that is added behind others changes no name.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for document in documents:
        if document.id is None and document.file not in names:
            short = "stdin" if document.file == STANDARD_INPUT else Path(document.file).name
            names[document.file] = document.file if short in taken else short
            taken.add(short)
    return names


def assign_ids(documents: Sequence[Document], names: Mapping[str, str]) -> None:
    """Give documents without an id their file and row as id: `train.jsonl:17`.

    Args:
        names: see `short_names`.
    """
    taken = {document.id for document in documents}
    for document in documents:
        if document.id is None:
            name = f"{names[document.file]}:{document.row}"
            document.id = name if name not in taken else f"{document.file}:{document.row}#"
