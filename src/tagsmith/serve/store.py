"""Where the bundle of a deployment lies: in the folder that it names, or in the store that `scripts/refresh.py` keeps.

STORE/current -> versions/0007      the version in production; moved by one rename
STORE/versions/0007/bundle          its bundle
"""

from dataclasses import dataclass
from pathlib import Path

LINK, VERSIONS, BUNDLE = "current", "versions", "bundle"

LOCKS = {"lock", "lock.json"}
"""What else a refresh writes into an empty folder before it makes a store of it."""


@dataclass(frozen=True)
class Place:
    """A bundle.

    Attributes:
        bundle: its folder, without symbolic links.
        version: its version in the store, such as 0007; None: it is in no store.
    """

    bundle: Path
    version: str | None = None


def place_of(folder: Path) -> Place | None:
    """The bundle that a deployment's folder names now; None: the folder is a store without a version in production.

    An empty folder is taken as a store, which it will become. The bundle itself may be missing.
    """
    if not is_store(folder):
        return Place(folder.resolve())
    link = folder / LINK
    if not link.is_symlink():
        return None
    version = link.resolve()
    return Place(version / BUNDLE, version.name)


def is_store(folder: Path) -> bool:
    """Whether the folder is a store, or empty."""
    if (folder / VERSIONS).is_dir():
        return True
    try:
        return all(found.name in LOCKS for found in folder.iterdir())
    except OSError:
        return False
