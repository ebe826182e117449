import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import AzureSettings, HubSettings, RefreshRun, TableSettings, TextFoldersSettings
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Task
from tagsmith.refresh.incoming.seen import Seen, match, script_of
from tagsmith.refresh.incoming.whats_new import News, look, nothing_new, read_seen, remember, unchanged_files
from tagsmith.refresh.store import Store
from tests.made_looks import made_version, refresh_settings, store_in
from tests.made_records import Record, records_of, written


def seen(*documents: str) -> list[Seen]:
    """Documents as `id:text:label`; an empty id is none."""
    parts = [document.split(":") for document in documents]
    return [Seen(one[0] or None, one[1], (one[2],), 1, None, "latin", text=one[1]) for one in parts]


def names(before: list[str], today: list[str]) -> dict[str, list[str]]:
    """What `match` finds, each document as `id:text:label`."""

    def shown(one: Seen) -> str:
        return f"{one.id or ''}:{one.sha256}:{one.labels[0]}"

    found = match(seen(*before), seen(*today))
    lists = {
        "new": [shown(one) for one in found.new],
        "copies": [shown(one) for one in found.copies],
        "retagged": [f"{shown(one)} > {shown(other)}" for one, other in found.retagged],
        "edited": [f"{shown(one)} > {shown(other)}" for one, other in found.edited],
        "withdrawn": [shown(one) for one in found.withdrawn],
    }
    return {name: found for name, found in lists.items() if found}


@pytest.mark.parametrize(
    ("before", "today", "expected"),
    [
        (["1:x:a", ":y:b"], [":y:b", "1:x:a"], {}),
        ([":x:a"], [":x:a", ":y:b"], {"new": [":y:b"]}),
        ([":x:a", ":y:b"], [":x:a"], {"withdrawn": [":y:b"]}),
        # A document with an id stays itself whatever is edited; without one it is its text.
        (["1:x:a"], ["1:x:b"], {"retagged": ["1:x:a > 1:x:b"]}),
        (["1:x:a"], ["1:y:a"], {"edited": ["1:x:a > 1:y:a"]}),
        (["1:x:a"], ["1:y:b"], {"retagged": ["1:x:a > 1:y:b"], "edited": ["1:x:a > 1:y:b"]}),
        ([":x:a"], [":x:b"], {"retagged": [":x:a > :x:b"]}),
        ([":x:a"], [":y:a"], {"new": [":y:a"], "withdrawn": [":x:a"]}),
        # A copy of a text without an id is the same document; with an id of its own it is another.
        ([":x:a"], [":x:a", ":x:a"], {"copies": [":x:a"]}),
        ([":x:a", ":x:a"], [":x:a"], {}),
        ([], [":x:a", ":x:a"], {"new": [":x:a"], "copies": [":x:a"]}),
        (["1:x:a"], ["1:x:a", "2:x:a"], {"new": ["2:x:a"]}),
        (["1:x:a", "2:x:a"], ["1:x:a"], {"withdrawn": ["2:x:a"]}),
        # Contradictory copies keep their tags; the order of the rows means nothing.
        ([":x:a", ":x:b"], [":x:b", ":x:a"], {}),
        ([":x:a", ":x:b"], [":x:b", ":x:b"], {"retagged": [":x:a > :x:b"]}),
        # A column of ids comes, or goes.
        ([":x:a", ":y:b"], ["1:x:a", "2:y:b"], {}),
        (["1:x:a", "2:y:b"], [":x:a", ":y:b"], {}),
        (["1:x:a"], ["7:x:b"], {"retagged": ["1:x:a > 7:x:b"]}),
        # Ids that were given anew win over the texts.
        (["1:x:a", "2:y:a"], ["2:x:a", "1:y:a"], {"edited": ["2:y:a > 2:x:a", "1:x:a > 1:y:a"]}),
    ],
)
def test_documents_of_two_days_are_matched(before: list[str], today: list[str], expected: dict[str, list[str]]) -> None:
    assert names(before, today) == expected


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("The app crashes", "latin"), ("Das Gerät wärmt", "latin"), ("Приложение не работает", "cyrillic"),
        ("アプリが落ちる", "east asian"), ("应用崩溃", "east asian"), ("앱이 멈춰요", "hangul"),
        ("123 !? 😀", ""), ("", ""),
        ("API: приложение не работает", "cyrillic"), ("التطبيق", "arabic"), ("7" * 300 + " ответ", "cyrillic"),
    ],
)  # fmt: skip
def test_the_writing_system_of_a_text(text: str, script: str) -> None:
    assert script_of(text) == script


# -- looks ----------------------------------------------------------------------------------------------------------


def again(folder: Path, store: Store, records: list[Record], **data: Any) -> News:
    return look(refresh_settings(folder, records, **data), store)


def test_a_second_look_names_what_is_new(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), records_of("ab" * 10)
    first = again(tmp_path, store, records)
    assert (first.first, len(first.new), first.changes, first.enough(20), first.enough(21)) == (
        True,
        20,
        20,
        True,
        False,
    )
    made_version(refresh_settings(tmp_path, records), store)
    nothing = again(tmp_path, store, [*reversed(records), {"text": "  text\n0 ", "label": "a"}])
    assert (nothing.changes, nothing.enough(1), len(nothing.matched.copies)) == (0, False, 1)
    records[0]["label"] = "b"
    del records[5]
    news = again(tmp_path, store, [*records, {"text": "another", "label": "c"}, {"text": "bad"}])
    assert [str(one) for one in news.new] == [f"{tmp_path}/train.jsonl:20 (c): 'another'"]
    assert news.sentence == "1 new, 1 tagged otherwise and 1 withdrawn of 20 documents, 20 before."
    found = news.as_json()
    assert {name: found[name] for name in ("documents", "before", "new", "retagged", "edited", "withdrawn")} == {
        "documents": 20, "before": 20, "new": 1, "retagged": 1, "edited": 0, "withdrawn": 1,
    }  # fmt: skip
    assert found["examples"]["retagged"] == [
        {"place": f"{tmp_path}/train.jsonl:1", "text": "text 0", "labels": ["b"], "labels_before": ["a"]}
    ]
    assert news.enough(3)
    assert not news.enough(4)


def test_what_was_seen_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    records: list[Record] = [
        {"id": "7", "text": "one\ud83d", "label": "a"}, {"text": "два", "label": "b", "language": "ru"},
        {"text": "three", "label": "b"},
    ]  # fmt: skip
    records[0]["text"] = "one 😀"
    settings = refresh_settings(tmp_path, records, test_share=0.4)
    news = look(settings, store)
    version = store.next_version()
    version.path.mkdir()
    remember(settings, news, version)
    assert read_seen(version) == news.documents
    version.seen.write_text('{"id": null}\n')
    with pytest.raises(DataError, match=r"seen.jsonl: expected documents with the field 'sha256'; restore it"):
        read_seen(version)


def test_tags_of_the_queues_are_news(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), records_of("ab" * 10)
    tagged = tmp_path / "tagged.jsonl"
    lines: list[Record] = [{"text": "text 0", "tag": None}]
    made_version(refresh_settings(tmp_path, records, tagged=[written(tagged, lines)]), store)
    lines = [{"text": "text 0", "tag": "b"}, {"text": "text 2", "tag": "a"}, {"text": "from the pool", "tag": "a"}]
    news = again(tmp_path, store, records, tagged=[written(tagged, lines)])
    assert ([one.text for one in news.new], [one.text for _, one in news.retagged]) == (["from the pool"], ["text 0"])
    made_version(refresh_settings(tmp_path, records, tagged=[str(tagged)]), store, news)
    assert again(tmp_path, store, records, tagged=[str(tagged)]).changes == 0


def test_a_multi_label_document_without_labels_is_seen(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    records: list[Record] = [{"text": f"text {i}", "label": ["a"] if i % 2 else ["b", "a"]} for i in range(10)]
    made_version(refresh_settings(tmp_path, records), store)
    records[0]["label"] = []
    records[2]["label"] = ["a", "b"]
    assert [one.labels for _, one in again(tmp_path, store, records).retagged] == [()]


# -- files that have not changed -------------------------------------------------------------------------------------


def settings_for(folder: Path, **data: Any) -> RefreshRun:
    return refresh_settings(folder, None, **data)


def test_unchanged_files_are_known_without_reading_them(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), records_of("ab" * 10)
    settings = refresh_settings(tmp_path, records)
    assert not unchanged_files(settings, store)
    made_version(settings, store)
    assert unchanged_files(settings, store)
    os.utime(tmp_path / "train.jsonl", (1, 1))
    assert unchanged_files(settings, store)
    written(tmp_path / "train.jsonl", records[:-1])
    assert not unchanged_files(settings, store)
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(InputMissing):
        unchanged_files(settings, store)


def test_a_look_that_found_nothing_is_not_repeated(tmp_path: Path) -> None:
    store, records = store_in(tmp_path), records_of("ab" * 10)
    made_version(refresh_settings(tmp_path, records), store)
    settings = refresh_settings(tmp_path, [*reversed(records), {"text": "new", "label": "a"}])
    settings.min_new = 3
    news = look(settings, store)
    assert not news.enough(settings.min_new)
    assert not unchanged_files(settings, store)
    nothing_new(settings, store, news)
    assert unchanged_files(settings, store)
    assert not unchanged_files(replace(settings, min_new=1), store)
    made_version(settings, store)
    # Back to what was once nothing new: it is, against another version.
    written(tmp_path / "train.jsonl", records)
    assert not unchanged_files(settings, store)


@pytest.mark.parametrize("change", ["data", "task", "damage"])
def test_other_settings_or_damaged_digests_are_a_reason_to_read(tmp_path: Path, change: str) -> None:
    store = store_in(tmp_path)
    settings = refresh_settings(tmp_path, records_of("ab" * 10))
    version, _ = made_version(settings, store)
    if change == "data":
        settings.data.classes = ["a", "b"]
    elif change == "task":
        settings.task = Task.multi_label
    else:
        version.sources.write_text('{"files": 1}')
    assert not unchanged_files(settings, store)


def test_a_file_that_joins_or_leaves_a_folder_or_pattern_is_a_change(tmp_path: Path) -> None:
    store, inbox = store_in(tmp_path), tmp_path / "inbox"
    for day in range(3):
        written(inbox / f"{day}.jsonl", [{"text": f"{day} {i}", "label": "ab"[i % 2]} for i in range(10)])
    for named in (str(inbox), f"{inbox}/*.jsonl", [f"{inbox}/0.jsonl", f"{inbox}/1.jsonl"]):
        settings = settings_for(tmp_path, train=named)
        made_version(settings, store)
        assert unchanged_files(settings, store)
    settings = settings_for(tmp_path, train=str(inbox))
    made_version(settings, store)
    (inbox / ".half.tmp").write_text("hidden")
    assert unchanged_files(settings, store)
    written(inbox / "3.jsonl", [{"text": "3", "label": "a"}])
    assert not unchanged_files(settings, store)
    (inbox / "3.jsonl").unlink()
    assert unchanged_files(settings, store)
    (inbox / "0.jsonl").unlink()
    assert not unchanged_files(settings, store)


def test_texts_beside_a_labels_file_and_in_folders_are_watched(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    for i in range(20):
        written(folder / "ab"[i % 2] / f"{i}.txt", [{"text": i}])
    settings = RefreshRun(store="", data=TextFoldersSettings(path=str(folder)))
    store = store_in(tmp_path)
    made_version(settings, store)
    assert unchanged_files(settings, store)
    (folder / "a" / "0.txt").write_text("other")
    assert not unchanged_files(settings, store)
    documents = [
        {"location": f"{'ab'[i % 2]}/{i}.txt", "class": {"category": "ab"[i % 2]}, "dataset": "Train"}
        for i in range(20)
    ]
    assets = {"projectKind": "CustomSingleLabelClassification", "documents": documents,
              "classes": [{"category": "a"}, {"category": "b"}]}  # fmt: skip
    labels = written(folder / "labels.json", [{"assets": assets}])
    for data in (AzureSettings(path=labels, test_share=0.2), TableSettings(train=labels)):
        settings = RefreshRun(store="", data=data)
        made_version(settings, store)
        assert unchanged_files(settings, store)
        (folder / "b" / "1.txt").write_text(f"another {type(data)}")
        assert not unchanged_files(settings, store)


@pytest.mark.parametrize("data", [HubSettings(name="ag_news"), TableSettings(train="-")])
def test_what_is_no_file_is_never_unchanged(tmp_path: Path, data: Any) -> None:
    store = store_in(tmp_path)
    made_version(refresh_settings(tmp_path, records_of("ab" * 10)), store)
    assert not unchanged_files(RefreshRun(store="", data=data), store)


def test_looking_imports_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "datasets", "accelerate", "sklearn", "scipy", "pandas", "pyarrow"]
    room = "tagsmith.refresh.incoming"
    code = f"import sys, {room}.data_gate, {room}.quarantine; print(set(sys.modules) & set({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
