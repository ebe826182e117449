"""Which versions stay on disk, what killed processes have left, and the space that the next version needs."""

import logging
import re
import shutil
from pathlib import Path

from tagsmith.config.settings import Recipe, RefreshRun
from tagsmith.core.errors import TryAgainLater, counted
from tagsmith.core.files import remove_leftovers, sync
from tagsmith.refresh.promote import earlier
from tagsmith.refresh.store import Store, Version, now

log = logging.getLogger("tagsmith")

PER_CHECKPOINT = 4
"""Size of a checkpoint, as a multiple of the weights: they, those of the best epoch, and Adam's two moments."""

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
    size = size_of(newest.path)
    needed = 2 * size
    if settings.train.recipe in (Recipe.finetune, Recipe.auto) and newest.run.weights.is_file():
        checkpoint = PER_CHECKPOINT * newest.run.weights.stat().st_size
        # One more than are kept: a checkpoint is written before the oldest is removed.
        needed = max(needed, size + (settings.train.keep_checkpoints + 1) * checkpoint)
    free = shutil.disk_usage(store.path).free
    if free < needed:
        lower = f", or lower keep={settings.keep}" if settings.keep > 1 else ""
        raise TryAgainLater(
            f"store={store.path}: expected {mebibytes(needed)} of free space for training another version (the newest, "
            f"{newest.name}, has {mebibytes(size)}), found {mebibytes(free)}; free some{lower}."
        )


def pin(version: Version) -> None:
    """Keep a version whatever `keep` says."""
    version.pin.write_text(f"{now()}\n", encoding="utf-8")


def unpin(version: Version) -> None:
    """Let `keep` decide about a version again."""
    version.pin.unlink(missing_ok=True)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; a file that vanishes meanwhile counts as nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue
    return total


def mebibytes(size: int) -> str:
    """`1,234.5 MiB`."""
    return f"{size / 2**20:,.1f} MiB"


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
