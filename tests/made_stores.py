"""Stores of versions without training: bundles of `tests.bundles`, and decisions that the caller makes up."""

import json
from pathlib import Path
from typing import Any

from tagsmith.core.files import write_json
from tagsmith.refresh.store import Store, Version
from tests.bundles import make_bundle


def make_store(folder: Path, versions: int = 0, **decision: Any) -> Store:
    """A store with versions that the gate has accepted, none of them in production."""
    store = Store(folder)
    store.create()
    for _ in range(versions):
        add_version(store, **decision)
    return store


def add_version(store: Store, finished: bool = True, **decision: Any) -> Version:
    """The next version; each has a bundle with other scores."""
    version = store.next_version()
    make_bundle(version.bundle, vote=2.0 + int(version.name) / 16)
    version.run.model.mkdir(parents=True)
    if finished:
        write_json(version.decision, {"format": 1, "promote": True, **decision})
    return version


def damage(version: Version) -> None:
    """Change a file of the bundle, so that it no longer verifies."""
    path = version.bundle / "decision.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"abstain_below": 0.9}))
