"""The lines of the queues, and their tables for the terminal."""

import numpy as np
import pytest

from tagsmith.core.schema import Schema, Task
from tagsmith.improve.acquisition import Chosen, Reason
from tagsmith.improve.pool import Candidate
from tagsmith.improve.queue_lines import next_lines, suggested_lines, suspected_lines
from tagsmith.improve.queue_tables import queue_table, tables
from tagsmith.improve.run_scores import Scored
from tagsmith.improve.suspicion import Suspicion
from tagsmith.improve.training_documents import TrainingDocuments

ONE = Schema(("a", "b"), Task.single_label)
MANY = Schema(("a", "b", "c"), Task.multi_label)


def training(schema: Schema, truth: np.ndarray, *ids: str) -> TrainingDocuments:
    none = np.zeros((len(ids), 0), dtype=np.float32)
    return TrainingDocuments(ids, [f"text {name}" for name in ids], schema, none, truth, np.zeros(len(ids), np.int64))


def test_documents_that_are_not_suspected_have_their_own_tags_as_suggestion() -> None:
    found = [Suspicion(-2.0, (1,)), Suspicion(1.0, (0,), (0, 0.9))]
    scores = np.asarray([[0.8, 0.2], [0.7, 0.3]], dtype=np.float32)
    truth = np.asarray([[1, 0], [0, 1]], dtype=np.int8)
    lines = suspected_lines(training(ONE, truth, "x", "y"), found, [1, 0], 1, scores)
    assert [(line["id"], line["labels"], line["suggested"], line["suspected"]) for line in lines] == [
        ("y", ["b"], "a", True),
        ("x", ["a"], "a", False),
    ]
    assert lines[0]["score"] > 0.5 > lines[1]["score"]
    assert all(line["tag"] is None for line in lines)
    assert lines[0]["why"] == "models not trained on it predict a 0.700, b 0.300; its near copy x is tagged a"
    assert lines[0]["near_copy"] == {"id": "x", "text": "text x", "labels": ["a"], "similarity": 0.9}


def test_multi_label_suggestions_are_lists_and_the_reason_names_what_would_change() -> None:
    truth = np.asarray([[1, 0, 0]], dtype=np.int8)
    scores = np.asarray([[0.1, 0.9, 0.2]], dtype=np.float32)
    line = suspected_lines(training(MANY, truth, "x"), [Suspicion(2.2, (1,))], [0], 1, scores)[0]
    assert line["suggested"] == ["b"]
    assert "a 0.100 (tagged)" in line["why"]
    assert "b 0.900 (not tagged)" in line["why"]


def test_lines_to_tag_fall_evenly_from_one_and_say_why() -> None:
    candidates = [Candidate("p", "text p"), Candidate("q", "text q", "thread")]
    scores = np.asarray([[0.6, 0.4], [0.2, 0.8]], dtype=np.float32)
    queue = [Chosen(1, Reason.rare_class, 1), Chosen(0, Reason.audit)]
    lines = next_lines(queue, Scored(scores, np.zeros(2, np.float32), ""), candidates, ONE)
    assert [(line["id"], line["score"], line["reason"]) for line in lines] == [
        ("q", 1.0, "rare_class"),
        ("p", 0.5, "audit"),
    ]
    assert lines[0]["rare_class"] == "b"
    assert lines[0]["group"] == "thread"
    assert "group" not in lines[1]
    assert lines[1]["uncertainty"] == pytest.approx(0.8)
    assert (lines[0]["suggested"], lines[0]["tag"]) == ("b", None)
    assert list(lines[0]["scores"]) == ["b", "a"]


def test_suggestions_are_sorted_by_the_probability_that_they_are_right() -> None:
    candidates = [Candidate(name, name) for name in "pqr"]
    scores = np.asarray([[0.6, 0.1, 0.1], [0.9, 0.4, 0.1], [0.1, 0.1, 0.1]], dtype=np.float32)
    scored = Scored(scores, np.asarray([0.5, 0.3, 0.5], np.float32), "")
    lines = suggested_lines([0, 1, 2], scored, candidates, MANY)
    assert [(line["id"], line["suggested"]) for line in lines] == [("r", []), ("p", ["a"]), ("q", ["a", "b"])]
    assert [line["score"] for line in lines] == pytest.approx([0.9**3, 0.6 * 0.9 * 0.9, 0.9 * 0.4 * 0.9], abs=1e-5)


def test_the_terminal_shows_only_the_beginning_of_a_text() -> None:
    lines = [{"id": "a", "score": 1.0, "labels": [], "text": "word " * 100}] * 30
    table = queue_table("title", lines, ("score", "id", "labels"))
    assert table.row_count == 10
    cells = list(table.columns[3].cells)
    assert max(len(str(cell)) for cell in cells) <= 60
    assert str(next(iter(table.columns[2].cells))) == "none"
    summary = {"suspected": {"documents": 0}, "gain": {"macro_f1": 0.0, "low": 0.0, "high": 0.0}}
    assert [table.title for table in tables(summary, {"suspected_tags.jsonl": []})] == [
        "0 documents with suspected tags"
    ]
