"""What `data.train` names where it is no file of rows: folders of texts, a labels file of Azure, a saved data set."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from tagsmith.config.settings import AzureSettings, DataSettings, HubSettings, TableSettings, TextFoldersSettings
from tagsmith.core.text_files import visible_files
from tagsmith.rows.files import kind_of, locate

SAVED = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` writes."""


def settings_of_source(settings: DataSettings) -> DataSettings:
    """The settings of the reader for what `data.train` names: the given ones where it names files of rows.

    Raises:
        InputMissing: there is no such file or folder.
    """
    if not isinstance(settings, TableSettings) or not isinstance(settings.train, str):
        return settings
    path = Path(settings.train)
    if path.is_dir():
        if any((path / name).exists() for name in SAVED):
            return _as(HubSettings, settings, path)
        inside = visible_files(path)
        texts = [file for file in inside if file.suffix.lower() == ".txt" and file.parent != path]
        if texts and not any(kind_of(file.name) for file in inside):
            return _as(TextFoldersSettings, settings, path)
    elif path.suffix.lower() == ".json" and _is_labels_file(locate(settings.train, "data.train")):
        return _as(AzureSettings, settings, path)
    return settings


def _as(kind: type[DataSettings], settings: TableSettings, path: Path) -> DataSettings:
    shared: dict[str, Any] = {
        item.name: getattr(settings, item.name) for item in fields(kind) if hasattr(settings, item.name)
    }
    return kind(**shared | {"path": str(path)})


def _is_labels_file(path: Path) -> bool:
    """Whether the file is what Azure exports: an object with `assets`, or with `documents` that have a location."""
    raw = path.read_bytes()
    try:
        content = json.loads(raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    if not isinstance(content, dict):
        return False
    documents = content.get("documents")
    return isinstance(content.get("assets"), dict) or (
        isinstance(documents, list)
        and bool(documents)
        and isinstance(documents[0], dict)
        and "location" in documents[0]
    )
