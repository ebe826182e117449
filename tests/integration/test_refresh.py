"""Whole refreshes of a store, with a tiny encoder: what is promoted, what is refused, what an interruption leaves."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import (
    BoundsSettings,
    ModelSettings,
    Recipe,
    RefreshAction,
    RefreshRun,
    RunningService,
    TableSettings,
    When,
)
from tagsmith.core.errors import DataError, InputMissing, Interrupted, SettingsError, TryAgainLater
from tagsmith.data.dataset_folders import load_documents
from tagsmith.refresh import refresh_run, steps
from tagsmith.refresh.actions import act
from tagsmith.refresh.incoming.data_gate import DataRefused
from tagsmith.refresh.lock import lock_held
from tagsmith.refresh.promote import Promotion
from tagsmith.refresh.refresh_run import refresh
from tagsmith.refresh.running_service import Service
from tagsmith.refresh.status import history_text, status_text
from tagsmith.refresh.store import Store
from tests.conftest import make_documents, write_jsonl

pytestmark = pytest.mark.slow

REFRESH = Path(__file__).parents[2] / "scripts" / "refresh.py"

DOCUMENTS = [{"id": f"d{i}", **one} for i, one in enumerate(make_documents(500, multi_label=False, longest=6))]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> RefreshRun:
    """The settings of a store with one version, of 300 documents, in production."""
    folder = tmp_path_factory.mktemp("stores")
    settings = RefreshRun(store=str(folder / "store"), model=ModelSettings(path=str(encoder)), keep=2)
    settings.data = TableSettings(train=str(write_jsonl(folder / "documents.jsonl", DOCUMENTS[:300])))
    settings.train.recipe = Recipe.probe
    # Tests share the cores, and a first version is worse than TF-IDF on so few words.
    settings.bounds = BoundsSettings(max_latency_ratio=100)
    assert refresh(settings, Store(folder / "store")) == 0
    return settings


@pytest.fixture
def settings(first: RefreshRun, tmp_path: Path) -> RefreshRun:
    """A copy of that store, whose file may be changed."""
    shutil.copytree(first.store, tmp_path / "store", symlinks=True)
    shutil.copy(str(first.data.train), tmp_path / "documents.jsonl")  # type: ignore[attr-defined]
    # The same path, as it is part of what a version was made from.
    data = replace(first.data, train=str(tmp_path / "documents.jsonl"))  # type: ignore[type-var]
    return replace(first, store=str(tmp_path / "store"), data=data)


def store_of(settings: RefreshRun) -> Store:
    return Store(Path(settings.store))


def arrive(settings: RefreshRun, documents: list[dict[str, Any]]) -> None:
    write_jsonl(Path(settings.data.train), documents)  # type: ignore[attr-defined]


def turned(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = sorted({str(one["label"]) for one in documents})
    following = dict(zip(names, [*names[1:], names[0]], strict=True))
    return [one | {"label": following[str(one["label"])]} for one in documents]


def ids(settings: RefreshRun, split: str) -> set[str]:
    newest = store_of(settings).newest()
    assert newest is not None
    return set(load_documents(newest.run.data)[split]["id"])


def interrupted(*_: Any) -> None:
    """In place of a step: Ctrl-C arrives in it."""
    raise KeyboardInterrupt


def last(settings: RefreshRun) -> dict[str, Any]:
    return store_of(settings).read_history()[-1]


def test_a_first_version_is_served_and_explained(settings: RefreshRun) -> None:
    store = store_of(settings)
    current = store.current()
    assert current is not None
    assert current.name == "0001"
    classifier = Classifier.load(store.link / "bundle")
    assert classifier.classes == ["animals", "food", "tools"]
    assert {path.name for path in store.test.iterdir()} == {"frozen.jsonl"}
    decision = current.read_decision()
    assert decision["promote"]
    assert decision["sentence"] == last(settings)["sentence"]
    assert last(settings) | {"status": 0, "outcome": "promoted", "version": "0001", "production": "0001"} == last(
        settings
    )
    assert [step["step"] for step in last(settings)["steps"]] == ["train", "calibrate", "evaluate", "export"]
    assert current.run.page.is_file()


def test_nothing_new_is_said_at_once(settings: RefreshRun) -> None:
    # The copy of the file has another path.
    assert refresh(settings, store_of(settings)) == 4
    assert refresh(settings, store_of(settings)) == 4
    assert last(settings)["outcome"] == "nothing_new"
    arrive(settings, DOCUMENTS[299::-1])
    assert refresh(settings, store_of(settings)) == 4
    arrive(settings, DOCUMENTS[:303])
    assert refresh(replace(settings, min_new=4), store_of(settings)) == 4
    assert "3 new" in last(settings)["sentence"]
    assert [one.name for one in store_of(settings).versions()] == ["0001"]


def test_new_documents_train_a_version_and_test_documents_stay_what_they_are(settings: RefreshRun) -> None:
    store = store_of(settings)
    frozen = (store.test / "frozen.jsonl").read_bytes()
    tested = ids(settings, "test")
    arrive(settings, DOCUMENTS)
    assert refresh(settings, store) == 0
    assert (store.test / "frozen.jsonl").read_bytes() == frozen
    (added,) = (path for path in store.test.iterdir() if path.name != "frozen.jsonl")
    new = {json.loads(line)["id"] for line in added.read_text().splitlines()}
    assert len(new) == 40
    assert new < {str(one["id"]) for one in DOCUMENTS[300:]}
    assert ids(settings, "test") == tested | new
    assert not ids(settings, "train") & (tested | new)
    decision = store.versions()[-1].read_decision()
    assert set(decision["figures"]["slices"]) == {added.stem}
    assert decision["champion"] == "0001"


def test_what_is_worse_is_not_promoted_and_not_trained_again(settings: RefreshRun) -> None:
    arrive(settings, DOCUMENTS[:300] + turned(DOCUMENTS[300:]))
    assert refresh(settings, store_of(settings)) == 3
    assert last(settings)["production"] == "0001"
    assert last(settings)["version"] == "0002"
    assert refresh(settings, store_of(settings)) == 4


def test_the_data_gate_refuses_and_production_stays(settings: RefreshRun) -> None:
    for documents, what in (
        ([one for one in DOCUMENTS[:330] if one["label"] != "food"], "food"),
        (DOCUMENTS[:100], "max_fewer"),
    ):
        arrive(settings, documents)
        with pytest.raises(DataRefused, match=what):
            refresh(settings, store_of(settings))
        assert last(settings) | {"outcome": "refused", "status": 65, "production": "0001"} == last(settings)
    assert len(list(store_of(settings).quarantine.iterdir())) == 2
    arrive(settings, [])
    with pytest.raises(DataError):
        refresh(settings, store_of(settings))
    assert last(settings)["outcome"] == "refused"
    Path(settings.data.train).unlink()  # type: ignore[attr-defined]
    with pytest.raises(InputMissing):
        refresh(settings, store_of(settings))
    assert last(settings) | {"outcome": "failed", "status": 66, "production": "0001"} == last(settings)
    arrive(settings, DOCUMENTS)
    assert refresh(settings, store_of(settings)) == 0


def test_an_interrupted_refresh_is_resumed_without_training_again(
    settings: RefreshRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_training(*_: Any) -> None:
        raise AssertionError("trained again")

    arrive(settings, DOCUMENTS)
    with monkeypatch.context() as patched, pytest.raises(Interrupted, match="same command again"):  # noqa: PT012
        patched.setattr(steps, "export", interrupted)
        refresh(settings, store_of(settings))
    assert last(settings) | {"outcome": "later", "status": 75, "version": "0002"} == last(settings)
    arrive(settings, DOCUMENTS[:200])  # What has come meanwhile is looked at the next time.
    with monkeypatch.context() as patched:
        patched.setattr(steps, "train", no_training)
        assert refresh(settings, store_of(settings)) == 0
    assert [step["step"] for step in last(settings)["steps"]] == ["export"]


def test_an_interrupted_refresh_with_other_settings_begins_anew(
    settings: RefreshRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(settings, DOCUMENTS)
    with monkeypatch.context() as patched, pytest.raises(Interrupted):  # noqa: PT012
        patched.setattr(steps, "export", interrupted)
        refresh(settings, store_of(settings))
    assert refresh(replace(settings, seed=5), store_of(settings)) == 0
    current = store_of(settings).current()
    assert current is not None
    assert current.run.read_record()["settings"]["seed"] == 5


def test_a_version_that_cannot_be_exported_stops_no_later_refresh(
    settings: RefreshRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: Any) -> None:
        raise DataError("other scores")

    arrive(settings, DOCUMENTS)
    with monkeypatch.context() as patched, pytest.raises(DataError, match="other scores"):  # noqa: PT012
        patched.setattr(steps, "export", damaged)
        refresh(settings, store_of(settings))
    assert last(settings)["outcome"] == "failed"
    assert [one.name for one in store_of(settings).versions()] == ["0001"]
    assert refresh(settings, store_of(settings)) == 0


def test_a_promotion_that_was_interrupted_is_completed(settings: RefreshRun, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(settings, DOCUMENTS)
    with monkeypatch.context() as patched, pytest.raises(Interrupted):  # noqa: PT012
        patched.setattr(refresh_run, "promote", interrupted)
        refresh(settings, store_of(settings))
    assert last(settings)["production"] == "0001"
    assert refresh(settings, store_of(settings)) == 0
    assert last(settings)["production"] == "0002"
    assert refresh(settings, store_of(settings)) == 4


def test_a_service_that_asks_for_attention_lowers_what_has_to_be_new(
    settings: RefreshRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Service, "deployment", lambda _: {"attention": [{"sentence": one} for one in asked]})
    service = RunningService(url="http://127.0.0.1:1")
    settings = replace(settings, when=When.attention, min_new=100, serve=service)
    arrive(settings, DOCUMENTS[:310])
    assert refresh(settings, store_of(settings)) == 4
    asked.append("16.0% of the documents are for a person.")
    with monkeypatch.context() as patched:
        patched.setattr(refresh_run, "promote", lambda *_: Promotion("promoted", 0, "served"))
        assert refresh(settings, store_of(settings)) == 0
    assert last(settings)["attention"] == asked
    assert refresh(settings, store_of(settings)) == 4
    assert last(settings)["outcome"] == "attention"
    assert asked[0] in last(settings)["sentence"]


def test_a_lower_keep_makes_room_before_the_disk_is_measured(
    settings: RefreshRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise TryAgainLater("no space")

    store = store_of(settings)
    for name in ("0002", "0003"):
        shutil.copytree(store.versions_folder / "0001", store.versions_folder / name)
        version = store.version(name)
        (version.path / "promoted.json").unlink()
        version.decision.write_text(json.dumps(version.read_decision() | {"promote": False}))
    arrive(settings, DOCUMENTS[:310])
    monkeypatch.setattr(refresh_run, "require_space", full)
    with pytest.raises(TryAgainLater):
        refresh(replace(settings, keep=1), store)
    assert [one.name for one in store.versions()] == ["0001", "0003"]


def test_one_refresh_at_a_time_and_who_holds_the_lock(settings: RefreshRun) -> None:
    store = store_of(settings)
    lines = len(store.read_history())
    with lock_held(store, 0), pytest.raises(TryAgainLater, match=f"lock held by process {os.getpid()} on .* since"):
        refresh(settings, store)
    assert len(store.read_history()) == lines
    store.holder.write_text(json.dumps({"pid": 7, "host": "a", "command": "refresh", "since": "2026-01-01"}))
    assert refresh(settings, store) == 4
    assert [line["outcome"] for line in store.read_history()[lines:]] == ["killed", "nothing_new"]


def test_actions_by_hand(settings: RefreshRun, capsys: pytest.CaptureFixture[str]) -> None:
    def acted(action: RefreshAction, version: str | None = None) -> int:
        return act(replace(settings, action=action, version=version))

    store = store_of(settings)
    arrive(settings, DOCUMENTS)
    assert acted(RefreshAction.dry_run) == 0
    assert "200 new" in capsys.readouterr().out
    assert len(store.versions()) == 1
    assert act(settings) == 0
    assert acted(RefreshAction.rollback) == 0
    assert store.link.readlink().name == "0001"
    assert acted(RefreshAction.pin, "1") == 0
    assert acted(RefreshAction.promote, "0002") == 0
    assert store.link.readlink().name == "0002"
    assert "0001 (pinned), 0002 (in production)" in status_text(store)
    assert acted(RefreshAction.unpin, "0001") == 0
    assert acted(RefreshAction.status) == 0
    assert acted(RefreshAction.history) == 0
    assert "action=rollback: 0001 is in production again, in place of 0002." in " ".join(history_text(store).split())
    assert [line["action"] for line in store.read_history()][-4:] == ["rollback", "pin", "promote", "unpin"]
    assert acted(RefreshAction.dry_run) == 4


def test_what_cannot_be_done_by_hand_is_no_refused_data(settings: RefreshRun) -> None:
    with pytest.raises(DataError, match="too few test documents"):
        act(replace(settings, action=RefreshAction.renew_test))
    assert last(settings)["outcome"] == "failed"


def test_a_store_without_production_says_the_way_out(settings: RefreshRun) -> None:
    store = store_of(settings)
    store.link.unlink()
    assert refresh(settings, store) == 4
    sentence = last(settings)["sentence"]
    assert "action=promote version=0001 promotes one by hand" in sentence


def test_the_status_names_a_process_that_holds_the_lock_and_one_that_was_killed(settings: RefreshRun) -> None:
    store = store_of(settings)
    with lock_held(store, 0):
        assert status_text(store).splitlines()[-1].startswith(f"lock held by process {os.getpid()} on ")
        about = json.loads(store.holder.read_text())
        gone = subprocess.Popen(["true"])
        gone.wait()
        store.holder.write_text(json.dumps(about | {"pid": gone.pid}))
        assert status_text(store).endswith(" and was killed; the next refresh carries on")


def test_a_launch_of_several_processes_is_refused(settings: RefreshRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="expected one process, found a launch of 2"):
        act(settings)


def test_a_timer_that_finds_nothing_new_imports_nothing_slow(settings: RefreshRun) -> None:
    code = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as ended:
    slow = {"torch", "transformers", "datasets", "pandas", "sklearn", "scipy"} & set(sys.modules)
    print(ended.code, slow)
"""
    words = [f"store={settings.store}", f"data.train={settings.data.train}", f"model.path={settings.model.path}"]  # type: ignore[attr-defined]
    command = [sys.executable, "-c", code, str(REFRESH), *words, "train=probe", "bounds.max_latency_ratio=100"]
    for _ in range(2):  # The first one reads the file, which has another path than when the version was trained.
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "4 set()", done.stderr
    # Nor does a rollback, which somebody waits for; its error is said once.
    done = subprocess.run([*command[:4], words[0], "action=rollback"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "66 set()", done.stderr
    assert done.stderr.count("no version is left") == 1
    assert "no version is left" in store_of(settings).log.read_text()
