"""What a run remembers of its sources: a change of any of them is found, and said by file."""

from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from tagsmith.config.settings import DataSettings, TableSettings, TextFoldersSettings
from tagsmith.data.fingerprint import changes_since, fingerprint
from tagsmith.data.read_files import read as read_files
from tagsmith.data.read_text_folders import read as read_folders

RUN = DatasetDict(train=Dataset.from_dict({"text": ["one", "two", "three"]}))

TABLE = "text,label\none,a\ntwo,b\nthree,a\n"


def changed(folder: Path, settings: DataSettings, change: Callable[[], object]) -> list[str]:
    read = read_files if isinstance(settings, TableSettings) else read_folders
    before = fingerprint(settings, read(settings))  # type: ignore[arg-type]
    assert changes_since(before, settings, read(settings), RUN) == []  # type: ignore[arg-type]
    change()
    lines = changes_since(before, settings, read(settings), RUN)  # type: ignore[arg-type]
    return [line.replace(f"{folder}/", "") for line in lines]


@pytest.mark.parametrize(
    ("content", "rows", "texts"),
    [
        (TABLE.replace("two,b", "two,a"), "3 rows in the run, 3 now", (0, 0, 3)),  # Another label.
        (TABLE.replace("two", "TWO"), "3 rows in the run, 3 now", (1, 1, 3)),
        (TABLE + "four,\n", "3 rows in the run, 4 now", (0, 1, 4)),
        ("text,label\none,a\nthree,a\n", "3 rows in the run, 2 now", (1, 0, 2)),
        ("text,label\ntwo,b\none,a\nthree,a\n", "3 rows in the run, 3 now", (0, 0, 3)),  # Another order.
    ],
)
def test_another_content_of_a_file_is_named(
    tmp_path: Path, content: str, rows: str, texts: tuple[int, int, int]
) -> None:
    file = tmp_path / "train.csv"
    file.write_text(TABLE)
    lines = changed(tmp_path, TableSettings(train=str(file)), lambda: file.write_text(content))
    gone, new, now = texts
    assert lines == [
        f"train.csv: the content differs: {rows}",
        f"{gone} of 3 texts in the run {'is' if gone == 1 else 'are'} not in the data, "
        f"{new} of {now} texts in the data {'is' if new == 1 else 'are'} not in the run",
    ]


def test_folders_of_text_files_and_files_that_come_or_go_are_named(tmp_path: Path) -> None:
    for name in ("a/1.txt", "a/2.txt", "b/3.txt"):
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / name).write_text(f"text of {name}")
    more = tmp_path / "more.jsonl"
    settings = TextFoldersSettings(path=str(tmp_path / "texts"), tagged=[str(more)])

    def change() -> None:
        (tmp_path / "texts/a/2.txt").write_text("other")
        more.write_text("")

    assert changed(tmp_path, settings, change)[:2] == [
        "texts/a: the content differs: 2 rows in the run, 2 now",
        "more.jsonl: not in the run, but now",
    ]
