"""Files with other columns than `text` and `label` end in a training or in one question."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from tagsmith.config.settings import TableSettings
from tagsmith.core.errors import DataError
from tagsmith.core.schema import Task
from tagsmith.data import TaggedData, load
from tests.conftest import make_documents
from tests.made_sheets import write_ods

RECORDS = make_documents(40, multi_label=False)


def loaded(path: Path, **settings: Any) -> TaggedData:
    return load(TableSettings(train=str(path), **settings), None, seed=0)


def write_csv(path: Path, header: str, *columns: list[str]) -> Path:
    rows = [",".join(f'"{value}"' for value in row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def texts() -> list[str]:
    return [record["text"] for record in RECORDS]


@pytest.fixture
def labels() -> list[str]:
    return [record["label"] for record in RECORDS]


def test_the_only_column_of_texts_and_the_only_one_of_classes_are_used(
    tmp_path: Path, texts: list[str], labels: list[str]
) -> None:
    numbers = [str(i) for i in range(len(texts))]
    path = write_csv(tmp_path / "t.csv", "Nr,Body,Topic", numbers, texts, labels)
    data = loaded(path)
    assert set(data.schema.classes) == set(labels)
    assert data.text_fields == ["Body"]
    assert data.notes[0] == (
        f"Read {path} as CSV (Body as the text and Topic as the class; data.text_field= and data.label_field= name "
        "others)."
    )


def test_a_file_that_is_sorted_by_class_has_a_column_of_classes(tmp_path: Path, texts: list[str]) -> None:
    some = [f"{i} {text}" for i in range(900 // len(texts) + 1) for text in texts][:900]
    queues = [queue for queue in ("billing", "bug", "shipping") for _ in range(300)]
    path = write_csv(tmp_path / "t.csv", "Subject,Body,Queue", some, some[::-1], queues)
    with pytest.raises(DataError, match=r"type data\.label_field=Queue if that column is the class"):
        loaded(path)
    data = loaded(path, text_field=["Subject", "Body"])
    assert data.schema.classes == ("billing", "bug", "shipping")
    path = tmp_path / "t.jsonl"
    rows = [{"Subject": text, "Queue": queue} for text, queue in zip(some, queues, strict=True)]
    # Untagged rows first: their fields are not those of the others.
    path.write_text("".join(json.dumps(row) + "\n" for row in [*({"Subject": text} for text in some[:300]), *rows]))
    assert loaded(path).schema.classes == ("billing", "bug", "shipping")


def test_files_of_one_class_each_have_a_column_of_classes(tmp_path: Path, texts: list[str]) -> None:
    for name, some in (("billing", texts[:20]), ("bug", texts[20:])):
        header, *columns = ("Body,Queue", some, [name] * 20) if name == "bug" else ("Queue,Body", [name] * 20, some)
        (tmp_path / "in").mkdir(exist_ok=True)
        write_csv(tmp_path / "in" / f"{name}.csv", header, *columns)
    data = loaded(tmp_path / "in")
    assert data.schema.classes == ("billing", "bug")
    assert data.notes[0] == (
        "Read 2 files as CSV (Body as the text and Queue as the class; data.text_field= and data.label_field= name "
        "others)."
    )


def test_a_class_that_one_row_of_a_large_file_has_makes_a_column_of_classes(tmp_path: Path, texts: list[str]) -> None:
    some = [f"{i} {texts[i % len(texts)]}" for i in range(5_000)]
    path = write_csv(tmp_path / "t.csv", "Body,Kind", some, [*["usual"] * 4_999, "rare"])
    assert loaded(path, test_share=0).schema.classes == ("rare", "usual")


def test_an_open_document_with_other_columns_is_training_data(
    tmp_path: Path, texts: list[str], labels: list[str]
) -> None:
    path = tmp_path / "t.ods"
    write_ods(path, [{"Body": text, "Topic": label} for text, label in zip(texts, labels, strict=True)])
    data = loaded(path, test_share=0)
    assert list(data.splits["train"]["text"]) == texts
    assert data.notes[0].startswith(
        f"Read {path} as OpenDocument ('Tickets', the first of 2 sheets, Body as the text and Topic as the class; "
    )


def test_several_columns_of_texts_are_a_question_with_what_to_type(
    tmp_path: Path, texts: list[str], labels: list[str]
) -> None:
    path = write_csv(tmp_path / "t.csv", "Subject,Body,Queue", texts, texts[::-1], labels)
    with pytest.raises(DataError) as caught:
        loaded(path)
    asked = "which of Subject, Body is the text? Type data.text_field=Subject, or 'data.text_field=[Subject,Body]'"
    assert asked in str(caught.value)
    data = loaded(path, text_field=["subject", "BODY"])
    assert f"{texts[0]}\n{texts[-1]}" in [text for part in data.splits.values() for text in part["text"]]
    assert data.text_fields == ["subject", "BODY"]


def test_a_column_that_was_named_is_never_replaced(tmp_path: Path, texts: list[str], labels: list[str]) -> None:
    path = write_csv(tmp_path / "t.csv", "Body,Topic", texts, labels)
    with pytest.raises(DataError, match="missing gone, label; found Body, Topic"):
        loaded(path, text_field="gone")


def test_lines_of_json_without_a_label_are_a_question_with_their_fields(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": "Where is it?", "category": "a"}) + "\n")
    wanted = "none of 1 document has one; the fields are text, category; set data.label_field to the field of the class"
    with pytest.raises(DataError, match=wanted):
        loaded(tmp_path / "t.jsonl")


def test_data_train_names_folders_of_texts(tmp_path: Path) -> None:
    for i, record in enumerate(RECORDS):
        path = tmp_path / "texts" / record["label"] / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record["text"])
    assert sum(loaded(tmp_path / "texts").splits.num_rows.values()) == len({record["text"] for record in RECORDS})


def test_data_train_names_a_labels_file_of_azure(tmp_path: Path) -> None:
    documents = []
    for i, record in enumerate(RECORDS):
        (tmp_path / f"{i}.txt").write_text(record["text"])
        documents.append({"location": f"{i}.txt", "dataset": "Train", "class": {"category": record["label"]}})
    classes = [{"category": name} for name in sorted({record["label"] for record in RECORDS})]
    assets = {"projectKind": "CustomSingleLabelClassification", "classes": classes, "documents": documents}
    (tmp_path / "labels.json").write_text(json.dumps({"assets": assets}), encoding="utf-16")
    assert loaded(tmp_path / "labels.json").schema.task is Task.single_label


def test_data_train_names_a_saved_data_set(tmp_path: Path) -> None:
    datasets.Dataset.from_list([{"text": r["text"], "label": r["label"]} for r in RECORDS]).save_to_disk(tmp_path / "s")
    assert loaded(tmp_path / "s").schema.task is Task.single_label
