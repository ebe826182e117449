"""Tagged documents from a labels file of Azure custom text classification and its text files."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagsmith.config.settings import AzureSettings
from tagsmith.core.errors import DataError, counted
from tagsmith.core.files import json_object, locate, read_json
from tagsmith.core.locations import BadLocation, TextFiles
from tagsmith.core.schema import Task, normal_name
from tagsmith.core.text import decode
from tagsmith.core.text_files import is_hidden
from tagsmith.data.documents import Document, Source, SourceRow

KINDS = {
    "singlelabelclassification": Task.single_label,
    "multilabelclassification": Task.multi_label,
    "singleclassification": Task.single_label,
    "multiclassification": Task.multi_label,
}
"""By the letters in lower case, without `custom`; the last two are those of the previews of 2021."""

KIND_KEYS = ("projectKind", "kind", "modelType")
CLASS_KEYS = ("classes", "classifiers")
TAG_KEYS = ("class", "classes", "classifiers")
NAME_KEYS = ("category", "name", "classifierName")


@dataclass
class _Reading:
    """The state of one reading; `listed`: the position of each file in the list of documents."""

    path: Path
    texts: TextFiles
    settings: AzureSettings
    declared: dict[str, str]  # Class names by folded name, where that is unambiguous.
    listed: dict[Path, int] = field(default_factory=dict)
    untagged: list[str] = field(default_factory=list)  # Locations.
    respelled: list[str] = field(default_factory=list)  # Locations with the paths that they mean.
    other_case: list[str] = field(default_factory=list)  # Names of classes.
    keeps_untagged: bool = False


def read(settings: AzureSettings, untagged: bool = False) -> Source:
    """Read the labels file, which declares the task, the classes and the split of each document.

    Args:
        untagged: whether documents without a class are read as well, with no labels.

    Raises:
        InputMissing: the file or folder does not exist.
        DataError: the file is not a labels file of a classification project, or no document has a class.
    """
    path = locate(settings.path, "data.path")
    folder = locate(settings.texts, "data.texts") if settings.texts else path.parent
    if path.is_dir():
        raise DataError(f"{path}: expected the labels file (JSON), found a folder.")
    project = read_json(path, json_object, "a JSON object", "export the labels file again")
    # The previews of 2021 have the lists on top, without assets.
    assets = project.get("assets", project if "documents" in project else None)
    if not isinstance(assets, dict):
        raise DataError(f"{path}: expected an object `assets`, found {type(assets).__name__}.")
    metadata = project.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    declared = next((assets[key] for key in CLASS_KEYS if key in assets), None)
    classes = _names(declared) if isinstance(declared, list) else None
    documents = assets.get("documents")
    if classes is None or not isinstance(documents, list):
        raise DataError(f"{path}: expected lists `assets.classes` (of {{category}}) and `assets.documents`.")
    classes = list(dict.fromkeys(map(normal_name, classes)))
    source = Source(classes=classes)
    source.task = _task(path, (assets, metadata, project), documents, source)
    container = metadata.get("storageInputContainerName")
    texts = TextFiles(folder, container if isinstance(container, str) else None)
    reading = _Reading(path, texts, settings, _by_folded_name(classes), keeps_untagged=untagged)
    for position, entry in enumerate(documents, 1):
        _add(reading, SourceRow(source, f"{path}#documents", position, entry))
    if len(reading.untagged) == len(documents) > 0:
        raise DataError(
            f"{path}: none of its {counted(len(documents), 'document')} has a class; tag them in the project, and "
            "export the labels file again."
        )
    source.notes += _notes(reading, len(documents))
    return source


def is_labels_file(path: Path) -> bool:
    """Whether a file is a labels file of Azure, of any kind of project."""
    if path.suffix.lower() != ".json":
        return False
    try:
        with path.open("rb") as file:
            if file.read(64).lstrip().startswith(b"["):
                return False  # An array of records may be large.
        raw = path.read_bytes()
        project = json.loads(raw.decode("utf-16") if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else raw)
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(project, dict):
        return False
    documents = project.get("documents")
    first = documents[0] if isinstance(documents, list) and documents else None
    return isinstance(project.get("assets"), dict) or (isinstance(first, dict) and "location" in first)


def _task(path: Path, places: tuple[dict[str, Any], ...], documents: list[Any], source: Source) -> Task:
    stated = [value for place in places for key in KIND_KEYS if (value := place.get(key)) not in (None, "")]
    tasks = {_task_of(value) for value in stated}
    if len(tasks) > 1:
        raise DataError(f"{path}: expected one kind of project, found {', '.join(sorted(set(map(str, stated))))}.")
    task = next(iter(tasks), None)
    if task is None and not stated and documents:
        several = any(len(_tags(entry) or []) > 1 for entry in documents if isinstance(entry, dict))
        task = Task.multi_label if several else Task.single_label
        most = "several classes in one document" if several else "at most one class per document"
        source.notes.append(f"{path}: names no projectKind; found {most}, so the task is {task.value}.")
    if task is None:
        raise DataError(
            f"{path}: expected projectKind CustomSingleLabelClassification or CustomMultiLabelClassification, "
            f"found {stated[0] if stated else None!r}."
        )
    return task


def _task_of(kind: Any) -> Task | None:
    letters = "".join(filter(str.isalpha, kind.lower())) if isinstance(kind, str) else ""
    return KINDS.get(letters.removeprefix("custom"))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _names(entries: list[Any]) -> list[str] | None:
    """The names in a list of {"category": name}; None where the list has another form."""
    names: list[str] = []
    for entry in entries:
        name = next((entry[key] for key in NAME_KEYS if key in entry), None) if isinstance(entry, dict) else None
        if not isinstance(name, str):
            return None
        names.append(name)
    return names


def _tags(entry: dict[str, Any]) -> list[Any]:
    """The tags of a document under all keys that they may have, without empty ones."""
    tags = [tag for key in TAG_KEYS for tag in _as_list(entry.get(key))]
    return [
        tag for tag in tags if not isinstance(tag, dict) or any(str(tag.get(key) or "").strip() for key in NAME_KEYS)
    ]


def _by_folded_name(classes: list[str]) -> dict[str, str]:
    folded = [name.casefold() for name in classes]
    return {fold: name for fold, name in zip(folded, classes, strict=True) if folded.count(fold) == 1}


def _add(reading: _Reading, row: SourceRow) -> None:
    """Add the document of one entry of the list, or say what is wrong with it."""
    entry = row.content
    location = entry.get("location") if isinstance(entry, dict) else None
    if not isinstance(location, str):
        return row.problem("expected an object with a `location`")
    names = _names(_tags(entry))
    if names is None:
        return row.problem('expected the class as {"category": NAME}')
    if not names and not reading.keeps_untagged:
        reading.untagged.append(location)
        return None
    language = row.optional("language")
    try:
        inside = reading.texts.find(location)
    except BadLocation as error:
        return row.problem(str(error))
    if (first := reading.listed.setdefault(inside, row.row)) != row.row:
        return row.problem(f"duplicate location {location!r}, first used at {row.file}:{first}")
    if row.bad:
        return None
    if inside.as_posix() != location:
        reading.respelled.append(f"{location} is {inside.as_posix()}")
    text_file = reading.texts.folder / inside
    raw = text_file.read_bytes()
    text = decode(raw, reading.settings.encoding, reading.settings.fallback_encoding)
    if text is None:
        what = (
            f"cannot be decoded as {reading.settings.encoding or 'utf-8'}; set data.encoding or data.fallback_encoding"
        )
        return row.source.problem(str(text_file), 1, what, raw[:200])
    labels, split = row.class_names(_as_declared(reading, row.source, names)), row.split_name(entry.get("dataset"))
    if not row.bad:
        place = f"{reading.path}#{location}"  # Where a wrong tag is to be corrected.
        row.source.documents.append(Document(place, row.row, text, labels, split, inside.as_posix(), language))
    return None


def _as_declared(reading: _Reading, source: Source, names: list[str]) -> Iterator[str]:
    """The names, each as declared where it differs from that in case alone."""
    for name in names:
        normal = normal_name(name)
        declared = name if normal in (source.classes or ()) else reading.declared.get(normal.casefold(), name)
        if declared != name:
            reading.other_case.append(name)
        yield declared


def _notes(reading: _Reading, documents: int) -> Iterator[str]:
    path, folder = reading.path, reading.texts.folder
    if reading.untagged:
        share = f"{len(reading.untagged):,} of {counted(documents, 'document')}"
        yield f"{path}: left out {share} without a class, such as {reading.untagged[0]}."
    if reading.respelled:
        share = f"{len(reading.respelled):,} of {counted(documents, 'location')}"
        yield f"{path}: {share} spelled in another way than the paths of the files: {reading.respelled[0]}."
    if reading.other_case:
        share = f"{counted(len(reading.other_case), 'tag')} in another case than the declared class"
        yield f"{path}: {share}, such as {reading.other_case[0]}; taken as the declared class."
    if unlisted := _unlisted(reading):
        yield f"{folder}: left out {counted(unlisted, 'text file')} that the labels file does not list."


def _unlisted(reading: _Reading) -> int:
    """The number of text files in the folders of the documents that no location names."""
    folder = reading.texts.folder
    named = set(reading.listed)
    for location in reading.untagged:
        with contextlib.suppress(BadLocation):
            named.add(reading.texts.find(location))
    places = {folder / path.parent for path in named} | {folder}
    texts = (path for place in places for path in place.iterdir() if path.suffix.lower() == ".txt")
    return sum(not is_hidden(path.name) and path.relative_to(folder) not in named for path in texts)
