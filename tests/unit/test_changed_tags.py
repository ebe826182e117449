"""`data.schema_changes`: most tags follow from the changes, the others wait to be given again."""

import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import OnBadRow, TableSettings
from tagsmith.core.errors import DataError
from tagsmith.data import TaggedData, load
from tests.conftest import make_documents, write_jsonl


def loaded(folder: Path, changes: str | None, multi_label: bool = False, **settings: Any) -> TaggedData:
    train = folder / "train.jsonl"
    if not train.exists():
        write_jsonl(train, make_documents(60, multi_label))
    if changes is not None:
        (folder / "changes.yaml").write_text(changes)
        settings["schema_changes"] = str(folder / "changes.yaml")
    return load(TableSettings(train=str(train), **settings), None, seed=0)


def tags(data: TaggedData) -> dict[str, Any]:
    found = {}
    for part in data.splits.values():
        for row in part:
            ids = row["labels"] if isinstance(row["labels"], list) else [row["labels"]]
            found[row["id"]] = [data.schema.classes[i] for i in ids]
    return found


def test_a_renamed_class_changes_no_document(tmp_path: Path) -> None:
    before, after = loaded(tmp_path, None), loaded(tmp_path, "rename: {animals: zoo}")
    assert tags(after) == {name: ["zoo" if x == "animals" else x for x in tag] for name, tag in tags(before).items()}
    assert "zoo" in after.schema.classes


def test_merged_and_deleted_classes(tmp_path: Path) -> None:
    before = tags(loaded(tmp_path, None))
    names = sorted({name for tag in before.values() for name in tag})
    merged = tags(loaded(tmp_path, f"merge: {{both: [{names[0]}, {names[1]}]}}"))
    assert merged.keys() == before.keys()
    assert all((merged[name] == ["both"]) == (tag[0] in names[:2]) for name, tag in before.items())
    data = loaded(tmp_path, f"delete: [{names[0]}]")
    assert tags(data) == {name: tag for name, tag in before.items() if tag != [names[0]]}
    left = sum(tag == [names[0]] for tag in before.values())
    assert f"data.schema_changes: left out {left} documents of deleted classes." in data.notes


def test_documents_of_several_classes_lose_the_deleted_one(tmp_path: Path) -> None:
    before = tags(loaded(tmp_path, None, multi_label=True))
    after = tags(loaded(tmp_path, "delete: [animals]", multi_label=True))
    assert after == {name: [x for x in tag if x != "animals"] for name, tag in before.items()}


def test_documents_of_a_split_class_wait_for_a_tag(tmp_path: Path) -> None:
    before = tags(loaded(tmp_path, None))
    divided = [name for name, tag in before.items() if tag == ["animals"]]
    data = loaded(tmp_path, "split: {animals: [wild, tame]}")
    assert tags(data) == {name: tag for name, tag in before.items() if name not in divided}
    assert sorted(line["id"] for line in data.unresolved) == sorted(divided)
    line = data.unresolved[0]
    assert (line["tag"], line["labels"], line["choices"]) == (None, ["animals"], ["wild", "tame"])
    filled = [{**each, "tag": ("wild", "tame")[i % 2]} for i, each in enumerate(data.unresolved)]
    (tmp_path / "split.jsonl").write_text(
        "".join(json.dumps(each) + "\n" for each in filled[:-1] + data.unresolved[-1:])
    )
    after = loaded(tmp_path, "split: {animals: [wild, tame]}", tagged=[str(tmp_path / "split.jsonl")])
    found = tags(after)
    assert found == {**tags(data), **{each["id"]: [each["tag"]] for each in filled[:-1]}}
    assert [line["id"] for line in after.unresolved] == [filled[-1]["id"]]


def test_manual_tags_may_have_the_old_names(tmp_path: Path) -> None:
    before = loaded(tmp_path, None)
    row = before.splits["train"][0]
    (tmp_path / "queue.jsonl").write_text(
        json.dumps({"id": row["id"], "text": row["text"], "tag": "animals"})
        + "\n" + json.dumps({"id": "new", "text": "one more of them", "tag": "zoo"}) + "\n"
    )  # fmt: skip
    after = tags(loaded(tmp_path, "rename: {animals: zoo}", tagged=[str(tmp_path / "queue.jsonl")]))
    assert after[row["id"]] == ["zoo"]
    assert after["new"] == ["zoo"]


def test_a_tag_of_a_split_class_is_ambiguous(tmp_path: Path) -> None:
    (tmp_path / "queue.jsonl").write_text(json.dumps({"id": "new", "text": "one more", "tag": "animals"}) + "\n")
    with pytest.raises(DataError, match=r"'animals' is split by data\.schema_changes; expected one of wild, tame"):
        loaded(tmp_path, "split: {animals: [wild, tame]}", tagged=[str(tmp_path / "queue.jsonl")],
               on_bad_row=OnBadRow.error)  # fmt: skip


def test_changes_of_other_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="plants: unknown class"):
        loaded(tmp_path, "rename: {plants: trees}")


def test_data_that_is_tagged_by_the_new_names_already(tmp_path: Path) -> None:
    records = [{**record, "label": "zoo" if i % 2 and record["label"] == "animals" else record["label"]}
               for i, record in enumerate(make_documents(60, False))]  # fmt: skip
    write_jsonl(tmp_path / "train.jsonl", records)
    assert "animals" not in {name for tag in tags(loaded(tmp_path, "rename: {animals: zoo}")).values() for name in tag}
