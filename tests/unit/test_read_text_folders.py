import os
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import TableSettings, TextFoldersSettings, problems
from tagsmith.core.errors import DataError, InputMissing, TagsmithError
from tagsmith.core.schema import Task
from tagsmith.data import load, read_text_folders
from tagsmith.data.documents import Source

FOUR = {"sport/1.txt": "goal", "sport/2.txt": "match", "trade/1.txt": "price", "trade/2.txt": "market"}


def written(root: Path, files: dict[str, str | bytes]) -> str:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(root)


def read(root: Path, files: dict[str, str | bytes], **settings: Any) -> Source:
    return read_text_folders.read(TextFoldersSettings(path=written(root, files), **settings))


def seen(source: Source) -> list[tuple[str | None, list[str], str | None, Any]]:
    return [(document.id, document.labels, document.split, document.text) for document in source.documents]


def test_each_folder_is_a_class_and_each_file_a_document(tmp_path: Path) -> None:
    source = read(tmp_path, FOUR)
    assert seen(source) == [
        ("sport/1.txt", ["sport"], None, "goal"),
        ("sport/2.txt", ["sport"], None, "match"),
        ("trade/1.txt", ["trade"], None, "price"),
        ("trade/2.txt", ["trade"], None, "market"),
    ]
    assert (source.documents[0].file, source.documents[0].row) == (str(tmp_path / "sport" / "1.txt"), 1)
    assert source.task is Task.single_label
    assert (source.problems, source.notes) == ([], [])


def test_documents_come_in_an_order_that_does_not_depend_on_the_file_system(tmp_path: Path) -> None:
    names = ["10/b.txt", "2/10.txt", "2/9.txt", "1/z.txt"]
    source = read(tmp_path, {name: name for name in names})
    assert [document.id for document in source.documents] == ["1/z.txt", "2/9.txt", "2/10.txt", "10/b.txt"]


@pytest.mark.parametrize(
    ("folder", "split"),
    [("train", "train"), ("Training", "train"), ("test", "test"), ("TEST", "test"), ("val", "validation"),
     ("valid", "validation"), ("dev", "validation"), ("validation", "validation")],
)  # fmt: skip
def test_class_folders_may_be_in_folders_named_after_splits(tmp_path: Path, folder: str, split: str) -> None:
    source = read(tmp_path, {f"{folder}/sport/1.txt": "goal", f"{folder}/trade/1.txt": "price"})
    assert seen(source) == [("sport/1.txt", ["sport"], split, "goal"), ("trade/1.txt", ["trade"], split, "price")]


def test_the_same_file_name_in_two_splits_names_two_documents(tmp_path: Path) -> None:
    # Each split counts its own files, as in the IMDB reviews: train/pos/0.txt and test/pos/0.txt.
    files = {f"{split}/{name}": f"{split} {text}" for split in ("train", "test") for name, text in FOUR.items()}
    tagged = load(TextFoldersSettings(path=written(tmp_path, files)), None, 0)
    assert {split: len(part) for split, part in tagged.splits.items()} == {"train": 4, "test": 4}
    assert len({*tagged.splits["train"]["id"], *tagged.splits["test"]["id"]}) == 8


def test_a_class_may_have_the_name_of_a_split_if_others_do_not(tmp_path: Path) -> None:
    source = read(tmp_path, {"test/1.txt": "exam", "sport/1.txt": "goal"})
    assert [(document.labels, document.split) for document in source.documents] == [(["sport"], None), (["test"], None)]


def test_an_empty_folder_with_the_name_of_a_split_makes_no_splits(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    assert seen(read(tmp_path, FOUR)) == seen(read(tmp_path / "clean", FOUR))


def test_folders_beside_those_of_the_splits_are_left_out(tmp_path: Path) -> None:
    splits = {f"{split}/{name}": f"{split} {text}" for split in ("train", "test") for name, text in FOUR.items()}
    source = read(tmp_path, {**splits, "docs/1.txt": "x", "unsup/2.txt": "x"})
    assert seen(source) == seen(read(tmp_path / "clean", {**splits}))
    assert source.notes == [
        f"{tmp_path / 'docs'}: left out, because test beside it is a folder of a split.",
        f"{tmp_path / 'unsup'}: left out, because test beside it is a folder of a split.",
        f"{tmp_path}: left out 2 files that no class folder has as *.txt: 2 .txt.",
    ]


def test_files_that_are_not_documents_are_counted_by_kind(tmp_path: Path) -> None:
    others = {"README.txt": "x", "sport/note.md": "x", "sport/b.MD": "x", "sport/sub/1.txt": "x", "trade/LICENSE": "x"}
    source = read(tmp_path, {**FOUR, **others})
    assert seen(source) == seen(read(tmp_path / "clean", FOUR))
    kinds = "2 .md, 2 .txt, 1 without a suffix"
    assert source.notes == [f"{tmp_path}: left out 5 files that no class folder has as *.txt: {kinds}."]


HIDDEN = [
    ".git/1.txt",
    "__MACOSX/1.txt",
    "sport/._1.txt",
    "sport/.DS_Store",
    "sport/.cache/1.txt",
    "sport/__MACOSX/1.txt",
]


@pytest.mark.parametrize("pattern", ["*.txt", "**/*.txt"])
@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_files_and_folders_are_left_out(tmp_path: Path, name: str, pattern: str) -> None:
    source = read(tmp_path, {**FOUR, name: b"\xff"}, pattern=pattern)
    assert seen(source) == seen(read(tmp_path / "clean", FOUR))
    assert (source.problems, source.notes) == ([], [])


@pytest.mark.parametrize(("file", "pattern"), [("1.TXT", "*.txt"), ("1.Txt", "*.TXT"), ("a/B.TXT", "**/?.txt")])
def test_the_case_of_a_file_name_does_not_matter(tmp_path: Path, file: str, pattern: str) -> None:
    assert [d.id for d in read(tmp_path, {f"sport/{file}": "goal"}, pattern=pattern).documents] == [f"sport/{file}"]


@pytest.mark.parametrize("name", ["unsup", "Unlabeled", "unlabelled", "un-tagged", "UNTAGGED", "un_annotated"])
@pytest.mark.parametrize("split", ["", "train/"])
def test_a_folder_of_untagged_documents_is_no_class(tmp_path: Path, split: str, name: str) -> None:
    files: dict[str, str | bytes] = {split + file: text for file, text in FOUR.items()}
    source = read(tmp_path, {**files, f"{split}{name}/1.txt": "x", f"{split}{name}/2.txt": b"\xff"})
    assert {document.labels[0] for document in source.documents} == {"sport", "trade"}
    assert source.problems == []
    [note] = source.notes
    assert note == (
        f"{tmp_path / split / name}: left out 2 documents, because the folder's name means untagged; "
        f"with {name} in data.classes it is a class."
    )


def test_a_declared_class_may_have_a_name_that_means_untagged(tmp_path: Path) -> None:
    source = read(tmp_path, {**FOUR, "untagged/1.txt": "x"}, classes=["sport", "trade", "untagged"])
    assert {document.labels[0] for document in source.documents} == {"sport", "trade", "untagged"}
    assert source.notes == []


def test_classes_that_the_test_folder_lacks_are_counted(tmp_path: Path) -> None:
    both = {f"{split}/{name}": text for split in ("train", "test") for name, text in FOUR.items()}
    [note] = read(
        tmp_path, {**both, "train/drafts/1.txt": "x", "train/drafts/2.txt": "x", "train/old/1.txt": "x"}
    ).notes
    expected = "2 classes with training documents, but no folder for testing: drafts (2), old (1). "
    assert note == expected + "A folder that is no class can be removed, or deleted by data.schema_changes."


@pytest.mark.parametrize("splits", [("train",), ("train", "validation")])
def test_without_a_test_folder_no_class_lacks_one(tmp_path: Path, splits: tuple[str, ...]) -> None:
    assert read(tmp_path, {f"{split}/{name}": text for split in splits for name, text in FOUR.items()}).notes == []


def test_a_folder_with_the_name_of_a_document_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "sport" / "3.txt").mkdir(parents=True)
    assert len(read(tmp_path, FOUR).documents) == 4


def test_the_pattern_selects_the_documents(tmp_path: Path) -> None:
    files = {"sport/1.text": "goal", "sport/1.txt": "no", "trade/1.text": "price"}
    source = read(tmp_path, files, pattern="*.text")
    assert [document.text for document in source.documents] == ["goal", "price"]


def test_a_pattern_that_goes_into_folders_finds_every_file(tmp_path: Path) -> None:
    files = {"sport/2023/1.txt": "goal", "sport/2024/1.txt": "match", "trade/2024/1.txt": "price"}
    source = read(tmp_path, files, pattern="**/*.txt")
    assert sorted(document.text for document in source.documents) == ["goal", "match", "price"]


@pytest.mark.parametrize("pattern", ["", "/tmp/*.txt", "**.txt"])
def test_an_invalid_pattern_is_rejected(pattern: str) -> None:
    [problem] = problems(TextFoldersSettings(path="texts", pattern=pattern))
    assert problem.startswith("pattern: expected ")


def test_an_empty_class_folder_is_named_in_a_note(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    source = read(tmp_path, FOUR)
    assert source.notes == [f"{tmp_path / 'empty'}: no file matches *.txt, so the class has no documents."]
    assert len(source.documents) == 4


@pytest.mark.parametrize("text", ["null", "NA", "None"])
def test_texts_such_as_null_and_nan_are_texts(tmp_path: Path, text: str) -> None:
    assert [document.text for document in read(tmp_path, {"sport/1.txt": text}).documents] == [text]


def test_a_text_keeps_its_line_breaks_and_loses_its_byte_order_mark(tmp_path: Path) -> None:
    [document] = read(tmp_path, {"sport/1.txt": b"\xef\xbb\xbfone\r\ntwo\n"}).documents
    assert document.text == "one\r\ntwo\n"


@pytest.mark.parametrize(
    "raw", ["café".encode("cp1252"), "café".encode("utf-16-le"), b"\x80", b"a\xed\xa0\x80"], ids=repr
)
def test_a_file_in_another_encoding_is_a_problem_that_names_it(tmp_path: Path, raw: bytes) -> None:
    source = read(tmp_path, {**FOUR, "trade/2.txt": raw})
    expected = (
        f"{tmp_path / 'trade' / '2.txt'}:1: cannot be decoded as utf-8; set data.encoding or data.fallback_encoding"
    )
    assert [str(problem) for problem in source.problems] == [expected]
    assert [document.text for document in source.documents] == ["goal", "match", "price"]


@pytest.mark.parametrize(
    ("raw", "settings"),
    [
        ("café".encode("utf-16"), {"encoding": "utf-16"}),
        ("café".encode("cp1252"), {"encoding": "cp1252"}),
        ("café".encode("cp1252"), {"fallback_encoding": "cp1252"}),
        ("café".encode(), {"fallback_encoding": "cp1252"}),
    ],
)
def test_encoding_and_fallback_are_named_in_the_settings(tmp_path: Path, raw: bytes, settings: dict[str, str]) -> None:
    assert [document.text for document in read(tmp_path, {"sport/1.txt": raw}, **settings).documents] == ["café"]


def test_a_folder_that_is_not_there_is_input_missing(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"data\.path: .*nowhere does not exist"):
        read_text_folders.read(TextFoldersSettings(path=str(tmp_path / "nowhere")))


@pytest.mark.parametrize("files", [{}, {"1.txt": "goal"}, {".git/1.txt": "x"}], ids=["empty", "files", "hidden"])
def test_a_folder_without_class_folders_is_rejected(tmp_path: Path, files: dict[str, str | bytes]) -> None:
    with pytest.raises(DataError, match="expected one folder per class, found no folders"):
        read(tmp_path, files)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "texts.zip").write_bytes(b"PK")
    with pytest.raises((DataError, InputMissing), match=r"texts\.zip"):
        load(TextFoldersSettings(path=str(tmp_path / "texts.zip")), None, 0)


def test_class_folders_without_any_document_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "sport").mkdir()
    with pytest.raises(DataError, match="The data holds no document"):
        load(TextFoldersSettings(path=str(tmp_path)), None, 0)


@pytest.mark.parametrize("name", [b"sport/\xff.txt", b"\xff/1.txt"], ids=["file", "folder"])
def test_a_name_that_is_not_valid_unicode_does_not_end_in_a_traceback(tmp_path: Path, name: bytes) -> None:
    try:
        path = written(tmp_path, {**FOUR, os.fsdecode(name): "goal, too"})
    except OSError:
        pytest.skip("this file system takes no such name")
    try:
        tagged = load(TextFoldersSettings(path=path, test_share=0), None, 0)
    except TagsmithError as error:
        assert "1.txt" in str(error) or "sport" in str(error)  # noqa: PT017
    else:
        assert len(tagged.splits["train"]) + len({problem.row for problem in tagged.rejected}) == 5


@pytest.mark.parametrize("test", [False, True])
def test_data_train_may_name_the_folders(tmp_path: Path, test: bool) -> None:
    written(tmp_path / "learn", FOUR | {"unsup/1.txt": "x"})
    written(tmp_path / "exam", {name: f"a new {text}" for name, text in FOUR.items()})
    places = {"train": str(tmp_path / "learn"), "test": str(tmp_path / "exam") if test else None}
    tagged = load(TableSettings(**places, test_share=0), None, 0)
    assert {split: len(part) for split, part in tagged.splits.items()} == {"train": 4, **({"test": 4} if test else {})}
    assert tagged.schema.classes == ("sport", "trade")
    assert tagged.notes[0] == f"{tmp_path / 'learn'}: read as data=text_folders, a folder of .txt files per class."


def test_a_folder_with_files_of_rows_is_not_one_of_classes(tmp_path: Path) -> None:
    path = written(tmp_path, FOUR | {"all.csv": "text,label\na,b\nc,d\n"})
    assert len(load(TableSettings(train=path, test_share=0), None, 0).splits["train"]) == 2
