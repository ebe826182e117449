import hashlib
from pathlib import Path

import pytest

import tagsmith
from tagsmith.core.errors import DataError, counted
from tagsmith.core.files import digest, in_package, json_object, read_json, read_json_lines


def test_the_digest_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert digest(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_place_in_a_package_is_a_path() -> None:
    assert in_package("tagsmith/data/x.jsonl") == Path(tagsmith.__file__).parent / "data" / "x.jsonl"


@pytest.mark.parametrize("place", ["", "/x", "no_such_package/x", "no_such.package/x", ".relative/x", "sys/x"])
def test_what_is_no_installed_package_has_no_path(place: str) -> None:
    assert in_package(place) is None


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "class", "1 class"), (2, "class", "2 classes"), (0, "row", "0 rows"), (1000, "document", "1,000 documents")],
)
def test_a_number_has_its_noun(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


def test_damaged_json_is_reported_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    for content in ("", "{", "[]", "null", '{"a": 1}', "[" * 100_000):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=r"figures\.json: expected figures, found .+; evaluate the run again\.$"):
            read_json(path, lambda content: content["f1"], "figures", "evaluate the run again")
    path.write_text('\ufeff{"f1": 0.5}', encoding="utf-8")
    assert read_json(path, json_object, "figures", "evaluate the run again") == {"f1": 0.5}


def test_a_damaged_line_is_reported_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    for content in ('{"a": 1}\n{', '{"a": 1}\n[]\n'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=r"lines\.jsonl:2: expected a JSON object, found .+; restore it\.$"):
            list(read_json_lines(path, "restore it"))
    with pytest.raises(DataError, match=r"nowhere\.jsonl: expected"):
        list(read_json_lines(tmp_path / "nowhere.jsonl", "restore it"))
