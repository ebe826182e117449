"""What `data.train` names: files of rows, or folders of texts, a labels file of Azure, a saved data set."""

from dataclasses import fields
from glob import has_magic
from pathlib import Path
from typing import Any

from tagsmith.config.settings import AzureSettings, DataSettings, HubSettings, TableSettings, TextFoldersSettings
from tagsmith.core.files import locate
from tagsmith.core.schema import Task
from tagsmith.core.text_files import visible_files
from tagsmith.data import read_azure, read_files, read_hub, read_text_folders
from tagsmith.data.documents import Source
from tagsmith.rows.files import kind_of

SAVED = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` of `datasets` writes."""


def read(settings: TableSettings) -> Source:
    """Read what the settings name with the reader for it; a note says which one where it is not files of rows.

    Raises:
        InputMissing, DataError: see the readers.
    """
    named = {split: name for split in read_files.SPLITS if (name := getattr(settings, split)) is not None}
    if not all(isinstance(name, str) and name != "-" and not has_magic(name) for name in named.values()):
        return read_files.read(settings)
    places = {split: locate(name, f"data.{split}") for split, name in named.items()}
    if all(map(_holds_texts, places.values())):
        return _text_folders(settings, named)
    if len(places) == 1 and read_azure.is_labels_file(places["train"]):
        return _noted("azure, a labels file of Azure", read_azure.read(_as(AzureSettings, settings)), settings)
    if len(places) == 1 and any((places["train"] / name).is_file() for name in SAVED):
        return _noted("hub, a data set saved by save_to_disk", read_hub.read(_as(HubSettings, settings)), settings)
    return read_files.read(settings)


def _text_folders(settings: TableSettings, named: dict[str, str]) -> Source:
    source = Source(task=Task.single_label)
    for split, name in named.items():
        found = read_text_folders.read(_as(TextFoldersSettings, settings, name))
        for document in found.documents:
            document.split = document.split if split == "train" else split
        source.documents += found.documents
        source.problems += found.problems
        source.notes += [f"{name}: read as data=text_folders, a folder of .txt files per class.", *found.notes]
    return source


def _holds_texts(place: Path) -> bool:
    """Whether a folder has text files in its folders, and no files of rows."""
    inside = visible_files(place) if place.is_dir() else []
    texts = any(path.suffix.lower() == ".txt" and path.parent != place for path in inside)
    return texts and not any(kind_of(path.name) for path in inside)


def _noted(what: str, source: Source, settings: TableSettings) -> Source:
    source.notes.insert(0, f"{settings.train}: read as data={what}.")
    return source


def _as(kind: type[DataSettings], settings: TableSettings, path: str | None = None) -> Any:
    """The settings of another reader, with what both have."""
    shared = {item.name: getattr(settings, item.name) for item in fields(kind) if hasattr(settings, item.name)}
    return kind(**shared | {"path": path or settings.train})
