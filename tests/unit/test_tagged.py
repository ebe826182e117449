"""`data.tagged`: manual tags replace and add training documents, and nothing else changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import OnBadRow, TableSettings
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.data import TaggedData, load
from tagsmith.data.tagged import refuse_to_overwrite_tags
from tests.conftest import make_documents, write_jsonl


def tagged(path: Path, lines: list[Any]) -> str:
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines), encoding="utf-8")
    return str(path)


def loaded(folder: Path, files: list[str] | None, multi_label: bool = False, **changes: Any) -> TaggedData:
    train = folder / "train.jsonl"
    if not train.exists():
        write_jsonl(train, make_documents(60, multi_label))
    return load(TableSettings(train=str(train), tagged=files, **changes), None, seed=0)


def by_id(data: TaggedData, split: str = "train") -> dict[str, tuple[str, Any]]:
    names = data.schema.classes
    part = data.splits[split]

    def named(label: Any) -> Any:
        return [names[i] for i in label] if isinstance(label, list) else names[label]

    return {row["id"]: (row["text"], named(row["labels"])) for row in part}


def test_a_tag_replaces_and_a_new_text_is_added_and_no_other_document_moves(tmp_path: Path) -> None:
    before = loaded(tmp_path, None)
    name, (text, label) = next(iter(by_id(before).items()))
    other = next(each for each in before.schema.classes if each != label)
    file = tagged(
        tmp_path / "next.jsonl",
        [
            {"id": name, "text": text, "score": 1.0, "suggested": label, "tag": other},
            {"id": "new-1", "text": "the cat of some cow", "tag": "animals"},
            {"id": "waiting", "text": "not looked at yet", "suggested": "food", "tag": None},
        ],
    )
    after = loaded(tmp_path, [file])
    assert by_id(after) == {**by_id(before), name: (text, other), "new-1": ("the cat of some cow", "animals")}
    assert by_id(after, "test") == by_id(before, "test")
    assert "data.tagged: replaced the tags of 1 training document; added 1 training document." in after.notes
    assert "data.tagged: 1 line not tagged yet." in after.notes


def test_a_suggestion_is_not_a_tag(tmp_path: Path) -> None:
    before = loaded(tmp_path, None)
    lines = [{"id": f"n{i}", "text": f"unseen {i}", "suggested": "food", "tag": None} for i in range(5)]
    after = loaded(tmp_path, [tagged(tmp_path / "suggested.jsonl", lines)])
    assert by_id(after) == by_id(before)
    assert "data.tagged: no tags filled in." in after.notes


def test_without_a_known_id_the_text_identifies_the_document(tmp_path: Path) -> None:
    records = [{"text": f"cat number {i}", "label": "ab"[i % 2]} for i in range(20)] + [
        {"text": "a  twin", "label": "a"}
    ]
    write_jsonl(tmp_path / "train.jsonl", [*records, {"text": "a twin", "label": "a"}])
    file = tagged(
        tmp_path / "t.jsonl",
        # The first line has an id that a row number gave; the file may have been edited since.
        [{"id": "train.jsonl:9", "text": "cat  number 0", "tag": "b"}, {"text": "a twin", "tag": "b"}],
    )
    found = by_id(loaded(tmp_path, [file], test_share=0.0))
    assert found["train.jsonl:1"] == ("cat number 0", "b")
    assert found["train.jsonl:9"][1] == "a"
    assert found["train.jsonl:21"][1] == found["train.jsonl:22"][1] == "b"  # Both of the equal texts.
    assert len(found) == 22


def test_held_out_documents_and_their_groups_stay_as_they_are(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(40, False))
    write_jsonl(tmp_path / "test.jsonl", [{"id": "t", "text": "the test", "label": "food", "group": "g"}])
    lines = [
        {"id": "t", "text": "the test", "tag": "tools"},
        {"id": "u", "text": "the  test", "tag": "tools"},
        {"id": "v", "text": "of the same thread", "group": "g", "tag": "tools"},
    ]
    data = loaded(tmp_path, [tagged(tmp_path / "t.jsonl", lines[:1])], test=str(tmp_path / "test.jsonl"))
    assert by_id(data, "test") == {"t": ("the test", "food")}
    more = loaded(tmp_path, [tagged(tmp_path / "t.jsonl", lines)], test=str(tmp_path / "test.jsonl"))
    assert by_id(more) == by_id(data)
    assert "data.tagged: ignored 3 tags of held-out documents or their groups." in more.notes


def test_multi_label_tags_are_lists_and_may_be_empty(tmp_path: Path) -> None:
    before = loaded(tmp_path, None, multi_label=True)
    name = next(iter(by_id(before)))
    lines = [
        {"id": name, "tag": []},
        {"text": "cat and bread", "tag": ["food", "animals"]},
        {"text": "a saw", "tag": "tools"},
    ]
    found = by_id(loaded(tmp_path, [tagged(tmp_path / "t.jsonl", lines)], multi_label=True))
    assert found[name][1] == []
    assert found["t.jsonl:2"] == ("cat and bread", ["animals", "food"])
    assert found["t.jsonl:3"] == ("a saw", ["tools"])


def test_later_files_add_to_earlier_ones_and_the_same_tag_twice_is_fine(tmp_path: Path) -> None:
    one = tagged(tmp_path / "1.jsonl", [{"id": "n", "text": "new cat", "tag": "animals"}])
    two = tagged(
        tmp_path / "2.jsonl", [{"id": "n", "text": "new cat", "tag": "animals"}, {"text": "new egg", "tag": "food"}]
    )
    found = by_id(loaded(tmp_path, [one, two]))
    assert found["n"] == ("new cat", "animals")
    assert found["2.jsonl:2"] == ("new egg", "food")


BAD = [
    "no json",
    '["a"]',
    {"id": "a", "text": "no field of the tag"},
    {"text": "a", "tag": "unknown"},
    {"text": "b", "tag": 1.5},
    {"text": "c", "tag": True},
    {"text": "d", "tag": ""},
    {"text": "e", "tag": {"label": "food"}},
    {"text": "f", "tag": ["food", "tools"]},
    {"text": "g", "tag": []},
    {"tag": "food"},
    {"text": 5, "tag": "food"},
    {"text": " ", "tag": "food"},
    {"text": "\ud800", "tag": "food"},
    {"id": ["x"], "text": "h", "tag": "food"},
    {"text": "i", "group": {"x": 1}, "tag": "food"},
    {"id": "nobody", "tag": "food"},
    {"id": "0-0", "text": "another text", "tag": "food"},
]


@pytest.mark.parametrize("line", BAD, ids=str)
def test_every_bad_line_is_reported_with_file_and_row(tmp_path: Path, line: Any) -> None:
    file = tagged(tmp_path / "t.jsonl", [{"text": "good", "tag": "food"}, line])
    with pytest.raises(DataError, match=r"1 problem.*: each line of data\.tagged counts, and 1 .*\n.*t\.jsonl:2: "):
        loaded(tmp_path, [file])


def test_all_problems_are_reported_together_or_left_out(tmp_path: Path) -> None:
    before = loaded(tmp_path, None)
    conflict = [{"text": "twice", "tag": "food"}, {"text": " twice ", "tag": "tools"}]
    same_id = [{"id": "z", "text": "one", "tag": "food"}, {"id": "z", "text": "two", "tag": "food"}]
    files = [
        tagged(tmp_path / "1.jsonl", [*BAD, conflict[0], same_id[0]]),
        tagged(tmp_path / "2.jsonl", [conflict[1], same_id[1], {"id": "fine", "text": "fine", "tag": "food"}]),
    ]
    with pytest.raises(DataError) as caught:
        loaded(tmp_path, files)
    assert f"{len(BAD) + 4} problems" in str(caught.value)
    assert "food here, tools at" in str(caught.value)
    assert "id 'z' is used for 2 different texts" in str(caught.value)
    kept = loaded(tmp_path, files, on_bad_row=OnBadRow.skip)
    assert by_id(kept) == {**by_id(before), "fine": ("fine", "food")}
    assert len(kept.rejected) == len(BAD) + 4


def test_unusable_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"data\.tagged: .*gone"):
        loaded(tmp_path, [str(tmp_path / "gone.jsonl")])
    table = tmp_path / "tags.csv"
    table.write_text("id,tag\na,food\n")
    with pytest.raises(SettingsError, match=r"expected a \.jsonl file"):
        loaded(tmp_path, [str(table)])
    file = tagged(tmp_path / "t.jsonl", [])
    with pytest.raises(SettingsError, match="expected each file once"):
        loaded(tmp_path, [file, file])


def test_files_with_manual_tags_are_not_overwritten(tmp_path: Path) -> None:
    refuse_to_overwrite_tags(tmp_path / "none", "Move them.")
    tagged(tmp_path / "tag_next.jsonl", [{"id": "a", "tag": None}, {"id": "b"}, "no json"])
    refuse_to_overwrite_tags(tmp_path, "Move them.")
    tagged(tmp_path / "tag_next.jsonl", [{"id": "a", "tag": "food"}, {"id": "b", "tag": []}])
    with pytest.raises(SettingsError, match=r"tag_next\.jsonl \(2 tags\)\. Move them\."):
        refuse_to_overwrite_tags(tmp_path, "Move them.")


def test_a_declared_class_without_a_document_may_be_given(tmp_path: Path) -> None:
    file = tagged(tmp_path / "t.jsonl", [{"text": "a new kind", "tag": "plants"}])
    data = loaded(tmp_path, [file], classes=["animals", "food", "tools", "plants"])
    assert by_id(data)["t.jsonl:1"] == ("a new kind", "plants")


def test_a_manual_tag_settles_contradicting_labels(tmp_path: Path) -> None:
    records = [*make_documents(40, False), {"id": "x", "text": "both", "label": "food"}]
    write_jsonl(tmp_path / "train.jsonl", [*records, {"id": "y", "text": "both", "label": "tools"}])
    file = tagged(tmp_path / "t.jsonl", [{"id": "x", "text": "both", "tag": "food"}])
    data = loaded(tmp_path, [file], test_share=0.0)
    assert [by_id(data)[name] for name in "xy"] == [("both", "food")] * 2
    assert data.contradictions == []
