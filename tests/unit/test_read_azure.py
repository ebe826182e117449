import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import AzureSettings, OnBadRow, TableSettings
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Task
from tagsmith.data import load, read_azure
from tagsmith.data.documents import Source

SINGLE, MULTI = "CustomSingleLabelClassification", "CustomMultiLabelClassification"
TEXTS = {"1.txt": "one", "2.txt": "two", "3.txt": "three", "4.txt": "four"}


def tagged(location: str, *names: str, **fields: Any) -> dict[str, Any]:
    """An entry of the labels file; the key `class` where there is one name, else `classes`."""
    tags = [{"category": name} for name in names]
    return {"location": location, **({"class": tags[0]} if len(tags) == 1 else {"classes": tags}), **fields}


def labels_file(documents: Any, kind: Any = SINGLE, classes: Any = ("A", "B")) -> dict[str, Any]:
    if isinstance(classes, tuple):
        classes = [{"category": name} for name in classes]
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {"projectKind": kind, "projectName": "p", "multilingual": False, "language": "en-us"},
        "assets": {"projectKind": kind, "classes": classes, "documents": documents},
    }


def written(folder: Path, project: Any, files: dict[str, str | bytes] | None = None) -> str:
    for name, content in (TEXTS if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path = folder / "labels.json"
    path.write_bytes(project if isinstance(project, bytes) else json.dumps(project).encode())
    return str(path)


def read(folder: Path, project: Any, files: dict[str, str | bytes] | None = None, **settings: Any) -> Source:
    return read_azure.read(AzureSettings(path=written(folder, project, files), **settings))


def found(source: Source) -> list[str]:
    return [f"{Path(problem.file).name}:{problem.row}: {problem.what}" for problem in source.problems]


def test_documents_classes_and_splits_come_from_the_labels_file(tmp_path: Path) -> None:
    documents = [
        tagged("1.txt", "B", dataset="Train", language="en-us"),
        tagged("2.txt", "A", dataset="Test"),
        tagged("3.txt", "A"),
        tagged("4.txt", "B", dataset="train", language=""),
    ]
    source = read(tmp_path, labels_file(documents, classes=("B", "A", "C")))
    assert [(d.id, d.text, d.labels, d.split, d.language) for d in source.documents] == [
        ("1.txt", "one", ["B"], "train", "en-us"),
        ("2.txt", "two", ["A"], "test", None),
        ("3.txt", "three", ["A"], None, None),
        ("4.txt", "four", ["B"], "train", None),
    ]
    assert source.task is Task.single_label
    assert source.classes == ["B", "A", "C"]
    assert (source.problems, source.notes) == ([], [])


def test_a_multi_label_project_gives_several_classes(tmp_path: Path) -> None:
    documents = [
        {"location": "1.txt", "classes": [{"category": "A"}, {"category": "B"}]},
        {"location": "2.txt", "classes": [{"category": "B"}]},
    ]
    source = read(tmp_path, labels_file(documents, MULTI))
    assert source.task is Task.multi_label
    assert [document.labels for document in source.documents] == [["A", "B"], ["B"]]
    assert source.problems == []


UNTAGGED: list[dict[str, Any]] = [
    {},
    {"class": None},
    {"class": {}},
    {"class": {"category": None}},
    {"class": {"category": " "}},
    {"classes": []},
    {"classifiers": []},
]


@pytest.mark.parametrize("kind", [SINGLE, MULTI])
@pytest.mark.parametrize("untagged", UNTAGGED, ids=str)
def test_documents_without_a_class_are_left_out_and_counted(
    tmp_path: Path, kind: str, untagged: dict[str, Any]
) -> None:
    documents = [tagged("1.txt", "A"), {"location": "2.txt", **untagged}, {"location": "gone.txt", **untagged}]
    source = read(tmp_path, labels_file(documents, kind), {"1.txt": "one", "2.txt": "two"})
    assert [document.id for document in source.documents] == ["1.txt"]
    assert source.problems == []
    assert source.notes == [f"{tmp_path / 'labels.json'}: left out 2 of 3 documents without a class, such as 2.txt."]


def test_a_labels_file_without_any_tag_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.json: none of its 2 documents has a class; tag them in the project"):
        read(tmp_path, labels_file([{"location": "1.txt"}, {"location": "2.txt", "class": None}]))


@pytest.mark.parametrize("key", ["class", "classes", "classifiers"])
def test_a_single_label_project_reads_its_class_under_each_key(tmp_path: Path, key: str) -> None:
    source = read(tmp_path, labels_file([{"location": "1.txt", key: [{"category": "A"}]}]))
    assert [document.labels for document in source.documents] == [["A"]]


def test_a_multi_label_project_does_not_lose_a_tag_in_the_single_label_form(tmp_path: Path) -> None:
    source = read(tmp_path, labels_file([tagged("1.txt", "A")], MULTI))
    assert source.problems or source.documents[0].labels == ["A"]


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        (SINGLE, Task.single_label),
        ("customSingleLabelClassification", Task.single_label),
        (SINGLE.upper(), Task.single_label),
        (MULTI, Task.multi_label),
        (MULTI.lower(), Task.multi_label),
        ("SingleLabelClassification", Task.single_label),
        ("custom-multi-label-classification", Task.multi_label),
    ],
)
def test_the_spelling_of_the_kind_does_not_matter(tmp_path: Path, kind: str, task: Task) -> None:
    assert read(tmp_path, labels_file([], kind)).task is task


@pytest.mark.parametrize("key", ["projectKind", "kind"])
@pytest.mark.parametrize("place", ["assets", "metadata", "top"])
def test_the_kind_may_be_in_any_of_its_places(tmp_path: Path, place: str, key: str) -> None:
    project = labels_file([], MULTI)
    del project["assets"]["projectKind"], project["metadata"]["projectKind"]
    (project if place == "top" else project[place])[key] = MULTI
    assert read(tmp_path, project).task is Task.multi_label


def test_two_kinds_of_project_are_rejected(tmp_path: Path) -> None:
    project = labels_file([])
    project["metadata"]["projectKind"] = MULTI
    with pytest.raises(DataError, match=f"expected one kind of project, found {MULTI}, {SINGLE}"):
        read(tmp_path, project)


def preview(*documents: list[str], kind: str | None = None, nested: bool = True) -> dict[str, Any]:
    """A project of the preview of 2021: `classifiers` and `modelType`, or the bare file of tags."""
    lists = {
        "classifiers": [{"name": "A"}, {"name": "B"}],
        "documents": [
            {"location": f"{i}.txt", "language": "en-us", "classifiers": [{"classifierName": name} for name in names]}
            for i, names in enumerate(documents, 1)
        ],
    }
    metadata = {} if kind is None else {"metadata": {"name": "p", "modelType": kind}}
    return {"api-version": "2021-11-01-preview", **metadata, **({"assets": lists} if nested else lists)}


@pytest.mark.parametrize(
    ("kind", "task"),
    [("singleClassification", Task.single_label), ("MultiClassification", Task.multi_label)],
)
def test_a_project_of_the_preview_is_read(tmp_path: Path, kind: str, task: Task) -> None:
    source = read(tmp_path, preview(["A"], ["B"], [], kind=kind), {"1.txt": "one", "2.txt": "two"})
    assert source.task is task
    assert source.classes == ["A", "B"]
    assert [(d.id, d.text, d.labels) for d in source.documents] == [("1.txt", "one", ["A"]), ("2.txt", "two", ["B"])]
    assert len(source.notes) == 1


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(("last", "task"), [(["B"], Task.single_label), (["A", "B"], Task.multi_label)])
def test_without_a_kind_the_documents_decide_and_a_note_says_so(
    tmp_path: Path, last: list[str], task: Task, nested: bool
) -> None:
    source = read(tmp_path, preview(["A"], last, nested=nested), {"1.txt": "one", "2.txt": "two"})
    assert source.task is task
    assert [document.labels for document in source.documents] == [["A"], last]
    [note] = source.notes
    assert note.endswith(f", so the task is {task.value}.")


@pytest.mark.parametrize("kind", ["CustomEntityRecognition", "", None, 5, [SINGLE], {"kind": SINGLE}])
def test_another_kind_of_project_is_rejected(tmp_path: Path, kind: object) -> None:
    with pytest.raises(DataError, match=f"expected projectKind {SINGLE} or {MULTI}, found"):
        read(tmp_path, labels_file([], kind))


@pytest.mark.parametrize("multilingual", [True, "true", "false", None, 1])
def test_any_spelling_of_multilingual_is_accepted(tmp_path: Path, multilingual: object) -> None:
    project = labels_file([tagged("1.txt", "A")])
    project["metadata"]["multilingual"] = multilingual
    assert [document.text for document in read(tmp_path, project).documents] == ["one"]


@pytest.mark.parametrize("metadata", [None, [], "x", 5])
def test_the_metadata_may_be_missing_or_odd(tmp_path: Path, metadata: object) -> None:
    project = labels_file([tagged("1.txt", "A")]) | {"metadata": metadata}
    assert len(read(tmp_path, project).documents) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_byte_order_mark_and_utf_16_are_read(tmp_path: Path, encoding: str) -> None:
    project = json.dumps(labels_file([tagged("1.txt", "é")], classes=("é", "B")), ensure_ascii=False).encode(encoding)
    text = "one".encode("utf-8-sig" if encoding == "utf-8-sig" else "utf-16")
    source = read(tmp_path, project, {"1.txt": text})
    assert [(document.text, document.labels) for document in source.documents] == [("one", ["é"])]
    assert source.problems == []


def test_without_any_dataset_the_splits_are_drawn(tmp_path: Path) -> None:
    texts = {f"{i}.txt": f"text {i}" for i in range(20)}
    documents = [tagged(name, "AB"[i % 2]) for i, name in enumerate(texts)]
    data = load(AzureSettings(path=written(tmp_path, labels_file(documents), texts)), None, 0)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 16, "test": 4}


def test_the_splits_of_the_project_are_kept(tmp_path: Path) -> None:
    documents = [
        tagged("1.txt", "A", dataset="Train"),
        tagged("2.txt", "B", dataset="Train"),
        tagged("3.txt", "A", dataset="Test"),
        tagged("4.txt", "B", dataset="Test"),
    ]
    data = load(AzureSettings(path=written(tmp_path, labels_file(documents))), None, 0)
    assert {name: part["id"][:] for name, part in data.splits.items()} == {
        "train": ["1.txt", "2.txt"],
        "test": ["3.txt", "4.txt"],
    }


def test_a_location_may_be_in_a_subfolder(tmp_path: Path) -> None:
    source = read(tmp_path, labels_file([tagged("mail/2024/1.txt", "A")]), {"mail/2024/1.txt": "one"})
    assert [(document.id, document.text) for document in source.documents] == [("mail/2024/1.txt", "one")]


BLOB = "https://account.blob.core.windows.net/texts/"


@pytest.mark.parametrize(
    ("location", "file"),
    [
        (r"mail\1.txt", "mail/1.txt"),
        ("/mail/1.txt", "mail/1.txt"),
        (r"\mail\1.txt", "mail/1.txt"),
        ("./mail//1.txt", "mail/1.txt"),
        ("mail/a%20b.txt", "mail/a b.txt"),
        ("mail%2F%C3%A9.txt", "mail/é.txt"),
        ("/mail%5Ca%20b.txt", "mail/a b.txt"),
        (BLOB + "mail/1.txt", "mail/1.txt"),
        (BLOB + "mail/a%20b.txt?sv=2022-11-02&sig=a%2Fb", "mail/a b.txt"),
        (BLOB + "1.txt", "texts/1.txt"),
        ("wasbs://texts@account.blob.core.windows.net/mail/1.txt", "mail/1.txt"),
        ("texts/1.txt", "1.txt"),
        ("Mail/Ticket.TXT", "mail/ticket.txt"),
        ("mail/cafe\u0301.txt", "mail/caf\u00e9.txt"),
        (BLOB + "Mail%2FTicket.txt", "mail/ticket.txt"),
    ],
)
def test_a_location_in_another_spelling_finds_its_file(tmp_path: Path, location: str, file: str) -> None:
    project = labels_file([tagged(location, "A")])
    project["metadata"]["storageInputContainerName"] = "texts"
    source = read(tmp_path, project, {file: "one"})
    assert [(document.id, document.text) for document in source.documents] == [(file, "one")]
    assert source.problems == []
    expected = f"1 of 1 location spelled in another way than the paths of the files: {location} is {file}."
    assert source.notes == [f"{tmp_path / 'labels.json'}: {expected}"]


@pytest.mark.parametrize("name", ["a%20b.txt", "a\\b.txt", "A.txt", "100%.txt"])
def test_a_file_that_is_named_as_its_location_comes_first(tmp_path: Path, name: str) -> None:
    others = {"a b.txt": "other", "a/b.txt": "other", "a.txt": "other", "100%": "other"}
    source = read(tmp_path, labels_file([tagged(name, "A")]), {**others, name: "one"})
    assert [(document.id, document.text) for document in source.documents] == [(name, "one")]


def test_a_name_that_fits_two_files_in_other_case_is_a_problem(tmp_path: Path) -> None:
    source = read(tmp_path, labels_file([tagged("a.txt", "A")]), {"A.txt": "one", "A.TXT": "two"})
    [problem] = source.problems
    assert problem.what == f"{tmp_path} has several files that differ from location 'a.txt' in case alone"


def test_two_spellings_of_one_location_are_a_duplicate(tmp_path: Path) -> None:
    source = read(tmp_path, labels_file([tagged("mail/1.txt", "A"), tagged(r"mail\1.txt", "A")]), {"mail/1.txt": "one"})
    assert found(source)[0].startswith("labels.json#documents:2: duplicate location")


@pytest.mark.parametrize(
    ("files", "remedy"),
    [({}, "set data.texts to the folder of the text files"), ({"texts/mail/1.txt": "one"}, "set data.texts={}/texts")],
)
def test_locations_that_do_not_exist_are_one_line_with_the_remedy(
    tmp_path: Path, files: dict[str, str | bytes], remedy: str
) -> None:
    documents = [tagged(f"mail/{i}.txt", "A") for i in range(1, 61)]
    path = written(tmp_path, labels_file(documents), files)
    with pytest.raises(DataError) as caught:
        load(AzureSettings(path=path), None, 0)
    [line] = str(caught.value).splitlines()[1:]
    assert line == (
        f"  - 60 rows: location 'mail/1.txt', 'mail/2.txt', 'mail/3.txt', ... does not exist in {tmp_path}; "
        f"{remedy.format(tmp_path)} ({path}#documents:1, 2, 3 and 57 more)"
    )


def test_class_names_in_another_case_are_the_declared_ones_and_counted(tmp_path: Path) -> None:
    documents = [tagged("1.txt", "billing"), tagged("2.txt", "BUG"), tagged("3.txt", "Billing"), tagged("4.txt", "bug")]
    source = read(tmp_path, labels_file(documents, classes=("Billing", "bug")))
    assert [document.labels for document in source.documents] == [["Billing"], ["bug"], ["Billing"], ["bug"]]
    assert source.notes == [
        f"{tmp_path / 'labels.json'}: 2 tags in another case than the declared class, such as billing; "
        "taken as the declared class."
    ]


def test_classes_that_are_declared_in_two_cases_stay_as_they_are_written(tmp_path: Path) -> None:
    documents = [tagged("1.txt", "A"), tagged("2.txt", "a")]
    source = read(tmp_path, labels_file(documents, classes=("A", "a")))
    assert [document.labels for document in source.documents] == [["A"], ["a"]]


def test_the_texts_may_be_in_another_folder(tmp_path: Path) -> None:
    written(tmp_path / "texts", {}, {"1.txt": "one"})
    source = read(tmp_path, labels_file([tagged("1.txt", "A")]), {}, texts=str(tmp_path / "texts"))
    assert [document.text for document in source.documents] == ["one"]


def test_a_class_that_is_declared_twice_is_one_class(tmp_path: Path) -> None:
    assert read(tmp_path, labels_file([], classes=("A", "B", "A", " B "))).classes == ["A", "B"]


def test_an_undeclared_class_is_a_problem_that_names_the_document(tmp_path: Path) -> None:
    path = written(tmp_path, labels_file([tagged("1.txt", "A"), tagged("2.txt", "C")]))
    with pytest.raises(DataError, match=r"labels\.json#2\.txt:2: unknown class 'C'; the declared classes are A, B"):
        load(AzureSettings(path=path, on_bad_row=OnBadRow.error), None, 0)


def test_text_files_that_are_not_in_the_labels_file_are_counted(tmp_path: Path) -> None:
    source = read(tmp_path, labels_file([tagged("1.txt", "A")]))
    assert source.notes == [f"{tmp_path}: left out 3 text files that the labels file does not list."]
    assert [document.id for document in source.documents] == ["1.txt"]


def test_a_listed_file_is_not_counted_as_unlisted_because_it_is_bad(tmp_path: Path) -> None:
    documents = [tagged("1.txt", "A"), tagged("2.txt", "A"), tagged("3.txt", "A", dataset="?"), tagged("4.txt", "B")]
    source = read(tmp_path, labels_file(documents), {**TEXTS, "2.txt": b"\xff"})
    assert len(source.problems) == 2
    assert source.notes == []


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (None, "expected an object with a `location`"),
        ("1.txt", "expected an object with a `location`"),
        ([], "expected an object with a `location`"),
        ({}, "expected an object with a `location`"),
        ({"location": None}, "expected an object with a `location`"),
        ({"location": 5}, "expected an object with a `location`"),
        ({"location": "2.txt", "class": "A"}, 'expected the class as {"category": NAME}'),
        ({"location": "2.txt", "class": 5}, 'expected the class as {"category": NAME}'),
        ({"location": "2.txt", "class": {"category": 1}}, 'expected the class as {"category": NAME}'),
        ({"location": "2.txt", "class": {"category": ["A"]}}, 'expected the class as {"category": NAME}'),
        ({"location": "2.txt", "class": ["A"]}, 'expected the class as {"category": NAME}'),
        (tagged("2.txt", "A", dataset="Dev set"), "expected train, validation or test as the split, found 'Dev set'"),
        (tagged("2.txt", "A", dataset=5), "expected train, validation or test as the split, found 5"),
        (tagged("2.txt", "A", dataset=["Test"]), "expected train, validation or test as the split, found ['Test']"),
        (tagged("gone.txt", "A"), "location "),
        (tagged("sub/1.txt", "A"), "location "),
        (tagged("", "A"), "location "),
        (tagged(".", "A"), "location "),
        (tagged("1\0.txt", "A"), "location "),
        (tagged("\ud800.txt", "A"), ""),
        (tagged("x" * 300 + ".txt", "A"), "location "),
        (tagged("1.txt/2.txt", "A"), "location "),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_unusable_entry_is_a_problem_with_its_position(tmp_path: Path, entry: object, what: str) -> None:
    source = read(tmp_path, labels_file([tagged("1.txt", "A"), entry, tagged("3.txt", "B")]))
    [problem] = found(source)
    assert problem.startswith(f"labels.json#documents:2: {what}")
    assert [document.id for document in source.documents] == ["1.txt", "3.txt"]


def test_a_text_in_another_encoding_is_a_problem_of_its_file(tmp_path: Path) -> None:
    source = read(tmp_path, labels_file([tagged("1.txt", "A")]), {"1.txt": "café".encode("cp1252")})
    assert found(source) == ["1.txt:1: cannot be decoded as utf-8; set data.encoding or data.fallback_encoding"]


@pytest.mark.parametrize(
    ("raw", "settings"),
    [
        ("café".encode("utf-16"), {"encoding": "utf-16"}),
        ("café".encode("cp1252"), {"fallback_encoding": "cp1252"}),
    ],
)
def test_encoding_and_fallback_are_named_in_the_settings(tmp_path: Path, raw: bytes, settings: dict[str, str]) -> None:
    source = read(tmp_path, labels_file([tagged("1.txt", "A")]), {"1.txt": raw}, **settings)
    assert [document.text for document in source.documents] == ["café"]


def test_empty_texts_and_second_labels_are_named_together(tmp_path: Path) -> None:
    documents = [
        tagged("1.txt", "A"),
        tagged("2.txt", "A"),
        {"location": "3.txt", "class": [{"category": "A"}, {"category": "B"}]},
        tagged("4.txt", "B"),
    ]
    path = written(tmp_path, labels_file(documents), {**TEXTS, "4.txt": " \n"})
    with pytest.raises(DataError) as caught:
        load(AzureSettings(path=path), None, 0)
    lines = str(caught.value).splitlines()[1:]
    assert [line.removeprefix(f"  - {tmp_path}/labels.json#")[:26] for line in lines] == [
        "3.txt:3: expected one labe",
        "4.txt:4: the text is empty",
    ]


def test_a_document_that_is_listed_twice_is_named_by_its_places_in_the_list(tmp_path: Path) -> None:
    path = written(tmp_path, labels_file([tagged("1.txt", "A"), tagged("2.txt", "B"), tagged("1.txt", "A")]))
    with pytest.raises(DataError) as caught:
        load(AzureSettings(path=path, on_bad_row=OnBadRow.error), None, 0)
    [line] = str(caught.value).splitlines()[1:]
    assert "#documents:3: " in line
    assert line.endswith("#documents:1")


def test_skipping_the_second_listing_of_a_document_keeps_the_first(tmp_path: Path) -> None:
    documents = [*(tagged(name, "AB"[i % 2]) for i, name in enumerate(TEXTS)), tagged("1.txt", "A")]
    path = written(tmp_path, labels_file(documents))
    data = load(AzureSettings(path=path, on_bad_row=OnBadRow.skip, test_share=0), None, 0)
    assert data.splits["train"]["id"][:] == list(TEXTS)
    assert len(data.rejected) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe{\0}\0", b"\0", b"[]", b'"x"', b"null", b"{}", b'{"assets": []}', b"[" * 100_000],
    ids=lambda value: ascii(value)[:20],
)
def test_a_file_that_is_not_a_labels_file_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"labels\.json"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("classes", "documents"),
    [
        (None, []),
        ({"category": "A"}, []),
        (["A", "B"], []),
        ([{"category": 1}], []),
        ([None], []),
        (("A", "B"), None),
        (("A", "B"), {"location": "1.txt"}),
        (("A", "B"), "1.txt"),
    ],
    ids=str,
)
def test_fields_that_are_not_lists_are_rejected(tmp_path: Path, classes: object, documents: object) -> None:
    with pytest.raises(DataError, match=r"labels\.json: expected lists `assets\.classes`"):
        read(tmp_path, labels_file(documents, classes=classes))


@pytest.mark.parametrize("name", ["", "\ud800"], ids=["empty", "surrogate"])
def test_an_invalid_class_name_is_rejected(tmp_path: Path, name: str) -> None:
    documents = [tagged(text, "AB"[i % 2]) for i, text in enumerate(TEXTS)]
    path = written(tmp_path, labels_file(documents, classes=("A", "B", name)))
    with pytest.raises(DataError, match="class"):
        load(AzureSettings(path=path), None, 0)


def test_a_project_with_a_single_class_is_rejected(tmp_path: Path) -> None:
    path = written(tmp_path, labels_file([tagged(name, "A") for name in TEXTS], classes=("A",)))
    with pytest.raises(DataError, match="at least two classes, found A"):
        load(AzureSettings(path=path), None, 0)


def test_a_missing_labels_file_or_folder_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"data\.path: .*nowhere\.json does not exist"):
        read_azure.read(AzureSettings(path=str(tmp_path / "nowhere.json")))
    with pytest.raises(InputMissing, match=r"data\.texts: .*nowhere does not exist"):
        read(tmp_path, labels_file([]), texts=str(tmp_path / "nowhere"))


def test_a_folder_in_place_of_the_labels_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the labels file"):
        read_azure.read(AzureSettings(path=str(tmp_path)))


@pytest.mark.parametrize(
    "location",
    [
        "..",
        "../outside.txt",
        "sub/../../outside.txt",
        "../../etc/passwd",
        "/../outside.txt",
        r"..\outside.txt",
        r"sub\..\..\outside.txt",
        r"C:\..\outside.txt",
        r"C:..\outside.txt",
        "%2e%2e/outside.txt",
        "..%2Foutside.txt",
        "sub/..%5C..%5Coutside.txt",
        "texts/../../outside.txt",
        "file:///../outside.txt",
        "https://account.blob.core.windows.net/texts/../../outside.txt",
        "https://account.blob.core.windows.net/%2E%2E/outside.txt",
    ],
)
def test_a_location_outside_the_folder_is_a_problem_not_a_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "outside.txt").write_text("secret")
    (tmp_path / "inside" / "sub").mkdir(parents=True)
    project = labels_file([tagged(location, "A"), tagged("1.txt", "B")])
    source = read_azure.read(AzureSettings(path=written(tmp_path / "inside", project)))
    [problem] = source.problems
    assert problem.what == (
        f"expected a relative location inside {tmp_path / 'inside'}, without .., found {location!r}"
    )
    assert [document.text for document in source.documents] == ["one"]


@pytest.mark.parametrize("language", [["en"], True, {"a": 1}], ids=str)
def test_a_language_that_is_not_text_is_a_problem(tmp_path: Path, language: Any) -> None:
    project = labels_file([tagged("1.txt", "A", language=language)])
    [problem] = read_azure.read(AzureSettings(path=written(tmp_path, project))).problems
    assert problem.what.startswith("expected text or a number as language, found ")


@pytest.mark.parametrize("prefix", ["", "file://", "//?", "https://account.blob.core.windows.net"])
def test_an_absolute_path_is_looked_for_inside_the_folder(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "outside.txt").write_text("secret")
    location = f"{prefix}{tmp_path / 'outside.txt'}"
    source = read(tmp_path / "inside", labels_file([tagged(location, "A"), tagged("1.txt", "B")]))
    [problem] = source.problems
    assert problem.what.startswith("location ")
    assert [document.text for document in source.documents] == ["one"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_data_train_may_name_the_labels_file(tmp_path: Path, encoding: str) -> None:
    documents = [tagged(name, "AB"[i % 2]) for i, name in enumerate(TEXTS)]
    path = written(tmp_path, json.dumps(labels_file(documents)).encode(encoding))
    data = load(TableSettings(train=path, test_share=0), None, 0)
    assert data.splits["train"]["id"][:] == list(TEXTS)
    assert data.notes[0] == f"{path}: read as data=azure, a labels file of Azure."


def test_a_labels_file_of_another_kind_is_one_too(tmp_path: Path) -> None:
    path = written(tmp_path, labels_file([], "CustomEntityRecognition"))
    with pytest.raises(DataError, match="expected projectKind"):
        load(TableSettings(train=path), None, 0)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b'{"assets": 1}', b'{"documents": [{"text": "a"}]}', b'{"documents": [], "x": 1}', b"\xff\xfe"],
)
def test_other_json_is_no_labels_file(tmp_path: Path, content: bytes) -> None:
    assert not read_azure.is_labels_file(Path(written(tmp_path, content)))
