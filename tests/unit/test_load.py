import random
from pathlib import Path
from typing import Any

import datasets
import pytest

from tagsmith.config.settings import (
    AzureSettings,
    DataSettings,
    OnMissing,
    TableSettings,
    TextFoldersSettings,
)
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.core.schema import Task
from tagsmith.data import load
from tests.made_records import Record, load_records, problems_of, records_of, written

# -- columns and classes --------------------------------------------------------------------------------------------


def test_single_label_documents_become_columns(tmp_path: Path) -> None:
    data = load_records(tmp_path, [{"id": "7", "text": "one", "label": "b"}, {"text": "two", "label": "a"}])
    assert data.splits["train"].to_dict() == {"id": ["7", "train.jsonl:2"], "text": ["one", "two"], "labels": [1, 0]}
    assert data.splits["train"].features["labels"] == datasets.ClassLabel(names=["a", "b"])
    assert (data.schema.classes, data.schema.task) == (("a", "b"), Task.single_label)
    assert (list(data.splits), data.rejected) == (["train"], [])
    assert data.notes == [f"Read {tmp_path / 'train.jsonl'} as JSON Lines."]


def test_multi_label_documents_become_columns(tmp_path: Path) -> None:
    records = [{"text": "one", "labels": ["b", "a"]}, {"text": "two", "labels": []}, {"text": "three", "labels": ["b"]}]
    data = load_records(tmp_path, records)
    assert data.splits["train"]["labels"][:] == [[0, 1], [], [1]]
    assert data.splits["train"].features["labels"] == datasets.List(datasets.ClassLabel(names=["a", "b"]))
    assert data.schema.task is Task.multi_label
    assert data.rejected == []


def test_language_and_group_are_columns_where_any_document_has_one(tmp_path: Path) -> None:
    records = [
        {"text": "one", "label": "a", "language": "en", "group": 5},
        {"text": "two", "label": "b", "language": ""},
        {"text": "three", "label": "b", "split": "test"},
    ]
    data = load_records(tmp_path, records, split_field="split")
    assert data.splits["train"]["language"][:] == ["en", None]
    assert data.splits["train"]["group"][:] == ["5", None]
    assert data.splits["test"].features == data.splits["train"].features


@pytest.mark.parametrize("text", ["null", "NA", "None", "nan", "日本 😀", "a\0b", "line\r\nbreak", "x" * 200_000])
def test_a_text_is_not_changed(tmp_path: Path, text: str) -> None:
    data = load_records(tmp_path, [{"text": text, "label": "NA"}, {"text": "other", "label": "null"}])
    assert data.splits["train"]["text"][:] == [text, "other"]
    assert data.schema.classes == ("NA", "null")


def test_the_classes_do_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    records = [{"text": f"text {i}", "label": name} for i, name in enumerate(["10", "2", "1", "x", "9", "B", "a"])]
    for seed in range(5):
        random.Random(seed).shuffle(records)
        data = load_records(tmp_path, records)
        assert data.schema.classes == ("1", "2", "9", "10", "a", "B", "x")
        names = data.splits["train"].features["labels"].int2str(data.splits["train"]["labels"][:])
        assert names == [record["label"] for record in records]


def test_declared_classes_keep_their_order(tmp_path: Path) -> None:
    data = load_records(tmp_path, records_of("abc"), classes=["c", "a", "b"])
    assert data.schema.classes == ("c", "a", "b")
    assert data.splits["train"]["labels"][:] == [1, 2, 0]


def test_a_declared_class_without_any_document_is_noted(tmp_path: Path) -> None:
    data = load_records(tmp_path, records_of("ab"), classes=["a", "b", "c", "d"])
    assert data.notes[1:] == ["Declared classes without documents (2): c, d."]


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_a_class_that_only_held_out_documents_have_is_noted(tmp_path: Path, held_out: str) -> None:
    records = [*records_of("abab"), {"text": "held out", "label": "c", "split": held_out}]
    data = load_records(tmp_path, records, split_field="split")
    note = "Classes found only in held-out documents, which the model cannot learn (1): c."
    assert note in data.notes
    assert data.schema.classes == ("a", "b", "c")


def test_a_class_without_test_document_is_noted(tmp_path: Path) -> None:
    records = [*records_of("abc"), {"text": "held out", "label": "b", "split": "test"}]
    data = load_records(tmp_path, records, split_field="split")
    assert data.notes[1:] == ["Classes without test documents, which cannot be evaluated (2): a, c."]


def test_utf_16_read_as_utf_8_is_reported(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes('{"text": "a", "label": "b"}\n'.encode("utf-16"))
    with pytest.raises(DataError, match=r"train\.jsonl: begins with the byte-order mark of UTF-16"):
        load(TableSettings(train=str(tmp_path / "train.jsonl"), encoding="utf-8"), None, 0)


def test_the_task_may_be_set_against_the_format(tmp_path: Path) -> None:
    data = load_records(tmp_path, [*records_of("ab"), {"text": "none"}], Task.multi_label)
    assert data.splits["train"]["labels"][:] == [[0], [1], []]
    lines = problems_of(tmp_path, [{"text": "one", "labels": ["a", "b"]}], Task.single_label)
    assert lines[1].startswith("train.jsonl:1: expected one label, found 2: 'a', 'b'")


# -- splits ---------------------------------------------------------------------------------------------------------


def test_drawn_splits_are_reproducible_and_stratified(tmp_path: Path) -> None:
    records = records_of("ab" * 50)
    shares = {"test_share": 0.2, "validation_share": 0.25}
    first, again, other = (load_records(tmp_path, records, seed=seed, **shares) for seed in (1, 1, 2))
    assert {name: len(part) for name, part in first.splits.items()} == {"train": 60, "validation": 20, "test": 20}
    assert [sum(part["labels"][:]) for part in first.splits.values()] == [30, 10, 10]
    for name in first.splits:
        assert first.splits[name]["id"][:] == again.splits[name]["id"][:]
        assert first.splits[name]["id"][:] != other.splits[name]["id"][:]


def test_a_copy_of_a_test_document_is_never_trained_on(tmp_path: Path) -> None:
    records = [*records_of("abab"), {"text": " text\t0", "label": "a", "split": "test"}]
    data = load_records(tmp_path, records, split_field="split")
    assert data.splits["train"]["text"][:] == ["text 1", "text 2", "text 3"]
    assert "Left out 1 train document with the same text as a test document." in data.notes


def by_id(part: datasets.Dataset) -> dict[str, str]:
    return dict(zip(part["id"], part["text"], strict=True))


def test_split_from_tests_on_the_same_documents_again(tmp_path: Path) -> None:
    records = records_of("ab" * 20)
    first = load_records(tmp_path, records, test_share=0.2, validation_share=0.2)
    first.splits.save_to_disk(str(tmp_path / "run" / "data"))
    more = [*records, *({"text": f"new {i}", "label": "ab"[i % 2]} for i in range(20))]
    random.Random(0).shuffle(more)  # Rows have no ids, and now other numbers.
    second = load_records(tmp_path, more, seed=7, split_from=str(tmp_path / "run"))
    for name in ("test", "validation"):
        assert by_id(second.splits[name]) == by_id(first.splits[name])
    assert len(second.splits["train"]) == len(first.splits["train"]) + 20
    assert second.notes[1:3] == [
        "data.split_from: found 8 of 8 test documents of that run in this data.",
        f"data.split_from: found {len(first.splits['validation'])} of {len(first.splits['validation'])} validation "
        "documents of that run in this data.",
    ]


def test_split_from_draws_a_share_of_the_new_documents(tmp_path: Path) -> None:
    records = records_of("ab" * 20)
    first = load_records(tmp_path, records, test_share=0.2, validation_share=0.2)
    first.splits.save_to_disk(str(tmp_path / "run" / "data"))
    # A class of two documents, copies of known texts, and 38 others.
    new = [{"text": f"new {i}", "label": "c" if i < 2 else "ab"[i % 2]} for i in range(40)]
    more = [*records, *new, *records[:10]]
    random.Random(0).shuffle(more)
    shares = {"test_share": 0.25, "validation_share": 0.1, "split_from": str(tmp_path / "run")}
    second = load_records(tmp_path, more, **shares)
    for name, drawn in (("test", 10), ("validation", 3)):
        assert by_id(first.splits[name]).items() <= by_id(second.splits[name]).items()
        added = set(second.splits[name]["text"]) - set(first.splits[name]["text"])
        assert len(added) == drawn
        assert all(text.startswith("new") for text in added)
    assert len({"new 0", "new 1"} & set(second.splits["test"]["text"])) == 1
    assert "data.split_from: drew 10 of 40 new documents for the test split." in second.notes
    random.Random(1).shuffle(more)
    again = load_records(tmp_path, more, **shares)
    assert set(again.splits["test"]["text"]) == set(second.splits["test"]["text"])
    other = load_records(tmp_path, more, seed=1, **shares)
    assert set(other.splits["test"]["text"]) != set(second.splits["test"]["text"])


def test_split_from_draws_nothing_where_the_data_names_its_test_documents(tmp_path: Path) -> None:
    records = [*records_of("ab" * 5), {"text": "held out", "label": "a", "split": "test"}]
    load_records(tmp_path, records, split_field="split").splits.save_to_disk(str(tmp_path / "run" / "data"))
    new = [{"text": f"new {i}", "label": "ab"[i % 2]} for i in range(10)]
    second = load_records(
        tmp_path, [*records, *new], split_field="split", test_share=0.5, split_from=str(tmp_path / "run")
    )
    assert second.splits["test"]["text"][:] == ["held out"]


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_are_added_change_no_held_out_document(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)

    def row(i: int) -> Record:
        text = f"text {draw.randrange(25)}" if draw.random() < 0.5 else f"text {1000 * seed + i}"
        record = {"text": text, "label": draw.choice("abc"), "group": draw.choice([None, None, None, "x", "y"])}
        return record | {"id": str(i)} if draw.random() < 0.4 else record

    records = [row(i) for i in range(80)]
    first = load_records(tmp_path, records, test_share=0.2, validation_share=0.2)
    first.splits.save_to_disk(str(tmp_path / "run" / "data"))
    new = [row(1000 + i) for i in range(20)]
    for copy in new[:8]:
        copy["text"] = draw.choice(first.splits["test"]["text"])
    records += new
    draw.shuffle(records)
    second = load_records(tmp_path, records, split_from=str(tmp_path / "run"))
    for name in ("test", "validation"):
        assert by_id(second.splits[name]) == by_id(first.splits[name])
    held_out = {text for name in ("test", "validation") for text in second.splits[name]["text"]}
    assert not held_out & set(second.splits["train"]["text"])


def test_split_from_reports_how_many_documents_are_missing(tmp_path: Path) -> None:
    held_out = [{"text": f"held out {i}", "label": "a", "split": "test"} for i in range(3)]
    first = load_records(tmp_path, [*records_of("ab"), *held_out], split_field="split")
    first.splits.save_to_disk(str(tmp_path / "run" / "data"))
    records, earlier = [*records_of("abab"), held_out[0]], {"split_from": str(tmp_path / "run")}
    with pytest.raises(
        DataError, match=r"2 of 3 held-out documents .*\n  - test document 'train\.jsonl:4': 'held out 1'"
    ):
        load_records(tmp_path, records, **earlier)
    second = load_records(tmp_path, records, **earlier, split_from_missing=OnMissing.allow)
    assert second.splits["test"]["text"][:] == ["held out 0"]
    assert second.notes[1] == "data.split_from: found 1 of 3 test documents of that run in this data."


def test_split_from_holds_out_the_groups_of_the_earlier_run(tmp_path: Path) -> None:
    held_out = [{"text": f"held out {i}", "label": "a", "split": "test", "group": f"author {i}"} for i in range(2)]
    first = load_records(tmp_path, [*records_of("ab"), *held_out], split_field="split")
    first.splits.save_to_disk(str(tmp_path / "run" / "data"))
    new = [{"text": f"new {i}", "label": "ab"[i % 2], "group": f"author {i}"} for i in range(4)]
    second = load_records(tmp_path, [*records_of("ab"), *new, *held_out], split_from=str(tmp_path / "run"))
    assert second.splits["train"]["text"][:] == ["text 0", "text 1", "new 2", "new 3"]
    assert "data.split_from: left out 2 train documents whose group has test documents in that run." in second.notes


@pytest.mark.parametrize("made", ["nothing", "empty folder", "no data set", "other columns"])
def test_split_from_a_folder_that_is_not_a_run_is_rejected(tmp_path: Path, made: str) -> None:
    run = tmp_path / "run"
    if made != "nothing":
        run.mkdir()
    if made == "no data set":
        (run / "data").mkdir()
    if made == "other columns":
        part = datasets.Dataset.from_dict({"name": ["x"]})
        datasets.DatasetDict(test=part).save_to_disk(str(run / "data"))
    with pytest.raises((InputMissing, DataError), match="split_from"):
        load_records(tmp_path, records_of("abab"), split_from=str(run))


@pytest.mark.parametrize(
    ("records", "task", "message"),
    [
        ([], None, "no document"),
        ([], Task.single_label, "no document"),
        ([{"text": "a"}], None, "no label"),
        (records_of("a"), None, "at least two classes, found a"),
        (records_of("aaaa"), None, "at least two classes, found a"),
        (
            [{"text": f"text {i}", "labels": []} for i in range(4)],
            None,
            "no labels; multi-label data needs at least one",
        ),
        ([{"text": "same", "label": "a"}] * 4, None, "at least two classes, found a"),
        ([*records_of("aaa"), {"text": "x", "label": "b", "split": "test"}], None, "too few to train on"),
        ([{**record, "split": "test"} for record in records_of("abab")], None, "holds 0 documents of the classes none"),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_too_little_data_is_reported(
    tmp_path: Path, records: list[Record], task: Task | None, message: str, share: float
) -> None:
    with pytest.raises(DataError, match=message):
        load_records(tmp_path, records, task, split_field="split", test_share=share)


def test_multi_label_data_with_a_single_class_is_loaded(tmp_path: Path) -> None:
    records = [{"text": f"text {i}", "labels": ["a"] if i % 2 else []} for i in range(20)]
    data = load_records(tmp_path, records, test_share=0.2)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 16, "test": 4}


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_large_share_of_little_data_is_no_crash(tmp_path: Path, share: float) -> None:
    try:
        data = load_records(tmp_path, records_of("abab"), test_share=share)
    except DataError as error:
        assert "too few to train on" in str(error)  # noqa: PT017
    else:
        assert len(data.splits["train"]) + len(data.splits["test"]) == 4


# -- ids ------------------------------------------------------------------------------------------------------------


def test_a_document_without_id_is_named_after_its_place(tmp_path: Path) -> None:
    written(tmp_path / "test.jsonl", [{"text": "held out", "label": "a"}])
    data = load_records(tmp_path, records_of("ab"), test=str(tmp_path / "test.jsonl"))
    assert data.splits["train"]["id"][:] == ["train.jsonl:1", "train.jsonl:2"]
    assert data.splits["test"]["id"][:] == ["test.jsonl:1"]


def test_documents_of_files_with_the_same_name_have_different_ids(tmp_path: Path) -> None:
    test = written(tmp_path / "test" / "train.jsonl", [{"text": "held out", "label": "a"}])
    data = load_records(tmp_path, records_of("ab"), test=test)
    assert data.splits["train"]["id"][:] == ["train.jsonl:1", "train.jsonl:2"]  # As without the other file.
    assert data.splits["test"]["id"][:] == [f"{tmp_path}/test/train.jsonl:1"]


def test_ids_that_begin_anew_in_a_split_get_its_name(tmp_path: Path) -> None:
    held_out = [{"text": f"held out {i}", "label": "ab"[i % 2], "id": i} for i in range(3)]
    test = written(tmp_path / "test.jsonl", held_out)
    records = [record | {"id": i + 1} for i, record in enumerate(records_of("abab"))]
    data = load_records(tmp_path, records, test=test)
    assert data.splits["train"]["id"][:] == ["1", "2", "3", "4"]
    assert data.splits["test"]["id"][:] == ["test/0", "test/1", "test/2"]
    assert data.notes[1:] == ["2 ids of test are ids of other splits too; all ids of test begin with test/ now."]
    assert data.rejected == []


def test_a_given_id_that_looks_like_a_place_is_not_given_again(tmp_path: Path) -> None:
    records = [{"text": "one", "label": "a", "id": "train.jsonl:2"}, {"text": "two", "label": "b"}]
    ids = load_records(tmp_path, records).splits["train"]["id"][:]
    assert ids[0] == "train.jsonl:2"
    assert len(set(ids)) == 2


# -- sources that cannot be read, or hold too little ----------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "nowhere",
        "",
        "~no-such-user/texts",
        "x" * 300,
        "a\0b",
        "package:",
        "package:/x",
        "package:no_such_package_here/x",
        "package:no_such.package.here/x",
        "package:.relative/x",
        "package:sys/x",
        "package:tagsmith/no/such/file",
    ],
    ids=lambda path: ascii(path)[:30],
)
def test_a_path_that_leads_nowhere_is_input_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputMissing, SettingsError), match=r"data\.path"):
        load(TextFoldersSettings(path=path), None, 0)


def test_an_empty_name_of_the_training_file_is_rejected(tmp_path: Path) -> None:
    test = written(tmp_path / "test.jsonl", records_of("ab"))
    with pytest.raises((InputMissing, SettingsError), match=r"data\.train"):
        load(TableSettings(train="", test=test), None, 0)


@pytest.mark.parametrize("format", ["csv", "jsonl", "text_folders", "azure"])
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    secret = tmp_path / "a" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("secret")
    real_open = Path.open

    def refuse(path: Path, *args: Any, **named: Any) -> Any:
        if path.name == secret.name:
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *args, **named)

    monkeypatch.setattr(Path, "open", refuse)
    settings: dict[str, DataSettings] = {
        "csv": TableSettings(train=str(secret)),
        "jsonl": TableSettings(train=str(secret)),
        "text_folders": TextFoldersSettings(path=str(tmp_path)),
        "azure": AzureSettings(path=str(secret)),
    }
    with pytest.raises((InputMissing, DataError), match=r"secret\.txt"):
        load(settings[format], None, 0)
