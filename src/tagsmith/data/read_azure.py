"""Tagged documents from a labels file of Azure custom text classification and its text files."""

from pathlib import Path, PurePath
from typing import Any

from tagsmith.config.settings import AzureSettings
from tagsmith.core.errors import DataError, counted
from tagsmith.core.files import json_object, read_json
from tagsmith.core.rows import decode
from tagsmith.core.schema import Task
from tagsmith.data.documents import Document, Source, SourceRow, locate

KINDS = {
    "customsinglelabelclassification": Task.single_label,
    "custommultilabelclassification": Task.multi_label,
}


def read(settings: AzureSettings) -> Source:
    """Read the labels file, which declares the task, the classes and the split of each document.

    Raises:
        InputMissing: the file or folder does not exist.
        DataError: the file is not a labels file of a classification project.
    """
    path = locate(settings.path, "data.path")
    folder = locate(settings.texts, "data.texts") if settings.texts else path.parent
    if path.is_dir():
        raise DataError(f"{path}: expected the labels file (JSON), found a folder.")
    project = read_json(path, json_object, "a JSON object in UTF-8", "export the labels file again")
    assets = project.get("assets")
    if not isinstance(assets, dict):
        raise DataError(f"{path}: expected an object `assets`, found {type(assets).__name__}.")
    metadata = project.get("metadata")
    stated = assets.get("projectKind") or (metadata.get("projectKind") if isinstance(metadata, dict) else None)
    task = KINDS.get(str(stated).lower())
    if task is None:
        raise DataError(
            f"{path}: expected projectKind CustomSingleLabelClassification or CustomMultiLabelClassification, "
            f"found {stated!r}."
        )
    source = Source(task=task)
    classes = _categories(assets.get("classes"))
    documents = assets.get("documents")
    if classes is None or not isinstance(documents, list):
        raise DataError(f"{path}: expected lists `assets.classes` (of {{category}}) and `assets.documents`.")
    source.classes = list(dict.fromkeys(classes))
    places: dict[str, int] = {}
    for position, entry in enumerate(documents, 1):
        row = SourceRow(source, f"{path}#documents", position, entry)
        location = entry.get("location") if isinstance(entry, dict) else None
        if isinstance(location, str) and (first := places.setdefault(location, position)) != position:
            row.problem(f"duplicate location {location!r}, first used at {row.file}:{first}")
        else:
            _add(path, folder, row, task, settings)
    untagged = sum(text.name not in places for text in folder.glob("*.txt"))
    if untagged:
        source.notes.append(f"{folder}: left out {counted(untagged, 'text file')} that the labels file does not list.")
    return source


def _categories(entries: Any) -> list[str] | None:
    """The names in a list of {"category": name}; None where the list has another form."""
    if not isinstance(entries, list):
        return None
    names = [entry.get("category") if isinstance(entry, dict) else None for entry in entries]
    if not all(isinstance(name, str) for name in names):
        return None
    return [str(name).strip() for name in names]


def _add(path: Path, folder: Path, row: SourceRow, task: Task, settings: AzureSettings) -> None:
    entry = row.content
    if not isinstance(entry, dict) or not isinstance(entry.get("location"), str):
        return row.problem("expected an object with a `location`")
    # In a multi-label project too, a document of one class may have the single-label form.
    tags = entry.get("class" if task is Task.single_label or "classes" not in entry else "classes")
    names = _categories([tags] if isinstance(tags, dict) else (tags or []))
    if names is None:
        return row.problem('expected the class as {"category": NAME}')
    location = entry["location"]
    inside = PurePath(location)
    if inside.is_absolute() or ".." in inside.parts:
        return row.problem(f"expected a relative location inside {folder}, without .., found {location}")
    language = row.optional("language")
    if row.bad:
        return None
    text_file = folder / inside
    try:
        exists = text_file.is_file()
    except OSError:
        exists = False
    if not exists:
        return row.problem(f"{location} does not exist in {folder}")
    raw = text_file.read_bytes()
    text = decode(raw, settings.encoding, settings.fallback_encoding)
    if text is None:
        what = f"cannot be decoded as {settings.encoding}; set data.encoding or data.fallback_encoding"
        return row.source.problem(str(text_file), 1, what, raw[:200])
    labels, split = row.class_names(names), row.split_name(entry.get("dataset"))
    if not row.bad:
        place = f"{path}#{location}"  # Where a wrong tag is to be corrected.
        row.source.documents.append(Document(place, row.row, text, labels, split, location, language))
    return None
