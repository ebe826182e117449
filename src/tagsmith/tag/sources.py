"""Pools that are not files of rows, by the readers of `data`: class folders, a labels file of Azure, a data set."""

from pathlib import Path

from tagsmith.config.settings import AzureSettings, HubSettings, TagRun, TextFoldersSettings
from tagsmith.core.files import HUB
from tagsmith.core.text_files import visible_files
from tagsmith.data import read_azure, read_hub, read_text_folders
from tagsmith.data.auto import SAVED
from tagsmith.data.documents import Source


def read_other(settings: TagRun) -> Source | None:
    """The documents of the pool, those without a class included; None where it is files of rows or of texts.

    Raises:
        InputMissing, DataError: see the readers.
    """
    pool = settings.pool or ""
    place = Path(pool)
    if pool.startswith(HUB):
        return read_hub.read(_hub(settings, name=pool.removeprefix(HUB)), untagged=True)
    if place.is_file() and read_azure.is_labels_file(place):
        return read_azure.read(AzureSettings(path=pool, encoding=settings.encoding), untagged=True)
    if not place.is_dir():
        return None
    if any((place / name).is_file() for name in SAVED):
        return read_hub.read(_hub(settings, path=pool), untagged=True)
    texts = [path for path in visible_files(place) if path.suffix.lower() == ".txt"]
    if texts and all(path.parent != place for path in texts):
        return _class_folders(pool, settings.encoding)
    return None


def _hub(settings: TagRun, name: str | None = None, path: str | None = None) -> HubSettings:
    found = HubSettings(name=name, path=path)
    found.text_field = settings.text_field or found.text_field
    found.label_field = settings.label_field or found.label_field
    return found


def _class_folders(pool: str, encoding: str | None) -> Source:
    """A folder with a folder for each class, of which one may hold what is to be tagged, such as `untagged`."""
    untagged = [path.name for path in Path(pool).iterdir() if read_text_folders.means_untagged(path.name)]
    found = read_text_folders.read(TextFoldersSettings(path=pool, classes=untagged or None, encoding=encoding))
    for document in found.documents:
        document.labels = [name for name in document.labels if name not in untagged]
    found.notes.insert(0, f"pool={pool}: the names of its folders are taken as classes.")
    return found
