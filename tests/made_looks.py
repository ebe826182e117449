"""Stores of versions that were never trained: their documents and what their refresh saw, as a real one writes them."""

from pathlib import Path
from typing import Any

from tagsmith.config.settings import RefreshRun, TableSettings
from tagsmith.core.files import write_json
from tagsmith.data import TaggedData
from tagsmith.refresh.incoming.whats_new import News, look, remember
from tagsmith.refresh.store import Store, Version
from tagsmith.refresh.test_documents import load_for, record_slice
from tests.made_records import Record, written


def store_in(folder: Path) -> Store:
    store = Store(folder / "store")
    store.create()
    return store


def refresh_settings(folder: Path, records: list[Record] | None = None, seed: int = 0, **data: Any) -> RefreshRun:
    """Settings for these records as train.jsonl, or for what `data` names."""
    if records is not None:
        data["train"] = written(folder / "train.jsonl", records)
    return RefreshRun(store=str(folder / "store"), seed=seed, data=TableSettings(**data))


def made_version(settings: RefreshRun, store: Store, news: News | None = None) -> tuple[Version, TaggedData]:
    """The next version, up to training, and finished by a decision without figures."""
    news = news or look(settings, store)
    version = store.next_version()
    version.path.mkdir()
    remember(settings, news, version)
    tagged = load_for(settings, store, news)
    tagged.splits.save_to_disk(str(version.run.data))
    record_slice(store, version)
    write_json(version.decision, {"promote": True})
    return version, tagged
