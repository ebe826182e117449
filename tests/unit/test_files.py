import hashlib
from pathlib import Path

import pytest

import tagsmith
from tagsmith.core.errors import counted
from tagsmith.core.files import digest, in_package


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
