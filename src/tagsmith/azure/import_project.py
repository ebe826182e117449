"""From what was taken to the input of a run: one labels file, whatever the shape of the export, beside its texts."""

import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from tagsmith.azure.exit_folder import ExitFolder, Json
from tagsmith.azure.take import KINDS, locations_of
from tagsmith.azure.texts import take_texts
from tagsmith.config.settings import AzureSettings, LeaveAzure, TableSettings
from tagsmith.core.errors import DataError, InputMissing, counted, listing
from tagsmith.core.files import json_object, read_json, write_json
from tagsmith.core.schema import Task
from tagsmith.data import read_azure
from tagsmith.data.documents import Document, Source
from tagsmith.data.read import read_documents

log = logging.getLogger("tagsmith")

MOST_PROBLEMS = 20


@dataclass(frozen=True)
class Imported:
    """The input of a run; `splits`: documents of each split, of which "" is still to be drawn."""

    labels: Path
    classes: int
    splits: dict[str, int]
    task: Task


def import_project(settings: LeaveAzure) -> Imported:
    """Write `data/labels.json` with the same classes, languages and splits as the project had.

    The test documents are those on which the deployed model was tested, so that its answers and those of the run can be
    compared on documents that neither has seen.

    Raises:
        InputMissing: nothing was taken, and no labels file is named.
        DataError: the export is not one of a classification project, or none of its documents can be used.
    """
    folder = ExitFolder(Path(settings.out))
    export = Path(settings.labels) if settings.labels is not None else folder.export
    if not export.is_file():
        raise InputMissing(f"out={folder.path}: has no {export}; take the project first, or set labels= and texts=.")
    folder.data.mkdir(parents=True, exist_ok=True)
    locations, container = locations_of(export)
    if settings.texts is not None:
        take_texts(locations, folder.data, settings.texts, container)
    source = read_azure.read(AzureSettings(path=str(export), texts=str(folder.data)))
    for note in source.notes:
        log.info(note)
    if source.problems:
        log.warning(listing(f"{export}: left out:", list(map(str, source.problems)), MOST_PROBLEMS))
    if not source.documents:
        raise DataError(f"{export}: expected documents with a class and a text, found none that can be used.")
    tested = set(folder.read_taken().get("tested", ())) if folder.taken.is_file() else set()
    for document in source.documents:
        if tested:
            document.split = "test" if document.id in tested else "train"
    task = source.task or Task.single_label
    if settings.tagged is not None:
        source.documents += _tagged_since(settings, source, task, folder)
    write_json(folder.labels, _labels_file(source, task, _metadata(export)))
    splits = Counter(document.split or "" for document in source.documents)
    return Imported(folder.labels, len(source.classes or ()), dict(splits), task)


def _tagged_since(settings: LeaveAzure, source: Source, task: Task, folder: ExitFolder) -> list[Document]:
    """Further test documents, with their texts as files beside those of the project."""
    assert settings.tagged is not None
    named = TableSettings(train=settings.tagged, text_field=settings.text_field, classes=source.classes)
    found = read_documents(named, task)
    for note in found.notes:
        log.info(note)
    place = folder.data / "tagged"
    place.mkdir(exist_ok=True)
    documents = []
    for i, one in enumerate(found.documents, 1):
        (place / f"{i}.txt").write_text(one.text, encoding="utf-8", newline="")
        documents.append(replace(one, id=f"tagged/{i}.txt", split="test"))
    return documents


def _metadata(export: Path) -> Json:
    metadata = read_json(export, json_object, "a JSON object", "export the project again").get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _labels_file(source: Source, task: Task, metadata: Json) -> Json:
    """The labels file in Azure's present form; languages of documents are theirs, or else that of the project."""
    kind, language = KINDS[task], metadata.get("language")
    documents = []
    for one in source.documents:
        tags = [{"category": name} for name in one.labels]
        entry: Json = {"location": one.id, "language": one.language or language}
        entry |= {"classes": tags} if task is Task.multi_label else {"class": tags[0]}
        documents.append({**entry, **({"dataset": one.split.title()} if one.split else {})})
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {**metadata, "projectKind": kind},
        "assets": {
            "projectKind": kind,
            "classes": [{"category": name} for name in source.classes or ()],
            "documents": documents,
        },
    }


def summary(imported: Imported) -> str:
    """The result in words, and the command that comes next."""
    names = {"": "to be split by training"}
    parts = [
        f"{counted(count, 'document')} {names.get(split, f'in {split}')}" for split, count in imported.splits.items()
    ]
    return (
        f"{imported.labels}: {', '.join(parts)}, {counted(imported.classes, 'class')}, {imported.task.value}.\n"
        f"next: tagsmith train data=azure data.path={imported.labels} run=runs/successor"
    )
