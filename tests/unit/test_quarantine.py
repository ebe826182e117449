import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import AcceptSettings, HubSettings, RefreshRun, TableSettings
from tagsmith.config.settings.refresh import Quarantine
from tagsmith.core.errors import DataError
from tagsmith.data.bad_rows import BadRows
from tagsmith.refresh.incoming import quarantine as module
from tagsmith.refresh.incoming.data_gate import DataRefused, check_data
from tagsmith.refresh.incoming.quarantine import quarantine, quarantined
from tagsmith.refresh.incoming.whats_new import look
from tagsmith.refresh.store import Json, Store
from tests.made_looks import made_version, refresh_settings, store_in
from tests.made_records import Record, written


def day(inbox: Path, number: int, count: int = 60, **fields: Any) -> Path:
    """The file of a day, half of it of each class."""
    records: list[Record] = [{"text": f"day {number} row {i}", "label": "ab"[i % 2], **fields} for i in range(count)]
    return Path(written(inbox / f"day_{number}.jsonl", records))


def refuse(settings: RefreshRun, store: Store) -> DataError:
    with pytest.raises(DataError) as caught, quarantined(settings, store):
        check_data(settings.accept, look(settings, store))
    return caught.value


def report_of(folder: Path) -> Json:
    found: Json = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def folders(store: Store) -> list[Path]:
    return sorted(store.quarantine.iterdir()) if store.quarantine.exists() else []


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An inbox whose first day is in the store."""
    day(tmp_path / "inbox", 1)
    made_version(refresh_settings(tmp_path, train=str(tmp_path / "inbox")), store_in(tmp_path))
    return tmp_path / "inbox"


def settings_of(inbox: Path, move: bool = False, **data: Any) -> RefreshRun:
    settings = refresh_settings(inbox.parent, **({"train": str(inbox)} | data))
    settings.accept = AcceptSettings(quarantine=Quarantine.move if move else Quarantine.copy)
    return settings


def test_what_the_gate_refused_is_kept_with_its_report(inbox: Path) -> None:
    store = Store(inbox.parent / "store")
    new = day(inbox, 2, label="b", text="the same")
    error = refuse(settings_of(inbox), store)
    assert isinstance(error, DataRefused)
    (folder,) = folders(store)
    assert str(error).endswith(f"\nThe files, with a report: {folder}")
    assert (folder / "files" / "day_2.jsonl").read_bytes() == new.read_bytes()
    report = report_of(folder)
    assert [(one["path"], one["kept"], one["moved"]) for one in report["files"]] == [(str(new), "day_2.jsonl", False)]
    assert "accept.max_copies" in {one["name"] for one in report["figures"] if not one["passed"]}
    assert report["news"]["copies"] == 59
    assert "The data gate refuses" in report["error"]
    assert new.is_file()


def test_bad_rows_are_kept_with_all_problems(inbox: Path) -> None:
    store = Store(inbox.parent / "store")
    day(inbox, 2, text="")
    error = refuse(settings_of(inbox), store)
    assert isinstance(error, BadRows)
    assert len(error.problems) == 60
    (folder,) = folders(store)
    assert [one["row"] for one in report_of(folder)["problems"]] == list(range(1, 61))


def test_the_same_refusal_is_counted_rather_than_copied_again(inbox: Path) -> None:
    store, settings = Store(inbox.parent / "store"), settings_of(inbox)
    day(inbox, 2, text="")
    for _ in range(3):
        refuse(settings, store)
    (folder,) = folders(store)
    assert report_of(folder)["refusals"] == 3
    day(inbox, 2, text=" ")
    refuse(settings, store)
    assert [report_of(one)["refusals"] for one in folders(store)] == [3, 1]


def test_little_is_kept_of_much(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, settings = Store(inbox.parent / "store"), settings_of(inbox)
    monkeypatch.setattr(module, "MOST_FILES", 2)
    monkeypatch.setattr(module, "MOST_FOLDERS", 3)
    for number in range(2, 5):
        day(inbox, number, text="")
    day(inbox / "sub", 2, text="")  # Another file of the same name.
    refuse(settings, store)
    report = report_of(folders(store)[0])
    assert [one["kept"] for one in report["files"]] == ["day_2.jsonl", "day_3.jsonl", None, None]
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    for count in range(10, 15):
        day(inbox, 2, count, text="")
        refuse(settings, store)
    assert len(folders(store)) == 3
    assert not list((folders(store)[-1] / "files").iterdir())


@pytest.mark.parametrize("named", ["folder", "pattern"])
def test_a_new_file_of_bad_rows_is_moved_out_of_the_way(inbox: Path, named: str) -> None:
    store = Store(inbox.parent / "store")
    train = str(inbox) if named == "folder" else f"{inbox}/*.jsonl"
    good, bad = day(inbox, 2), day(inbox, 3, text="")
    content = bad.read_bytes()
    refuse(settings_of(inbox, True, train=train), store)
    (folder,) = folders(store)
    assert not bad.exists()
    assert good.is_file()
    assert (folder / "files" / "day_3.jsonl").read_bytes() == content
    news = look(settings_of(inbox, True, train=train), store)
    assert (len(news.new), bool(check_data(AcceptSettings(), news))) == (60, True)


def test_an_empty_file_is_moved_and_a_row_that_is_cut_off_is_left_out(inbox: Path) -> None:
    store = Store(inbox.parent / "store")
    half = day(inbox, 2, 3)
    half.write_bytes(half.read_bytes()[:-20])
    (inbox / "day_3.csv").write_text("")
    refuse(settings_of(inbox, True), store)
    assert sorted(path.name for path in inbox.iterdir()) == ["day_1.jsonl", "day_2.jsonl"]
    assert len(look(settings_of(inbox, True), store).new) == 2


def test_the_new_file_that_the_gate_refuses_is_moved_alone(inbox: Path) -> None:
    store = Store(inbox.parent / "store")
    good = day(inbox, 2)
    bad = Path(written(inbox / "day_3.jsonl", [{"text": "word " * 100 + str(i), "label": "a"} for i in range(400)]))
    refuse(settings_of(inbox, True), store)
    assert (good.exists(), bad.exists()) == (True, False)


def test_a_file_is_not_moved_where_it_is_not_known_to_be_the_cause(inbox: Path) -> None:
    store = Store(inbox.parent / "store")
    first = inbox / "day_1.jsonl"
    # A file that was accepted, and is not now.
    day(inbox, 1, text="")
    refuse(settings_of(inbox, True), store)
    assert first.is_file()
    # Documents are gone; the new file has nothing to do with it.
    day(inbox, 1, 20)
    new = day(inbox, 2, 60)
    refuse(settings_of(inbox, True), store)
    assert new.is_file()
    # Files that are named one by one.
    day(inbox, 1)
    day(inbox, 2, text="")
    refuse(settings_of(inbox, True, train=[str(first), str(new)]), store)
    assert new.is_file()
    assert not any(one["moved"] for folder in folders(store) for one in report_of(folder)["files"])


def test_the_only_file_is_not_moved(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    bad = day(tmp_path / "inbox", 1, text="")
    refuse(settings_of(tmp_path / "inbox", True), store)
    assert bad.is_file()


def test_what_is_no_file_is_not_kept(tmp_path: Path) -> None:
    for data in (HubSettings(name="ag_news"), TableSettings(train="-")):
        assert quarantine(RefreshRun(store="", data=data), store_in(tmp_path), DataError("refused")) is None


def test_a_quarantine_that_cannot_be_written_changes_no_error(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "replace_folder", full)
    day(inbox, 2, text="")
    error = refuse(settings_of(inbox), Store(inbox.parent / "store"))
    assert isinstance(error, BadRows)
    assert "with a report" not in str(error)
