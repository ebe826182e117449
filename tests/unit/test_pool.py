"""Untagged documents: read in bounded memory, equal texts once, the same draw for the same seed."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import ImproveRun
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.improve.pool import Pool, read_pool


def write(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in records), encoding="utf-8")
    return path


def read(
    path: Path, most: int = 100, seed: int = 0, texts: set[str] | None = None, ids: set[str] | None = None
) -> Pool:
    settings = ImproveRun(run="", pool=str(path), candidates=most, seed=seed)
    return read_pool(settings, texts or set(), ids or set())


def test_rows_are_named_by_their_id_or_their_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "pool.jsonl", [{"id": 5, "text": "a", "group": "g"}, {"text": "b"}])
    found = [(each.id, each.text, each.group) for each in read(path).candidates]
    assert found == [("5", "a", "g"), ("pool.jsonl:2", "b", None)]
    (tmp_path / "texts" / "deep").mkdir(parents=True)
    (tmp_path / "texts" / "deep" / "1.txt").write_text("one")
    (tmp_path / "texts" / "2.docx").touch()
    logging.getLogger("tagsmith").propagate = True
    assert [(each.id, each.text) for each in read(tmp_path / "texts").candidates] == [("deep/1.txt", "one")]
    assert f"pool={tmp_path / 'texts'}: left out 1 file other than .txt: 1 .docx." in caplog.text
    (tmp_path / "pool.tsv").write_text("id\ttext\nx\tone\n")
    assert [each.id for each in read(tmp_path / "pool.tsv").candidates] == ["x"]


def test_equal_texts_count_once_and_those_of_the_run_not_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "pool.jsonl", [{"text": text} for text in ("a  b", "a b", "c", "known  text", "c")])
    pool = read(path, texts={"known text"})
    assert [each.text for each in pool.candidates] == ["a  b", "c"]
    assert (pool.rows, pool.known, pool.bad) == (5, 1, 0)


def test_ids_that_another_document_has_are_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "pool.jsonl", [{"id": i, "text": text} for i, text in (("1", "a"), ("2", "b"), ("2", "c"))])
    pool = read(path, ids={"1"})
    assert [each.id for each in pool.candidates] == ["pool.jsonl:1", "2", "pool.jsonl:3"]
    assert pool.renamed == 2


def test_the_draw_depends_on_the_texts_and_the_seed_alone(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(500)]
    path = write(tmp_path / "pool.jsonl", [{"text": text} for text in texts])
    first = read(path, most=50)
    assert len(first.candidates) == 50
    assert first.rows == 500
    places = [texts.index(each.text) for each in first.candidates]
    assert places == sorted(places)
    assert 10 < sum(place < 250 for place in places) < 40
    turned = write(tmp_path / "turned.jsonl", [{"text": text} for text in reversed(texts)])
    assert {each.text for each in read(turned, most=50).candidates} == {each.text for each in first.candidates}
    assert {each.text for each in read(path, most=50, seed=1).candidates} != {each.text for each in first.candidates}


def test_bad_rows_are_listed_and_the_others_used(tmp_path: Path) -> None:
    bad: list[Any] = [
        "no json", "[1]", {"id": "x"}, {"text": 5}, {"text": " "}, {"text": None}, {"text": "\ud800"},
        {"id": ["x"], "text": "a"}, {"id": True, "text": "b"}, {"id": " ", "text": "c"}, {"id": {"a": 1}, "text": "d"},
    ]  # fmt: skip
    path = write(tmp_path / "pool.jsonl", [*bad, {"text": "good"}])
    pool = read(path)
    assert [each.text for each in pool.candidates] == ["good"]
    assert pool.bad == len(bad) == len(pool.problems)
    assert [problem.split(":")[1] for problem in pool.problems] == [str(i + 1) for i in range(len(bad))]
    with pytest.raises(DataError, match="holds no usable documents"):
        read(write(tmp_path / "bad.jsonl", bad))


def test_an_unusable_pool_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"pool: .*gone"):
        read(tmp_path / "gone.jsonl")
    with pytest.raises(DataError, match=r"pool=.*no usable documents"):
        read(write(tmp_path / "pool.json", []))
    with pytest.raises(DataError, match="expected the column text"):
        read(write(tmp_path / "pool.csv", ["id,body", "1,a"]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"pool: .*found no files"):
        read(tmp_path / "empty")
