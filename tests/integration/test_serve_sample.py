"""Texts are kept for tagging only where the owner says so, and as `improve.py` reads them."""

import json
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.classify.files.inputs import open_input
from tagsmith.config.composition import to_settings
from tagsmith.config.settings import ServeRun
from tagsmith.core.errors import InputMissing, SettingsError
from tagsmith.rows.table import Reading
from tagsmith.serve.answers import Answer
from tagsmith.serve.sample import LONGEST, Sample
from tests.bundles import make_bundle
from tests.serving import serving
from tests.unit.test_config import composed

CAT = "the cat and the dog"


def answer(sure: float) -> Answer:
    scores = np.array([sure, 1 - sure], dtype=np.float32)
    return Answer(scores, scores, ("a",), sure, False, 4, 0)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_uncertain_documents_are_kept_and_a_random_audit(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    sample = Sample(path, 200)
    texts = [f"document {i}" for i in range(4000)]
    answers = [answer(0.55 if i % 20 == 0 else 0.99) for i in range(4000)]  # 5 % of them are uncertain.
    for start in range(0, 4000, 100):
        sample.add("v", False, texts[start : start + 100], answers[start : start + 100])
    assert not path.exists()
    sample.write()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = lines_of(path)
    assert Counter(line["reason"] for line in lines) == {"uncertain": 180, "audit": 20}
    unsure = {
        reason: [line["uncertainty"] > 0.5 for line in lines if line["reason"] == reason]
        for reason in ("uncertain", "audit")
    }
    # Weights of 0.9 and 0.02: most of the 200 uncertain ones, and of the audit about as many as of all documents.
    assert sum(unsure["uncertain"]) > 100
    assert sum(unsure["audit"]) <= 5
    assert lines[0].keys() == {"id", "text", "reason", "uncertainty", "suggested", "version", "seen"}
    rows = list(open_input([str(path)], ["text"], Reading(), setting="pool").rows)
    assert [row.text for row in rows] == [line["text"] for line in lines]
    assert [row.key["id"] for row in rows] == [line["id"] for line in lines]


def test_it_is_continued_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    sample = Sample(path, 20)
    sample.add("v", False, [f"document {i}" for i in range(100)], [answer(0.6)] * 100)
    sample.write()
    before = lines_of(path)
    again = Sample(path, 20)
    assert again.documents == 20
    again.add("v", False, [f"document  {i}" for i in range(100)], [answer(0.6)] * 100)  # The same, but for a space.
    again.write()
    assert lines_of(path) == before
    again.add("v", False, [f"other {i}" for i in range(100)], [answer(0.6)] * 100)
    again.write()
    assert {line["text"].split()[0] for line in lines_of(path)} == {"document", "other"}
    path.rename(tmp_path / "taken.jsonl")
    again.write()
    assert (again.documents, path.exists()) == (0, False)
    again.add("v", False, ["x" * (LONGEST + 1), "new"], [answer(0.6)] * 2)
    again.write()
    assert [line["text"] for line in lines_of(path)] == ["new"]


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"serve\.keep_texts: the folder"):
        Sample(tmp_path / "nowhere" / "kept.jsonl", 20)
    for content in ('{"text": "a", "label": "b"}\n', "not json\n", '{"reason": "audit", "id": 1, "text": 7}\n'):
        (tmp_path / "mine.jsonl").write_text(content)
        with pytest.raises(SettingsError, match="holds something else"):
            Sample(tmp_path / "mine.jsonl", 20)
        assert (tmp_path / "mine.jsonl").read_text() == content
    good = "serve.deployments={production: b, next: c}"
    for wrong, about in (
        ("serve.keep_texts={staging: f}", "keep_texts: expected names of deployments, found staging"),
        ("serve.keep_texts={production: f, next: ./f}", "keep_texts: expected a file for each deployment"),
    ):
        with pytest.raises(SettingsError, match=about):
            to_settings(composed("serve", good, wrong), ServeRun)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_service_keeps_texts_only_where_it_may(tmp_path: Path, multi_label: bool) -> None:
    bundle = make_bundle(tmp_path / "b", multi_label=multi_label)
    kept = tmp_path / "kept.jsonl"
    deployments = {"production": bundle, "staging": bundle}
    with serving(deployments, keep_texts={"production": str(kept)}, keep_seconds=600.0) as running:
        running.post("/classify", json={"texts": [CAT, "soup with rice", CAT]})
        running.post("/classify", json={"texts": ["a hammer"], "deployment": "staging"})
    lines = lines_of(kept)
    assert {line["text"] for line in lines} == {CAT, "soup with rice"}
    assert {line["text"]: line["suggested"] for line in lines}[CAT] == (["animals"] if multi_label else "animals")
    assert not any("label" in line or "labels" in line for line in lines)
