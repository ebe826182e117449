import json
import random
from pathlib import Path
from typing import Any

import datasets
import pytest

from tagsmith.config.settings import (
    AzureSettings,
    Contradictions,
    DataSettings,
    OnBadRow,
    OnMissing,
    TableSettings,
    TextFoldersSettings,
)
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.core.schema import Task
from tagsmith.data import TaggedData, load

Record = dict[str, Any]


def written(path: Path, records: list[Record]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def load_records(
    folder: Path, records: list[Record], task: Task | None = None, seed: int = 0, **settings: Any
) -> TaggedData:
    """Load these records as train.jsonl; nothing is drawn unless a share is set."""
    shares = {"test_share": 0.0, "validation_share": 0.0}
    return load(TableSettings(train=written(folder / "train.jsonl", records), **(shares | settings)), task, seed)


def records_of(labels: str, **fields: Any) -> list[Record]:
    return [{"text": f"text {i}", "label": name, **fields} for i, name in enumerate(labels)]


def problems_of(folder: Path, records: list[Record], task: Task | None = None, **settings: Any) -> list[str]:
    """The lines of the one message, without the folder."""
    with pytest.raises(DataError) as caught:
        load_records(folder, records, task, **({"on_bad_row": OnBadRow.error} | settings))
    return [line.removeprefix(f"  - {folder}/") for line in str(caught.value).splitlines()]


def test_single_label_documents_become_columns(tmp_path: Path) -> None:
    data = load_records(tmp_path, [{"id": "7", "text": "one", "label": "b"}, {"text": "two", "label": "a"}])
    assert data.splits["train"].to_dict() == {"id": ["7", "train.jsonl:2"], "text": ["one", "two"], "labels": [1, 0]}
    assert data.splits["train"].features["labels"] == datasets.ClassLabel(names=["a", "b"])
    assert (data.schema.classes, data.schema.task) == (("a", "b"), Task.single_label)
    assert (list(data.splits), data.rejected, data.notes) == (["train"], [], [])


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


def test_an_unknown_tag_names_file_and_row(tmp_path: Path) -> None:
    assert problems_of(tmp_path, records_of("abx"), classes=["a", "b"]) == [
        "1 problem in the tagged data: data.on_bad_row=error allows none; correct these rows, or leave them out with "
        "data.on_bad_row=skip:",
        "train.jsonl:3: unknown class 'x'; the declared classes are a, b",
    ]


def test_a_declared_class_without_any_document_is_noted(tmp_path: Path) -> None:
    data = load_records(tmp_path, records_of("ab"), classes=["a", "b", "c", "d"])
    assert data.notes == ["Declared classes without documents (2): c, d."]


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
    assert data.notes == ["Classes without test documents, which cannot be evaluated (2): a, c."]


def test_all_problems_are_in_one_message_with_file_and_row(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(
        b"id,text,label\n"
        b"1,g\xc3\xb6\xc3\xb6d,a\n"
        b"2,,a\n"
        b"1,id again,b\n"
        b"5,too,many,fields\n"
        b"6,caf\xe9,a\n"
        b"7,unknown,z\n"
        b'8,"quoted" badly,a\n'
    )
    (tmp_path / "test.csv").write_text("text,label\n ,b\n")
    settings = TableSettings(
        train=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"), classes=["a", "b"], id_field="id"
    )
    with pytest.raises(DataError) as caught:
        load(settings, None, 0)
    headline, *lines = str(caught.value).splitlines()
    assert headline.startswith("7 problems in the tagged data: 7 of 8 rows of the data cannot be used")
    starts = {
        ("train.csv:3", "the text is empty"),
        ("train.csv:4", "duplicate id '1', first used at"),
        ("train.csv:5", "expected 3 fields, found 4"),
        ("train.csv:6", "cannot be decoded as utf-8; set data.encoding or data.fallback_encoding"),
        ("train.csv:7", "unknown class 'z'"),
        ("train.csv:8", "not a valid CSV row"),
        ("test.csv:2", "the text is empty"),
    }
    for place, what in starts:
        assert [line for line in lines if line.startswith(f"  - {tmp_path}/{place}: {what}")], (place, what)
    assert len(lines) == 7


def test_one_cause_is_one_line(tmp_path: Path) -> None:
    records = [{"text": "", "label": "a"}] * 1_150 + [{"text": f"text {i}", "label": f"x{i}"} for i in range(60)]
    lines = problems_of(tmp_path, [*records, {"text": 5, "label": "a"}], classes=["a", "b"])
    assert lines[0].startswith("1,211 problems in the tagged data")
    place = f"{tmp_path}/train.jsonl"
    assert lines[1:] == [
        f"  - 1,150 rows: the text is empty ({place}:1, 2, 3 and 1,147 more)",
        "  - 60 rows: unknown class 'x0', 'x1', 'x2', ...; the declared classes are a, b "
        f"({place}:1151, 1152, 1153 and 57 more)",
        "train.jsonl:1211: expected text, found int 5",
    ]


@pytest.mark.parametrize(
    ("good", "bad", "settings", "stops"),
    [
        (299, 4, {}, None),  # 1 % of 303 rows, rounded up.
        (395, 5, {}, "5 of 400 rows of the data cannot be used, and data.max_bad_share=0.01 allows 4"),
        (19, 1, {}, None),  # One row of any file.
        (18, 2, {}, "2 of 20 rows of the data cannot be used, and data.max_bad_share=0.01 allows 1"),
        (10, 10, {"max_bad_share": 0.5}, None),
        (10, 10, {"on_bad_row": OnBadRow.skip}, None),
        (399, 1, {"max_bad_share": 0.0}, "allows 0"),
        (399, 1, {"on_bad_row": OnBadRow.error}, "data.on_bad_row=error allows none"),
    ],
)  # fmt: skip
def test_few_bad_rows_are_left_out_and_more_stop(
    tmp_path: Path, good: int, bad: int, settings: dict[str, Any], stops: str | None
) -> None:
    records = [*records_of("ab" * good)[:good], *({"text": " ", "label": "a"} for _ in range(bad))]
    if stops is not None:
        assert stops in problems_of(tmp_path, records, **({"on_bad_row": OnBadRow.skip_few} | settings))[0]
        return
    data = load_records(tmp_path, records, **settings)
    assert (len(data.splits["train"]), len(data.rejected)) == (good, bad)
    assert data.notes[0].startswith(f"Left out {bad:,} bad row")


def test_a_file_of_bad_rows_stops_however_many_rows_others_have(tmp_path: Path) -> None:
    test = written(tmp_path / "test.jsonl", [{"text": "x", "label": 1.5}] * 2 + [{"text": "good", "label": "a"}])
    [headline, *_] = problems_of(tmp_path, records_of("ab" * 500), test=test, on_bad_row=OnBadRow.skip_few)
    assert f"2 of 3 rows of {test} cannot be used" in headline


def test_untagged_rows_are_left_out_counted_and_never_conflict(tmp_path: Path) -> None:
    first = load_records(tmp_path, records_of("ab" * 20), test_share=0.2)
    first.splits.save_to_disk(str(tmp_path / "run" / "data"))
    untagged = [{"text": text, "label": ""} for text in ("text 0", "new", first.splits["test"]["text"][0])]
    data = load_records(tmp_path, [*untagged, *records_of("ab" * 20)], split_from=str(tmp_path / "run"))
    assert data.notes[0].startswith("Left out 3 documents without a label; ")
    assert (set(data.splits["test"]["text"]), len(data.splits["train"])) == (set(first.splits["test"]["text"]), 32)
    assert (data.rejected, data.contradictions) == ([], [])
    with pytest.raises(DataError, match=r"None of 3 training documents has a label; .* data\.label_field"):
        load_records(tmp_path, [record | {"label": ""} for record in records_of("aba")], Task.single_label)


@pytest.mark.parametrize("content", ["oops\n", "oops\nno\n", '{"text": "", "label": 1.5}'])
def test_problems_are_reported_where_no_row_declares_the_task(tmp_path: Path, content: str) -> None:
    (tmp_path / "train.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"train\.jsonl:1: "):
        load(TableSettings(train=str(tmp_path / "train.jsonl")), None, 0)


def test_utf_16_read_as_utf_8_is_reported(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes('{"text": "a", "label": "b"}\n'.encode("utf-16"))
    with pytest.raises(DataError, match=r"train\.jsonl: begins with the byte-order mark of UTF-16"):
        load(TableSettings(train=str(tmp_path / "train.jsonl"), encoding="utf-8"), None, 0)


def test_skipped_rows_come_back_and_the_rest_is_loaded(tmp_path: Path) -> None:
    content = [
        '{"text": "one", "label": "a"}',
        '{"text": "", "label": "a"}',
        "oops",
        '{"text": "two", "label": "b"}',
        '{"text": "three", "label": "a", "id": 1}',
        '{"text": "four", "label": "a", "id": 1}',
        '{"text": "five", "label": {}}',
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(content))
    settings = TableSettings(train=str(tmp_path / "train.jsonl"), on_bad_row=OnBadRow.skip, test_share=0)
    data = load(settings, None, 0)
    assert data.splits["train"]["text"][:] == ["one", "two", "three"]
    assert sorted(problem.row for problem in data.rejected) == [2, 3, 6, 7]
    assert all(problem.file == settings.train and problem.what and problem.content for problem in data.rejected)
    assert data.notes == [
        f"Left out 4 bad rows of 7 (data.on_bad_row=skip), the first one {settings.train}:2: the text is empty; the "
        "run's rejected.jsonl lists them."
    ]


def test_contradictions_are_kept_counted_and_listed(tmp_path: Path) -> None:
    records = [
        *records_of("aabb"),
        {"text": " text  0", "label": "b"},
        {"text": "text 0", "label": "a"},
        *({"text": "held out", "label": name, "split": "test"} for name in "ab"),
        {"text": "held out", "label": "b"},
    ]
    data = load_records(tmp_path, records, split_field="split")
    assert data.splits["train"]["text"][:] == [record["text"] for record in records[:6]]
    assert data.splits["test"]["labels"][:] == [0, 1]
    assert data.rejected == []
    place = f"{tmp_path}/train.jsonl"
    assert data.notes[-1] == (
        f"2 texts with different labels, in 6 documents (1 of the texts held out), such as a at {place}:1 and b at "
        f"{place}:5; the documents are kept as they are, and the run's contradictions.jsonl lists them."
    )
    assert [one["text"] for one in data.contradictions] == ["text 0", "held out"]
    assert [(each["row"], each["split"], each["labels"]) for each in data.contradictions[1]["documents"]] == [
        (7, "test", ["a"]), (8, "test", ["b"]), (9, None, ["b"]),
    ]  # fmt: skip


@pytest.mark.parametrize("do", list(Contradictions))
def test_labels_of_one_text_are_kept_or_united_in_multi_label_data(tmp_path: Path, do: Contradictions) -> None:
    tags = [["a"], ["b"], [], ["c"]]
    records = [{"text": "same", "labels": names} for names in tags] + [{"text": "other", "labels": ["c"]}]
    data = load_records(tmp_path, records, contradictions=do)
    kept = [[0], [1], [], [2]] if do is Contradictions.keep else [[0, 1, 2]] * 4
    assert data.splits["train"]["labels"][:] == [*kept, [2]]
    assert [each["labels"] for each in data.contradictions[0]["documents"]] == tags


def test_single_label_data_has_no_labels_to_unite(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"data\.contradictions=unite: expected multi-label data"):
        load_records(tmp_path, records_of("ab"), contradictions=Contradictions.unite)


def test_drawn_splits_never_divide_a_contradiction(tmp_path: Path) -> None:
    records = [{"text": f"text {i % 40}", "label": "ab"[i // 40]} for i in range(80)]
    data = load_records(tmp_path, records, test_share=0.3, validation_share=0.2)
    texts = [set(part["text"]) for part in data.splits.values()]
    assert sum(map(len, texts)) == len(set().union(*texts)) == 40
    assert sum(map(len, data.splits.values())) == 80


def test_a_class_that_only_skipped_rows_have_is_not_a_class(tmp_path: Path) -> None:
    records = [*records_of("aabb"), {"text": "", "label": "c"}]
    assert load_records(tmp_path, records, on_bad_row=OnBadRow.skip).schema.classes == ("a", "b")


def test_rejected_rows_can_be_written_as_utf_8(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"text,label\n\xc3\xa9,a\ntwo,b\ncaf\xe9,a\n")
    settings = TableSettings(train=str(tmp_path / "train.csv"), on_bad_row=OnBadRow.skip, test_share=0)
    [problem] = load(settings, None, 0).rejected
    assert "caf" in json.dumps(problem.as_dict(), ensure_ascii=False).encode("utf-8").decode()


def test_the_task_may_be_set_against_the_format(tmp_path: Path) -> None:
    data = load_records(tmp_path, [*records_of("ab"), {"text": "none"}], Task.multi_label)
    assert data.splits["train"]["labels"][:] == [[0], [1], []]
    lines = problems_of(tmp_path, [{"text": "one", "labels": ["a", "b"]}], Task.single_label)
    assert lines[1].startswith("train.jsonl:1: expected one label, found 2: 'a', 'b'")


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


def test_split_from_tests_on_the_same_documents_again(tmp_path: Path) -> None:
    records = records_of("ab" * 20)
    first = load_records(tmp_path, records, test_share=0.2, validation_share=0.2)
    first.splits.save_to_disk(str(tmp_path / "run" / "data"))
    more = [*records, *({"text": f"new {i}", "label": "ab"[i % 2]} for i in range(20))]
    random.Random(0).shuffle(more)
    second = load_records(tmp_path, more, seed=7, test_share=0.5, split_from=str(tmp_path / "run"))
    for name in ("test", "validation"):
        assert set(second.splits[name]["text"]) == set(first.splits[name]["text"])
    assert len(second.splits["train"]) == len(first.splits["train"]) + 20
    assert second.notes[:2] == [
        "data.split_from: found 8 of 8 test documents of that run in this data.",
        f"data.split_from: found {len(first.splits['validation'])} of {len(first.splits['validation'])} validation "
        "documents of that run in this data.",
    ]


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
    assert second.notes[0] == "data.split_from: found 1 of 3 test documents of that run in this data."


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
    assert data.notes == ["2 ids of test are ids of other splits too; all ids of test begin with test/ now."]
    assert data.rejected == []


def test_a_given_id_that_looks_like_a_place_is_not_given_again(tmp_path: Path) -> None:
    records = [{"text": "one", "label": "a", "id": "train.jsonl:2"}, {"text": "two", "label": "b"}]
    ids = load_records(tmp_path, records).splits["train"]["id"][:]
    assert ids[0] == "train.jsonl:2"
    assert len(set(ids)) == 2


@pytest.mark.parametrize("field", ["id", "language", "group", "label", "text"])
def test_half_of_a_surrogate_pair_anywhere_is_a_problem_of_its_row(tmp_path: Path, field: str) -> None:
    records = records_of("abab")
    records[2][field] = "\ud800"
    assert problems_of(tmp_path, records)[1].startswith("train.jsonl:3: ")


def test_a_message_can_be_written_as_utf_8(tmp_path: Path) -> None:
    records = [*records_of("ab"), {"text": "x", "label": {"\ud800": 1}}, {"text": "y", "label": "\ud800"}]
    for line in problems_of(tmp_path, records, classes=["a", "b"]):
        line.encode("utf-8")


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


def test_deep_nesting_in_any_field_does_not_end_in_a_traceback(tmp_path: Path) -> None:
    fields = ["text", "label", "labels", "id", "language", "group", "split"]
    lines = [
        f'{{"text": "t", "label": "a", "{field}": {"[" * depth}{"]" * depth}}}'
        for field in fields
        for depth in (10, 500, 900, 950, 990, 2_000, 5_000)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    settings = TableSettings(train=str(tmp_path / "train.jsonl"), split_field="split")
    with pytest.raises(DataError, match="problems in the tagged data"):
        load(settings, Task.single_label, 0)


def test_split_from_holds_out_the_groups_of_the_earlier_run(tmp_path: Path) -> None:
    held_out = [{"text": f"held out {i}", "label": "a", "split": "test", "group": f"author {i}"} for i in range(2)]
    first = load_records(tmp_path, [*records_of("ab"), *held_out], split_field="split")
    first.splits.save_to_disk(str(tmp_path / "run" / "data"))
    new = [{"text": f"new {i}", "label": "ab"[i % 2], "group": f"author {i}"} for i in range(4)]
    second = load_records(tmp_path, [*records_of("ab"), *new, *held_out], split_from=str(tmp_path / "run"))
    assert second.splits["train"]["text"][:] == ["text 0", "text 1", "new 2", "new 3"]
    assert "data.split_from: left out 2 train documents whose group has test documents in that run." in second.notes
