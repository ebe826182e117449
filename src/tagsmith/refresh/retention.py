"""Which versions stay on disk, what killed processes have left, and the space that the next version needs."""

import logging
import re
import shutil

from tagsmith.config.settings import Recipe, RefreshRun
from tagsmith.core.disk import lacking, mebibytes, size_of
from tagsmith.core.errors import TryAgainLater, counted
from tagsmith.core.files import remove_leftovers, sync
from tagsmith.refresh.promote import earlier
from tagsmith.refresh.store import Store, Version, now

log = logging.getLogger("tagsmith")

GONE = re.compile(r"\.\d{4,}\.removed")
"""The name of a version that is being removed."""


def prune(store: Store, keep: int) -> list[str]:
    """Remove old versions; returns their names. The caller holds the lock of the store.

    These stay: the newest `keep` of those that the gate has decided about, the one in production, the one that a
    rollback would go to, the pinned ones, and the newest of all, which may be in training.
    """
    found = store.versions()
    finished = [version.name for version in found if version.finished]
    stay = {*finished[-keep:], *(version.name for version in found[-1:])}
    stay |= {version.name for version in [*found_in(store, found), *earlier(store)[:1]]}
    stay |= {version.name for version in found if version.pin.exists()}
    names = [version.name for version in found if version.name not in stay]
    size = sum(size_of(store.versions_folder / name) for name in names)
    for name in names:
        _hide(store, Version(store.versions_folder / name))
    if names:
        log.info("removed %s: %s, %s", counted(len(names), "version"), ", ".join(names), mebibytes(size))
    _remove_gone(store)
    return names


def remove(store: Store, version: Version) -> None:
    """Remove one version. The caller holds the lock of the store."""
    _hide(store, version)
    _remove_gone(store)


def clean_up(store: Store) -> None:
    """Remove what killed processes have left in a store. The caller holds the lock of the store."""
    _remove_gone(store)
    if store.path.is_dir():
        remove_leftovers(store.path)
    for version in store.versions():
        remove_leftovers(version.bundle)


def require_space(settings: RefreshRun, store: Store) -> None:
    """Ask for the disk space that another version needs while it is trained, judged by the newest one.

    Raises:
        TryAgainLater: less is free.
    """
    newest = store.newest()
    if newest is None:
        return
    weights = newest.run.weights if settings.train.recipe in (Recipe.finetune, Recipe.auto) else None
    if (why := lacking(newest.path, weights, settings.train.keep_checkpoints)) is not None:
        lower = f", or lower keep={settings.keep}" if settings.keep > 1 else ""
        raise TryAgainLater(f"store={store.path}: {why}{lower}.")


def pin(version: Version) -> None:
    """Keep a version whatever `keep` says."""
    version.pin.write_text(f"{now()}\n", encoding="utf-8")


def unpin(version: Version) -> None:
    """Let `keep` decide about a version again."""
    version.pin.unlink(missing_ok=True)


def found_in(store: Store, versions: list[Version]) -> list[Version]:
    """The version that the link leads to, if it is among these."""
    name = store.link.readlink().name if store.link.is_symlink() else ""
    return [version for version in versions if version.name == name]


def _hide(store: Store, version: Version) -> None:
    """Take a version away by one rename, so that it is there whole or not at all."""
    version.path.rename(store.versions_folder / f".{version.name}.removed")
    sync(store.versions_folder)


def _remove_gone(store: Store) -> None:
    """Remove the files of versions that have been renamed for that; what is still in use on NFS goes the next time."""
    if store.versions_folder.is_dir():
        for path in store.versions_folder.iterdir():
            if GONE.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
