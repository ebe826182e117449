"""Class names wherever they come in: data, data.classes, data.tagged, data.schema_changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import ClassNames, TableSettings, TextFoldersSettings
from tagsmith.core.errors import DataError
from tagsmith.data import TaggedData, load


def written(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def loaded(folder: Path, names: list[str], **settings: Any) -> TaggedData:
    lines = [{"text": f"text {i}", "label": name} for i, name in enumerate(names)]
    train = written(folder / "train.jsonl", lines)
    return load(TableSettings(train=train, test_share=0.0, **settings), None, 0)


def labels(data: TaggedData) -> list[str]:
    return data.schema.names(data.splits["train"]["labels"])


def test_spellings_of_one_name_are_one_class_and_are_counted(tmp_path: Path) -> None:
    data = loaded(tmp_path, ["bug report", "bug\nreport", "bug\xa0report ", "cafe\u0301", "caf\xe9"])
    assert data.schema.classes == ("bug report", "caf\xe9")
    assert [note[:13] for note in data.notes if "NFC" in note] == ["Read 3 labels"]


def test_the_names_of_settings_are_normalised_too(tmp_path: Path) -> None:
    changes = tmp_path / "changes.yaml"
    changes.write_text('rename: {"card\xa0lost": "card  gone"}\n', encoding="utf-8")
    tags = written(tmp_path / "tags.jsonl", [{"text": "text 1", "tag": "card  gone"}])
    settings = {"classes": ["card lost", " bug\u200b"], "schema_changes": str(changes), "tagged": [tags]}
    data = loaded(tmp_path, ["card lost", "bug", "bug"], **settings)
    assert data.schema.classes == ("card gone", "bug")
    assert labels(data) == ["card gone", "card gone", "bug"]


def test_folders_give_normalised_names(tmp_path: Path) -> None:
    for name in ("bug  report", "cafe\u0301"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text(name)
    data = load(TextFoldersSettings(path=str(tmp_path), test_share=0.0), None, 0)
    assert data.schema.classes == ("bug report", "caf\xe9")


NAMES = ["Shipping", "shipping", "shipping", "bug"]


def test_names_that_differ_by_case_alone_stop_the_reading(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"differ by case or accents.*\n  - Shipping \(1 document\), shipping \(2 doc"):
        loaded(tmp_path, NAMES)


def test_exact_names_stay_apart(tmp_path: Path) -> None:
    assert labels(loaded(tmp_path, NAMES, class_names=ClassNames.exact)) == NAMES


@pytest.mark.parametrize("classes", [None, ["Shipping", "bug"]])
def test_merged_names_are_the_declared_or_the_commonest(tmp_path: Path, classes: list[str] | None) -> None:
    tags = written(tmp_path / "tags.jsonl", [{"text": "text 3", "tag": "SHIPPING"}])
    data = loaded(tmp_path, [*NAMES, "bug"], class_names=ClassNames.merge, classes=classes, tagged=[tags])
    name = "Shipping" if classes else "shipping"
    assert labels(data) == [*[name] * 4, "bug"]
    assert any(note.startswith("data.class_names=merge: read labels that differ") for note in data.notes)


def test_a_change_of_classes_may_merge_the_spellings(tmp_path: Path) -> None:
    changes = tmp_path / "changes.yaml"
    changes.write_text("merge: {shipping: [Shipping, shipping]}\n")
    assert loaded(tmp_path, NAMES, schema_changes=str(changes)).schema.classes == ("bug", "shipping")
