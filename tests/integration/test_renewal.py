"""Refreshes in which all goes wrong that may go wrong, and refreshes that are killed: with a tiny encoder."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tagsmith.bench.renewal.chain_kills import kill_refreshes
from tagsmith.bench.renewal.nights import KILLED, Trouble, in_own_process, start
from tagsmith.bench.renewal.simulated_year import simulate_year, summary
from tagsmith.config.settings import BenchRefreshRun, BoundsSettings, ModelSettings, Recipe, TableSettings
from tagsmith.data.dataset_folders import load_documents
from tagsmith.refresh.store import Store
from tests.conftest import make_documents, write_jsonl
from tests.forked import forkserver_context

pytestmark = pytest.mark.slow

ENDS = {0, 3}
"""Statuses of a refresh that has trained."""

WANTED = {
    Trouble.vanished_class: [{65}],
    Trouble.empty_file: [{65}],
    Trouble.half_written: [{65}],
    Trouble.broken_bundle: [{65}],
    Trouble.full_disk: [{75}],
    Trouble.two_timers: [ENDS, {75}],
}
"""Statuses that a trouble may end with, where they are others than those of a refresh that has trained."""


@pytest.fixture
def settings(tmp_path: Path, encoder: Path) -> BenchRefreshRun:
    forkserver_context()  # The server that the tests of scripts use, instead of one that imports torch each night.
    # Of the class that comes late only a third: a version is trained for each 25 documents.
    documents = make_documents(930, multi_label=False, longest=6)
    documents = [one for i, one in enumerate(documents) if one["label"] != "tools" or i % 9 == 2]
    settings = BenchRefreshRun(
        store=str(tmp_path / "renewal"),
        data=TableSettings(train=str(write_jsonl(tmp_path / "documents.jsonl", documents))),
        model=ModelSettings(path=str(encoder)),
        bounds=BoundsSettings(max_latency_ratio=100),  # Tests share the cores.
        first=150,
        hidden=150,
        min_new=25,
        nights=30,
        kills=3,
    )
    settings.train.recipe = Recipe.probe
    return settings


def test_nights_with_all_troubles(settings: BenchRefreshRun) -> None:
    year = simulate_year(settings)
    assert len(year.nights) == 30
    assert year.missed == []
    assert year.asked > 50
    assert year.unexplained() == [], summary(year)
    happened = {night.trouble: night for night in year.nights if night.trouble is not None}
    assert set(happened) == set(Trouble)
    for trouble, night in happened.items():
        wanted = WANTED.get(trouble, [ENDS])
        if KILLED in night.statuses:
            wanted = [{KILLED}, ENDS]
        assert all(found in allowed for found, allowed in zip(night.statuses, wanted, strict=True)), night
    # On documents that nobody else has seen: chance, not what the troubles would have done.
    assert all(fall < 0.05 for _, fall in year.falls()), summary(year)
    newest = Store(Path(settings.store) / "store").newest()
    assert newest is not None
    splits = load_documents(newest.run.data)
    texts = {split: {text.rstrip(".") for text in splits[split]["text"]} for split in ("train", "test")}
    assert not texts["train"] & texts["test"]


def test_sigterm_is_answered_with_75_and_the_same_command_resumes(settings: BenchRefreshRun, tmp_path: Path) -> None:
    documents = make_documents(300, multi_label=False, longest=6)
    incoming = write_jsonl(tmp_path / "incoming.jsonl", [{"id": f"d{i}", **one} for i, one in enumerate(documents)])
    settings = replace(settings, data=TableSettings(train=str(incoming)), store=str(tmp_path / "store"))
    store = Store(tmp_path / "store")
    process = start(settings)
    while process.is_alive() and not any(one.run.holds_run for one in store.versions()):
        time.sleep(0.01)
    process.terminate()
    process.join()
    assert process.exitcode == 75
    (line,) = store.read_history()
    assert line | {"outcome": "later", "status": 75, "version": "0001"} == line
    assert in_own_process(settings) == 0
    assert store.link.readlink().name == "0001"


def test_a_refresh_that_is_killed_ends_like_one_that_was_not(settings: BenchRefreshRun) -> None:
    settings = replace(settings, hidden=500)  # Half of the others are enough.
    assert len(kill_refreshes(settings)) == 3
