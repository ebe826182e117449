import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from tagsmith.config.settings import ClassNames, HubSettings, OnBadRow, problems
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Task
from tagsmith.data import load, read_hub
from tagsmith.data.documents import Source

AB = ClassLabel(names=["a", "b"])


def part(labels: list[Any], feature: Any = AB, name: str = "text", **columns: tuple[list[Any], Any]) -> Dataset:
    """Documents `NAME 0`, `NAME 1`, ... with these labels; a further column is (values, feature)."""
    values = {"text": [f"{name} {i}" for i in range(len(labels))], "label": labels}
    features = {"text": Value("string"), "label": feature}
    for column, (content, kind) in columns.items():
        values[column], features[column] = content, kind
    return Dataset.from_dict(values, features=Features(features))


def saved(folder: Path, data: Dataset | DatasetDict) -> Path:
    data.save_to_disk(str(folder / "saved"))
    return folder / "saved"


def read(folder: Path, data: Dataset | DatasetDict, **settings: Any) -> Source:
    return read_hub.read(HubSettings(path=str(saved(folder, data)), **settings))


def found(source: Source) -> list[str]:
    return [f"{Path(problem.file).name}:{problem.row}: {problem.what}" for problem in source.problems]


def test_a_saved_data_set_gives_documents_classes_and_splits(tmp_path: Path) -> None:
    data = DatasetDict(
        train=part([1, 0], ClassLabel(names=["b", "a"])),
        validation=part([0], ClassLabel(names=["b", "a"]), "valid"),
        test=part([1], ClassLabel(names=["b", "a"]), "test"),
        extra=part([1], ClassLabel(names=["b", "a"]), "extra"),
    )
    source = read(tmp_path, data)
    assert [(d.text, d.labels, d.split, Path(d.file).name, d.row) for d in source.documents] == [
        ("text 0", ["a"], None, "saved[train]", 1),
        ("text 1", ["b"], None, "saved[train]", 2),
        ("valid 0", ["b"], "validation", "saved[validation]", 1),
        ("test 0", ["a"], "test", "saved[test]", 1),
    ]
    assert source.classes == ["b", "a"]
    assert source.task is Task.single_label
    assert source.problems == []


def test_a_data_set_without_splits_is_training_data(tmp_path: Path) -> None:
    assert [document.split for document in read(tmp_path, part([0, 1])).documents] == [None, None]


def test_columns_and_splits_are_named_in_the_settings(tmp_path: Path) -> None:
    texts, languages, authors = (["x"], Value("string")), (["en"], Value("string")), (["Ann"], Value("string"))
    train = part([1], body=texts, nr=([7], Value("int64")), lang=languages, author=authors)
    names = {"text_field": "body", "id_field": "nr", "language_field": "lang", "group_field": "author"}
    data = DatasetDict(learn=train, check=train, train=part([0]))
    source = read(tmp_path, data, **names, train_split="learn", test_split="check")
    assert [(d.text, d.labels, d.split) for d in source.documents] == [("x", ["b"], None), ("x", ["b"], "test")]
    assert {(d.id, d.language, d.group) for d in source.documents} == {("7", "en", "Ann")}


@pytest.mark.parametrize(
    ("feature", "labels", "names", "task", "classes"),
    [
        (AB, [0, 1], [["a"], ["b"]], Task.single_label, ["a", "b"]),
        (ClassLabel(num_classes=2), [0, 1], [["0"], ["1"]], Task.single_label, ["0", "1"]),
        (Value("string"), ["x", " y "], [["x"], ["y"]], Task.single_label, None),
        (Value("string"), ["NA", "null"], [["NA"], ["null"]], Task.single_label, None),
        (Value("int64"), [10, -1], [["10"], ["-1"]], Task.single_label, None),
        (List(AB), [[0, 1], [], [1]], [["a", "b"], [], ["b"]], Task.multi_label, ["a", "b"]),
        (List(AB), [[-1], [0, -1], None], [[], ["a"], []], Task.multi_label, ["a", "b"]),
        (List(AB, length=2), [[0, 1], [1, 1]], [["b"], ["a", "b"]], Task.multi_label, ["a", "b"]),
        (List(Value("string")), [["x", "y"], []], [["x", "y"], []], Task.multi_label, None),
        (datasets.LargeList(AB), [[0], [1, 0]], [["a"], ["b", "a"]], Task.multi_label, ["a", "b"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_label_column_declares_task_and_classes(
    tmp_path: Path, feature: Any, labels: list[Any], names: list[list[str]], task: Task, classes: list[str] | None
) -> None:
    source = read(tmp_path, part(labels, feature))
    assert [document.labels for document in source.documents] == names
    assert (source.task, source.classes) == (task, classes)
    assert source.problems == []


@pytest.mark.parametrize(
    ("feature", "label", "shown"),
    [
        (Value("float64"), 1.5, "1.5"),
        (List(List(AB)), [[0]], "[0]"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_label_that_is_not_a_name_is_a_problem_of_its_row(
    tmp_path: Path, feature: Any, label: Any, shown: str
) -> None:
    source = read(tmp_path, part([label], feature))
    assert found(source) == [f"saved[train]:1: expected a class name, found {shown}"]
    assert source.documents == []


@pytest.mark.parametrize("label", [-1, None])
@pytest.mark.parametrize(("tagged", "whole"), [([0], ""), ([], ", all 1 of test")])
def test_rows_without_label_are_left_out_and_counted(
    tmp_path: Path, label: int | None, tagged: list[int], whole: str
) -> None:
    data = DatasetDict(train=part([0, 1, 0]), test=part([*tagged, label], name="test"))
    loaded = load(HubSettings(path=str(saved(tmp_path, data)), test_share=0), None, 0)
    assert len(loaded.splits.get("test", [])) == len(tagged)
    assert loaded.notes[0].startswith(f"Left out 1 document without a label{whole}")


def test_a_label_beyond_the_classes_is_a_problem_of_its_row(tmp_path: Path) -> None:
    folder = saved(tmp_path, part([0, 1, 0]))
    info = json.loads((folder / "dataset_info.json").read_text())
    info["features"]["label"]["names"] = ["a"]
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match=r"saved\[train\]:2: "):
        load(HubSettings(path=str(folder), on_bad_row=OnBadRow.error), None, 0)


def test_an_undeclared_class_names_split_and_row(tmp_path: Path) -> None:
    data = part(["a", "b", "c"], Value("string"))
    with pytest.raises(DataError, match=r"saved\[train\]:3: unknown class 'c'; the declared classes are a, b"):
        load(HubSettings(path=str(saved(tmp_path, data)), classes=["a", "b"], on_bad_row=OnBadRow.error), None, 0)


def test_the_classes_are_those_of_the_training_split_by_name_not_by_number(tmp_path: Path) -> None:
    train = part([0, 1, 2], ClassLabel(names=["a", "b", "c"]))
    test = part([0, 1], ClassLabel(names=["b", "a"]), "test")
    source = read(tmp_path, DatasetDict(train=train, test=test))
    assert source.classes == ["a", "b", "c"]
    assert [document.labels for document in source.documents] == [["a"], ["b"], ["c"], ["b"], ["a"]]


def test_the_task_is_that_of_the_training_split(tmp_path: Path) -> None:
    data = DatasetDict(train=part([[0, 1], []], List(AB)), test=part([0], name="test"))
    assert read(tmp_path, data).task is Task.multi_label


@pytest.mark.parametrize("text", ["null", "NA", "None"])
def test_texts_such_as_null_and_nan_are_texts(tmp_path: Path, text: str) -> None:
    source = read(tmp_path, part([0], body=([text], Value("string"))), text_field="body")
    assert [document.text for document in source.documents] == [text]


@pytest.mark.parametrize(
    ("texts", "kind", "what"),
    [
        ([None, "x"], Value("string"), "the text is missing"),
        (["", "x"], Value("string"), "the text is empty"),
        ([5, 6], Value("int64"), "expected text, found int 5"),
        ([["x"], ["y"]], List(Value("string")), "expected text, found list ['x']"),
    ],
)
def test_a_row_without_text_is_a_problem_of_its_row(tmp_path: Path, texts: list[Any], kind: Any, what: str) -> None:
    folder = saved(tmp_path, part([0, 1], body=(texts, kind)))
    with pytest.raises(DataError) as caught:
        load(HubSettings(path=str(folder), text_field="body", on_bad_row=OnBadRow.error), None, 0)
    assert str(caught.value).splitlines()[1].endswith(f"saved[train]:1: {what}")


def test_other_columns_are_not_decoded(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    broken = ([{"bytes": b"no image", "path": None}], datasets.Image())
    assert [document.text for document in read(tmp_path, part([0], picture=broken)).documents] == ["text 0"]


def test_a_missing_training_split_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.train_split=train: expected a split of the data set: a, b"):
        read(tmp_path, DatasetDict(a=part([0]), b=part([1])))


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"text_field": "body"}, "body"),
        ({"label_field": "tag"}, "tag"),
        ({"text_field": "body", "label_field": "tag"}, "body, tag"),
    ],
)
def test_missing_columns_are_named_with_those_there_are(tmp_path: Path, settings: dict[str, str], missing: str) -> None:
    with pytest.raises(DataError, match=f"split train: missing the columns {missing}; found text, label"):
        read(tmp_path, part([0]), **settings)


def test_a_folder_that_is_not_there_is_input_missing(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"data\.path: .*nowhere does not exist"):
        read_hub.read(HubSettings(path=str(tmp_path / "nowhere")))


def test_a_file_or_another_folder_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    file.write_text("x")
    with pytest.raises(
        DataError, match=rf"expected the folder of a data set, found a file; data=auto data\.train={file}"
    ):
        read_hub.read(HubSettings(path=str(file)))
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        DataError, match="expected a folder that save_to_disk wrote, or a copy of a data set of the hub"
    ):
        read_hub.read(HubSettings(path=str(tmp_path / "folder")))


def test_a_copy_of_a_data_set_of_the_hub_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "repo" / "data").mkdir(parents=True)
    part([0, 1]).to_parquet(str(tmp_path / "repo" / "data" / "train-00000-of-00001.parquet"))
    for settings in ({"path": str(tmp_path / "repo")}, {"name": str(tmp_path / "repo")}):
        assert [document.labels for document in read_hub.read(HubSettings(**settings)).documents] == [["a"], ["b"]]


def test_a_field_inside_of_another_has_a_dotted_name(tmp_path: Path) -> None:
    data = part([0, 1], data=([{"body": "x"}, {"body": "y"}], {"body": Value("string")}))
    source = read(tmp_path, data, text_field="data.body")
    assert [document.text for document in source.documents] == ["x", "y"]


def test_vectors_stand_for_the_declared_classes(tmp_path: Path) -> None:
    for kind in (Value("int64"), Value("float32")):
        data = part([[1, 0], [0, 1]], List(kind))
        with pytest.raises(DataError, match=r"lists of 2 numbers, 0 or 1.*data\.classes"):
            read(tmp_path / str(kind), data)
        source = read(tmp_path / str(kind), data, classes=["x", "y"])
        assert [document.labels for document in source.documents] == [["x"], ["y"]]


def test_columns_of_0_and_1_are_classes_where_they_are_named(tmp_path: Path) -> None:
    bits = {"is_x": ([1, 0, -1], Value("int64")), "is_y": ([True, True, None], Value("bool"))}
    data = part(["a", "b", "c"], Value("string"), **bits)
    source = read(tmp_path, data, label_columns=["is_*"])
    assert [document.labels for document in source.documents] == [["is_x", "is_y"], ["is_y"], []]
    with pytest.raises(DataError, match=r"is_x, is_y hold 0 and 1.*data\.label_columns=\[is_x,is_y\]"):
        read(tmp_path / "other", data.select([0, 1]), label_field="tag")


def test_classes_of_the_data_set_that_differ_by_case_alone_are_merged_or_stop(tmp_path: Path) -> None:
    data = part([0, 1, 2, 2, 3], ClassLabel(names=["a", "b ", "B", "b"]))
    settings: dict[str, Any] = {"path": str(saved(tmp_path, data)), "test_share": 0.0}
    with pytest.raises(DataError, match=r"\n  - B \(declared, 2 documents\), b \(declared, 2 documents\)$"):
        load(HubSettings(**settings), None, 0)
    loaded = load(HubSettings(**settings, class_names=ClassNames.merge), None, 0)
    assert loaded.schema.classes == ("a", "B")
    assert load(HubSettings(**settings, classes=["a", "B", "b"]), None, 0).schema.classes == ("a", "B", "b")


def test_numbers_without_names_mark_a_missing_label_by_minus_one_too(tmp_path: Path) -> None:
    number = Value("int64")
    data = DatasetDict(train=part([0, 1] * 5, number), test=part([-1, -1], number, "test"))
    loaded = load(HubSettings(path=str(saved(tmp_path, data))), None, 0)
    assert loaded.schema.classes == ("0", "1")
    assert loaded.notes[0] == "Left out 2 documents without a label, all 2 of test."


def test_whole_floats_and_booleans_are_names(tmp_path: Path) -> None:
    for kind, labels, names in (
        (Value("float64"), [0.0, 1.0], ["0", "1"]),
        (Value("bool"), [True, False], ["true", "false"]),
    ):
        source = read(tmp_path / names[0], part(labels, kind))
        assert [document.labels for document in source.documents] == [[name] for name in names]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset_dict.json", "{"),
        ("dataset_dict.json", "{}"),
        ("dataset_dict.json", "[]"),
        ("dataset_dict.json", '{"splits": ["train", "gone"]}'),
        ("train/state.json", None),
        ("train/state.json", ""),
        ("train/state.json", "{}"),
        ("train/dataset_info.json", "[]"),
        ("train/dataset_info.json", '{"features": {"text": {"_type": "Nothing"}}}'),
        ("train/data-00000-of-00001.arrow", None),
        ("train/data-00000-of-00001.arrow", ""),
        ("train/data-00000-of-00001.arrow", "half of it"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path: Path, name: str, content: str | None) -> None:
    folder = saved(tmp_path, DatasetDict(train=part([0, 1])))
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(DataError, match="saved: expected a folder that save_to_disk wrote"):
        read_hub.read(HubSettings(path=str(folder)))


def test_an_empty_data_set_holds_no_document(tmp_path: Path) -> None:
    # `datasets` itself cannot load an empty Dataset that was saved without a DatasetDict around it.
    with pytest.raises(DataError):
        load(HubSettings(path=str(saved(tmp_path, part([])))), None, 0)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("no way to the hub"),
        datasets.exceptions.DatasetNotFoundError("no such data set"),
        ValueError("unknown subset"),
        RuntimeError("Dataset scripts are no longer supported"),
        datasets.exceptions.DatasetGenerationError("a file of it is damaged"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_unavailable_data_set_is_reported_in_one_message(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises((InputMissing, DataError), match=rf"data\.name=owner/set: {error}"):
        read_hub.read(HubSettings(name="owner/set"))


def test_subset_and_revision_go_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def give(*args: object, **named: object) -> DatasetDict:
        asked.extend([*args, named])
        return DatasetDict(train=part([0, 1]))

    monkeypatch.setattr(datasets, "load_dataset", give)
    source = read_hub.read(HubSettings(name="owner/set", subset="small", revision="abc"))
    assert asked == ["owner/set", "small", {"revision": "abc"}]
    assert {document.file for document in source.documents} == {"owner/set[train]"}


@pytest.mark.parametrize("settings", [HubSettings(), HubSettings(name="owner/set", path="folder")])
def test_exactly_one_of_name_and_path_is_needed(settings: HubSettings) -> None:
    [problem] = problems(settings)
    assert problem.startswith("name, path: expected exactly one of them")


def test_an_id_of_another_kind_is_a_problem(tmp_path: Path) -> None:
    source = read(tmp_path, part([0, 1], id=([[1], [2]], List(Value("int64")))))
    assert [problem.split("found")[0] for problem in found(source)] == [
        "saved[train]:1: expected text or a number as id, ",
        "saved[train]:2: expected text or a number as id, ",
    ]
    assert source.documents == []


def test_an_empty_class_name_means_no_label_but_is_a_problem_in_a_list(tmp_path: Path) -> None:
    [document] = read(tmp_path / "one", part([""], Value("string"))).documents
    assert document.labels == []
    [problem] = found(read(tmp_path / "many", part([["a", ""]], List(Value("string")))))
    assert problem.endswith("expected a class name, found ''")
