"""Tagged documents from a labels file of Azure custom text classification and the text files beside it."""

import json
from pathlib import Path, PurePath
from typing import Any

from tagsmith.config.settings import AzureSettings
from tagsmith.core.errors import DataError, counted
from tagsmith.core.rows import decode
from tagsmith.core.schema import Task
from tagsmith.data.documents import Document, Source, as_text, label_list, locate, not_text, split_name

KINDS = {
    "customsinglelabelclassification": Task.single_label,
    "custommultilabelclassification": Task.multi_label,
}


def read(settings: AzureSettings) -> Source:
    """Kind, classes and the Train/Test of each document come from the labels file.

    Raises:
        InputMissing: no such file or folder.
        DataError: the file is no labels file of the two classification kinds.
    """
    path = locate(settings.path, "data.path")
    folder = locate(settings.texts, "data.texts") if settings.texts else path.parent
    if path.is_dir():
        raise DataError(f"{path}: expected the labels file (JSON), found a folder.")
    project = _load(path)
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
        location = entry.get("location") if isinstance(entry, dict) else None
        if isinstance(location, str) and (first := places.setdefault(location, position)) != position:
            where = f"{path}#documents"
            source.problem(where, position, f"{location!r} stands already at {where}:{first}", entry)
        else:
            _add(path, folder, position, entry, task, settings, source)
    untagged = sum(text.name not in places for text in folder.glob("*.txt"))
    if untagged:
        source.notes.append(f"{folder}: left out, because not in the labels file: {counted(untagged, 'text file')}.")
    return source


def _load(path: Path) -> dict[str, Any]:
    try:
        project = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a JSON file in UTF-8: {error}.") from error
    if not isinstance(project, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(project).__name__}.")
    return project


def _categories(entries: Any) -> list[str] | None:
    """The names in a list of {"category": name}; None where it is no such list."""
    if not isinstance(entries, list):
        return None
    names = [entry.get("category") if isinstance(entry, dict) else None for entry in entries]
    if not all(isinstance(name, str) for name in names):
        return None
    return [str(name).strip() for name in names]


def _add(
    path: Path, folder: Path, position: int, entry: Any, task: Task, settings: AzureSettings, source: Source
) -> None:
    where = f"{path}#documents"
    if not isinstance(entry, dict) or not isinstance(entry.get("location"), str):
        source.problem(where, position, "expected an object with a `location`", entry)
        return
    # In a multi-label project too, a document of one class may carry the single-label form.
    tags = entry.get("class" if task is Task.single_label or "classes" not in entry else "classes")
    names = _categories([tags] if isinstance(tags, dict) else (tags or []))
    if names is None:
        source.problem(where, position, 'expected the class as {"category": NAME}', entry)
        return
    inside = PurePath(entry["location"])
    if inside.is_absolute() or ".." in inside.parts:
        what = f"expected a location inside {folder}, without a leading / and without .., found {entry['location']}"
        source.problem(where, position, what, entry)
        return
    if (wrong := not_text(entry.get("language"))) is not None:
        source.problem(where, position, f"expected text as language, found {wrong}", entry)
        return
    text_file = folder / inside
    try:
        there = text_file.is_file()
    except OSError:
        there = False
    if not there:
        source.problem(where, position, f"{entry['location']} does not exist in {folder}", entry)
        return
    raw = text_file.read_bytes()
    text = decode(raw, settings.encoding, settings.fallback_encoding)
    if text is None:
        source.problem(str(text_file), 1, f"not in {settings.encoding}; set data.encoding", raw[:200])
        return
    labels = label_list(source, where, position, names, entry)
    problems = len(source.problems)
    split = split_name(source, where, position, entry.get("dataset"))
    if labels is None or len(source.problems) > problems:
        return
    language = as_text(entry.get("language"))
    place = f"{path}#{entry['location']}"  # The mistake of a tag stands in the labels file.
    source.documents.append(Document(place, position, text, labels, split, entry["location"], language))
