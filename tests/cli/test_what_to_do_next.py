"""scripts/evaluate.py prints what to do next, and writes it with reasons and examples."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Script
from tests.conftest import make_documents, write_jsonl

pytestmark = pytest.mark.slow


def test_evaluate_ends_with_what_to_do_next(script: Script, tiny: Callable[..., list[str]], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(60, multi_label=True))
    trained = script("train", "data=jsonl", "data.train=train.jsonl", "train=probe", "run=r", *tiny())
    assert trained.returncode == 0, trained.stderr
    quick = ["analysis.resamples=100", "analysis.curve_draws=1"]
    done = script("evaluate", "run=r", "cpu=true", *quick)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = json.loads((tmp_path / "r/guidance.json").read_text())
    shown = done.stdout.split("what to do next:\n")[1]
    assert f"{lines[0]['severity']}: {lines[0]['title']}" in shown
    assert lines[0]["remedy"] in shown
    assert "r/guidance.json" in shown
    assert json.loads((tmp_path / "r/analysis.json").read_text())["split"] == "test"

    without = script("evaluate", "run=r", "cpu=true", "analyse=false")
    assert without.returncode == 0, without.stderr
    assert "what to do next" not in without.stdout
    assert not (tmp_path / "r/guidance.json").exists()

    wrong = script("evaluate", "run=r", "analysis.similarity=0.2", "analysis.resamples=1")
    assert wrong.returncode == 64
    assert "analysis.similarity: expected at least 0.5" in wrong.stderr
    assert "analysis.resamples: expected at least 100" in wrong.stderr
