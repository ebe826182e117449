"""What annotation tools and cloud services export, as training data."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import TableSettings
from tagsmith.core.errors import DataError
from tagsmith.core.schema import Task
from tagsmith.data import read_files
from tagsmith.data.documents import Source

FIXTURES = Path(__file__).parents[1] / "fixtures"
Found = dict[str, list[str]]


def read(path: Path, **settings: Any) -> Source:
    return read_files.read(TableSettings(train=str(path), **settings))


def lines(path: Path, *records: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def array(path: Path, *records: Any) -> Path:
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def found(source: Source) -> Found:
    assert source.problems == []
    return {document.text: document.labels for document in source.documents}


def said(source: Source, what: str) -> bool:
    return any(what in note for note in source.notes)


def task(text: str, *annotations: Any, **data: Any) -> dict[str, Any]:
    """A task of Label Studio; an annotation is a list of choices, or a whole annotation."""
    made = [
        one
        if isinstance(one, dict)
        else {
            "result": [{"type": "choices", "from_name": "sentiment", "value": {"choices": one}}],
            "completed_by": by,
            "lead_time": 9.5,
        }
        for by, one in enumerate(annotations, 1)
    ]
    return {"id": hash(text), "data": {"text": text, **data}, "annotations": made, "predictions": []}


CANCELLED = {"result": [], "was_cancelled": True, "completed_by": 1, "lead_time": 2.0}


def test_label_studio_json(tmp_path: Path) -> None:
    tasks = [task("a a", ["x"]), task("b b", ["y"], ["y"], ["x"]), task("c c", ["x"], ["y"]), task("d d", CANCELLED)]
    source = read(array(tmp_path / "tasks.json", *tasks, task("e e", ["x"], author="Ann")), group_field="author")
    assert found(source) == {"a a": ["x"], "b b": ["y"], "e e": ["x"]}
    assert source.documents[-1].group == "Ann"
    assert source.task is Task.single_label
    assert said(source, "Left out of the export: 1 document ignored, 1 document without agreement.")
    assert said(source, "Label Studio (JSON)")


def test_label_studio_with_several_choices_is_multi_label(tmp_path: Path) -> None:
    source = read(array(tmp_path / "tasks.json", task("a a", ["x", "y"]), task("b b", ["y"]), task("c c", [])))
    assert found(source) == {"a a": ["x", "y"], "b b": ["y"], "c c": []}
    assert source.task is Task.multi_label


def test_label_studio_before_it_recorded_the_time(tmp_path: Path) -> None:
    result = [{"type": "choices", "from_name": "sentiment", "value": {"choices": ["x"]}}]
    tasks = [task("a a", {"result": result, "was_cancelled": False}), task("b b", {"result": result})]
    assert found(read(array(tmp_path / "tasks.json", *tasks))) == {"a a": ["x"], "b b": ["x"]}


def test_annotations_that_were_imported_count_where_there_are_no_others(tmp_path: Path) -> None:
    result = [{"type": "choices", "from_name": "sentiment", "value": {"choices": ["x"]}}]
    imported = task("a a", {"result": result, "lead_time": None})
    source = read(array(tmp_path / "tasks.json", imported))
    assert found(source) == {"a a": ["x"]}
    assert said(source, "does not say that a person reviewed any answer")
    source = read(array(tmp_path / "tasks.json", imported, task("b b", ["y"])))
    assert found(source) == {"b b": ["y"]}
    assert said(source, "Left out of the export: 1 document unreviewed.")


def test_the_question_and_the_text_of_label_studio_are_named_or_asked(tmp_path: Path) -> None:
    one = task("a a", ["x"], title="t")
    one["annotations"][0]["result"].append({"type": "choices", "from_name": "mood", "value": {"choices": ["sad"]}})
    path = array(tmp_path / "tasks.json", one)
    with pytest.raises(DataError, match=r"choices sentiment, mood.*data\.label_field=sentiment"):
        read(path)
    assert found(read(path, label_field="mood")) == {"a a": ["sad"]}
    assert found(read(path, label_field="mood", text_field="data.title")) == {"t": ["sad"]}
    other = {"data": {"body": "of some words"}, "annotations": one["annotations"][:1]}
    assert found(read(array(path, other), label_field="mood")) == {"of some words": ["sad"]}


def rows(*annotations: tuple[int, str, Any, int]) -> list[dict[str, Any]]:
    """Rows of JSON-MIN: the id, the text, the choice and the annotator."""
    return [
        {"id": i, "text": text, "sentiment": choice, "annotator": by, "annotation_id": n, "lead_time": 1.2,
         "created_at": f"2026-01-0{n}", "updated_at": f"2026-01-0{n}"}
        for n, (i, text, choice, by) in enumerate(annotations, 1)
    ]  # fmt: skip


MIN = rows((1, "a a", "x", 1), (1, "a a", "y", 1), (2, "b b", "x", 1), (2, "b b", "y", 2), (3, "c c", "y", 1))


def test_label_studio_min_has_a_row_of_each_annotation(tmp_path: Path) -> None:
    source = read(array(tmp_path / "min.json", *MIN))
    assert found(source) == {"a a": ["y"], "c c": ["y"]}  # Of one annotator, the later answer counts.
    assert said(source, "1 document without agreement")


@pytest.mark.parametrize("label_field", ["label", "sentiment"])
def test_label_studio_min_with_several_choices(tmp_path: Path, label_field: str) -> None:
    made = rows((1, "a a", {"choices": ["x", "y"]}, 1), (2, "b b", "x", 1))
    source = read(array(tmp_path / "min.json", *made), label_field=label_field)
    assert found(source) == {"a a": ["x", "y"], "b b": ["x"]}


def test_label_studio_csv(tmp_path: Path) -> None:
    made = rows((1, "a a", '{"choices": ["x", "y"]}', 1), (2, "b b", "x", 1))
    with (tmp_path / "export.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, made[0])
        table.writeheader()
        table.writerows(made)
    assert found(read(tmp_path / "export.csv")) == {"a a": ["x", "y"], "b b": ["x"]}


def test_doccano_has_a_file_of_each_person(tmp_path: Path) -> None:
    for person, label in (("ann", "x"), ("ben", "x"), ("eve", "y")):
        done = {"id": 1, "text": "a a", "label": [label], "Comments": []}
        open_ = {"id": 2, "text": "b b", "label": [], "Comments": []}
        lines(tmp_path / "folder" / f"{person}.jsonl", done, open_)
    source = read(tmp_path / "folder")
    assert found(source) == {"a a": ["x"]}
    assert said(source, "Left out of the export: 1 document without an answer.")
    assert [document.id for document in source.documents] == ["1"]
    assert found(read(FIXTURES / "doccano"))["of no class"] == []


@pytest.mark.parametrize("name", ["flat_2_8.json", "datasets_2_8.jsonl"])
def test_argilla_as_2_8_writes_it(name: str) -> None:
    source = read(FIXTURES / "argilla" / name)
    assert source.task is Task.multi_label
    assert len(found(source)) == 4
    assert said(source, "1 document ignored")


def test_argilla_with_nested_responses(tmp_path: Path) -> None:
    def record(text: str, *responses: tuple[str, str]) -> dict[str, Any]:
        values = [{"value": v, "user_id": str(i), "status": s} for i, (v, s) in enumerate(responses)]
        return {"id": text, "status": "completed", "fields": {"body": text}, "responses": {"topic": values}}

    records = [record("a a", ("x", "submitted")), record("b b", ("y", "draft")), record("c c", ("x", "discarded"))]
    assert found(read(array(tmp_path / "records.json", *records))) == {"a a": ["x"]}


@pytest.mark.parametrize("value", ["x", ["x"]])
def test_argilla_of_the_first_generation(tmp_path: Path, value: Any) -> None:
    made = [
        ("a a", value, "Validated"),
        ("b b", None, "Default"),
        ("c c", value, "Discarded"),
        ("d d", value, "Default"),
    ]
    records = [
        {"text": text, "annotation": label, "status": status, "annotation_agent": "ann", "prediction": None}
        for text, label, status in made
    ]
    source = read(lines(tmp_path / "records.jsonl", *records))
    assert found(source) == {"a a": ["x"]}
    assert said(source, "1 document ignored, 1 document unreviewed, 1 document without an answer")


def test_argilla_of_version_1_has_a_field_of_each_question(tmp_path: Path) -> None:
    value = {"value": "x", "user_id": "ann", "status": "submitted"}
    records = [{"text": "a a", "topic": [value], "topic-suggestion": "y"}, {"text": "b b", "topic": []}]
    assert found(read(lines(tmp_path / "records.jsonl", *records[:1]))) == {"a a": ["x"]}


def test_prodigy_choices(tmp_path: Path) -> None:
    def example(text: str, answer: str, *accept: str) -> dict[str, Any]:
        return {"text": text, "accept": list(accept), "answer": answer, "_task_hash": 1, "options": []}

    made = [example("a a", "accept", "x"), example("b b", "reject", "x"), example("c c", "ignore")]
    source = read(lines(tmp_path / "p.jsonl", *made))
    assert found(source) == {"a a": ["x"]}
    assert said(source, "2 documents ignored")
    assert found(read(lines(tmp_path / "p.jsonl", example("a a", "accept", "x", "y")))) == {"a a": ["x", "y"]}


def test_prodigy_with_one_label_at_a_time(tmp_path: Path) -> None:
    answers = [("a a", "x", "accept"), ("a a", "y", "accept"), ("a a", "z", "reject"), ("b b", "x", "reject")]
    made = [{"text": text, "label": label, "answer": answer} for text, label, answer in answers]
    assert found(read(lines(tmp_path / "p.jsonl", *made))) == {"a a": ["x", "y"]}


def test_the_augmented_manifest_of_amazon(tmp_path: Path) -> None:
    kind = {"type": "groundtruth/text-classification", "human-annotated": "yes"}
    one = {"source": "a a", "job": 0, "job-metadata": {"class-name": "x", **kind}}
    machine = {"source": "b b", "job": 0, "job-metadata": {"class-name": "x", **kind, "human-annotated": "no"}}
    source = read(lines(tmp_path / "m.manifest.jsonl", one, one, machine))
    assert [(document.text, document.labels) for document in source.documents] == [("a a", ["x"])] * 2
    assert said(source, "1 document unreviewed")
    kind = {"type": "groundtruth/text-classification-multilabel"}
    many = {"source": "a a", "job": [0, 2], "job-metadata": {"class-map": {"0": "x", "2": "y"}, **kind}}
    assert found(read(lines(tmp_path / "m.jsonl", many))) == {"a a": ["x", "y"]}


def test_the_lines_of_vertex(tmp_path: Path) -> None:
    def line(text: str, use: str, **label: Any) -> dict[str, Any]:
        return {"textContent": text, **label, "dataItemResourceLabels": {"aiplatform.googleapis.com/ml_use": use}}

    x, y = {"displayName": "x"}, {"displayName": "y"}
    made = [line("a a", "training", classificationAnnotation=x), line("b b", "test", classificationAnnotation=y)]
    source = read(lines(tmp_path / "v.jsonl", *made))
    assert [(d.text, d.labels, d.split) for d in source.documents] == [("a a", ["x"], "train"), ("b b", ["y"], "test")]
    many = {"textContent": "a a", "classificationAnnotations": [x, y]}
    assert found(read(lines(tmp_path / "v.jsonl", many))) == {"a a": ["x", "y"]}
    bucket = {"textGcsUri": "gs://a/b.txt", "classificationAnnotation": x}
    [problem] = read(lines(tmp_path / "v.jsonl", many, bucket)).problems
    assert problem.what.startswith("expected text in textContent (lines of Vertex AI), found ")


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("x,a long text\ny,another one\nx,a third\n", [["x"], ["y"], ["x"]]),
        ("x|y,a long text\ny,another one\ny,a third\nx|y,the last\n", [["x", "y"], ["y"], ["y"], ["x", "y"]]),
        ("a long text,x\nanother one,y\na third,x\n", [["x"], ["y"], ["x"]]),
    ],
)
def test_a_table_without_a_header_line(tmp_path: Path, content: str, labels: list[list[str]]) -> None:
    (tmp_path / "c.csv").write_text(content)
    source = read(tmp_path / "c.csv")
    assert [document.labels for document in source.documents] == labels
    assert [document.row for document in source.documents] == list(range(1, len(labels) + 1))
    assert said(source, "without a header line")


@pytest.mark.parametrize("name", ["train.txt", "train.ft.txt", "train.txt.gz"])
def test_the_lines_of_fasttext(tmp_path: Path, name: str) -> None:
    content = b"__label__x a long text\n__label__x __label__y another one\n\na third __label__y\n"
    if name.endswith(".gz"):
        import gzip

        content = gzip.compress(content)
    (tmp_path / name).write_bytes(content)
    source = read(tmp_path / name)
    assert found(source) == {"a long text": ["x"], "another one": ["x", "y"], "a third": ["y"]}


def test_answers_that_cannot_be_read_are_problems_of_their_rows(tmp_path: Path) -> None:
    wrong = task("b b", {"result": [{"type": "choices", "from_name": "sentiment", "value": {}}], "lead_time": 2.0})
    source = read(array(tmp_path / "tasks.json", task("a a", ["x"]), wrong, {"data": {}, "annotations": []}))
    assert [(problem.row, problem.what[:40]) for problem in source.problems] == [
        (2, "this annotation cannot be read: KeyError"),
        (3, "expected text in text (an export of Labe"),
    ]


@pytest.mark.parametrize(
    "record",
    [
        {"text": "a a", "labels": ["x"], "comments": "of a customer"},
        {"text": "a a", "label": "x", "Comments": "of a customer"},
        {"text": "a a", "label": "x", "answer": "yes"},
        {"text": "a a", "label": "x", "annotations": 3, "data": "d"},
        {"text": "a a", "label": "x", "status": "done", "responses": []},
    ],
)
def test_other_records_are_no_export(tmp_path: Path, record: dict[str, Any]) -> None:
    source = read(lines(tmp_path / "train.jsonl", record, record))
    assert [document.labels for document in source.documents] == [["x"], ["x"]]
    assert not said(source, "read as")
