"""What `scripts/refresh.py` does for each action, and its exit status."""

from pathlib import Path

from tagsmith.config.settings import RefreshRun
from tagsmith.refresh.store import Store


def act(settings: RefreshRun) -> int:
    """Carry out the action; returns the exit status."""
    store = Store(Path(settings.store))
    store.create()
    return 0
