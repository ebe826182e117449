"""Rows that cannot be used, rows without a label, and texts with several labels: what is left out, kept, or stops."""

import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import (
    Contradictions,
    OnBadRow,
    TableSettings,
)
from tagsmith.core.errors import DataError, SettingsError
from tagsmith.core.schema import Task
from tagsmith.data import load
from tests.made_records import load_records, problems_of, records_of, written

# -- bad rows: what is wrong, in one message -----------------------------------------------------------------------


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
    assert data.notes[1].startswith(f"Left out {bad:,} bad row")


def test_a_file_of_bad_rows_stops_however_many_rows_others_have(tmp_path: Path) -> None:
    test = written(tmp_path / "test.jsonl", [{"text": "x", "label": 1.5}] * 2 + [{"text": "good", "label": "a"}])
    [headline, *_] = problems_of(tmp_path, records_of("ab" * 500), test=test, on_bad_row=OnBadRow.skip_few)
    assert f"2 of 3 rows of {test} cannot be used" in headline


@pytest.mark.parametrize("content", ["oops\n", "oops\nno\n", '{"text": "", "label": 1.5}'])
def test_problems_are_reported_where_no_row_declares_the_task(tmp_path: Path, content: str) -> None:
    (tmp_path / "train.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"train\.jsonl:1: "):
        load(TableSettings(train=str(tmp_path / "train.jsonl")), None, 0)


def test_an_unknown_tag_names_file_and_row(tmp_path: Path) -> None:
    assert problems_of(tmp_path, records_of("abx"), classes=["a", "b"]) == [
        "1 problem in the tagged data: data.on_bad_row=error allows none; correct these rows, or leave them out with "
        "data.on_bad_row=skip:",
        "train.jsonl:3: unknown class 'x'; the declared classes are a, b",
    ]


@pytest.mark.parametrize("field", ["id", "language", "group", "label", "text"])
def test_half_of_a_surrogate_pair_anywhere_is_a_problem_of_its_row(tmp_path: Path, field: str) -> None:
    records = records_of("abab")
    records[2][field] = "\ud800"
    assert problems_of(tmp_path, records)[1].startswith("train.jsonl:3: ")


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


def test_a_message_can_be_written_as_utf_8(tmp_path: Path) -> None:
    records = [*records_of("ab"), {"text": "x", "label": {"\ud800": 1}}, {"text": "y", "label": "\ud800"}]
    for line in problems_of(tmp_path, records, classes=["a", "b"]):
        line.encode("utf-8")


# -- rows that are left out ----------------------------------------------------------------------------------------


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
    assert data.notes[1:] == [
        f"Left out 4 bad rows of 7 (data.on_bad_row=skip), the first one {settings.train}:2: the text is empty; the "
        "run's rejected.jsonl lists them."
    ]


def test_a_class_that_only_skipped_rows_have_is_not_a_class(tmp_path: Path) -> None:
    records = [*records_of("aabb"), {"text": "", "label": "c"}]
    assert load_records(tmp_path, records, on_bad_row=OnBadRow.skip).schema.classes == ("a", "b")


def test_rejected_rows_can_be_written_as_utf_8(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"text,label\n\xc3\xa9,a\ntwo,b\ncaf\xe9,a\n")
    settings = TableSettings(train=str(tmp_path / "train.csv"), on_bad_row=OnBadRow.skip, test_share=0)
    [problem] = load(settings, None, 0).rejected
    assert "caf" in json.dumps(problem.as_dict(), ensure_ascii=False).encode("utf-8").decode()


def test_untagged_rows_are_left_out_counted_and_never_conflict(tmp_path: Path) -> None:
    first = load_records(tmp_path, records_of("ab" * 20), test_share=0.2)
    first.splits.save_to_disk(str(tmp_path / "run" / "data"))
    untagged = [{"text": text, "label": ""} for text in ("text 0", "new", first.splits["test"]["text"][0])]
    data = load_records(tmp_path, [*untagged, *records_of("ab" * 20)], split_from=str(tmp_path / "run"))
    assert data.notes[1].startswith("Left out 3 documents without a label; ")
    assert (set(data.splits["test"]["text"]), len(data.splits["train"])) == (set(first.splits["test"]["text"]), 32)
    assert (data.rejected, data.contradictions) == ([], [])
    with pytest.raises(DataError, match=r"None of 3 training documents has a label; .* data\.label_field"):
        load_records(tmp_path, [record | {"label": ""} for record in records_of("aba")], Task.single_label)


# -- contradictions ------------------------------------------------------------------------------------------------


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
