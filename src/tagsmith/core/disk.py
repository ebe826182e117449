"""Disk space: what a folder takes, and whether there is enough for another training."""

import shutil
from pathlib import Path

PER_CHECKPOINT = 4
"""Size of a checkpoint, as a multiple of the weights: they, those of the best epoch, and Adam's two moments."""


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


def lacking(newest: Path, weights: Path | None, keep_checkpoints: int) -> str | None:
    """Why the disk has no room for another training like the newest one; None: it has.

    Args:
        newest: all that the newest training has left.
        weights: the weights in it, where training writes checkpoints; None: it writes none.
        keep_checkpoints: how many of these are kept.
    """
    size = size_of(newest)
    needed = 2 * size
    if weights is not None and weights.is_file():
        # One more than are kept: a checkpoint is written before the oldest is removed.
        needed = max(needed, size + (keep_checkpoints + 1) * PER_CHECKPOINT * weights.stat().st_size)
    free = shutil.disk_usage(newest).free
    if free >= needed:
        return None
    return (
        f"expected {mebibytes(needed)} of free space for training another version (the newest, {newest.name}, has "
        f"{mebibytes(size)}), found {mebibytes(free)}; free some"
    )
