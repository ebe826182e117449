"""Calibration from the command line, from a run without a validation split to a file of decisions."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles import make_bundle
from tests.cli.conftest import Script
from tests.conftest import make_documents, write_jsonl

pytestmark = pytest.mark.slow


def test_from_training_to_decisions(script: Script, tiny: Callable[..., list[str]], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(150, multi_label=False))
    (tmp_path / "foreign.csv").write_text("id,text\n1,never-seen words\n2,other words\n")
    given = ["data=jsonl", "data.train=train.jsonl", "run=r", *tiny(**{"data.out_of_scope": "foreign.csv"})]
    trained = script("train", *given)
    assert trained.returncode == 0, trained.stderr
    assert "scores are not calibrated; scripts/calibrate.py run=r takes about" in trained.stderr
    assert "scores: not calibrated, expected calibration error" in trained.stdout
    done = script("calibrate", "run=r", "folds=2", "cpu=true", "false_alarms=0.1", 'costs=["tools>food=2"]')
    assert done.returncode == 0, done.stderr
    assert "calibrated on 120 training documents by cross-validation: expected calibration error" in done.stdout
    assert "fold 1 of 2 is done; about" in done.stderr
    evaluated = script("evaluate", "run=r", "cpu=true")
    assert "scores: calibrated, expected calibration error" in evaluated.stdout
    assert "operating point: none. target_precision=0.95 cannot be promised with 120 held-out documents" in (
        evaluated.stdout
    )
    assert "of texts of no class detected, AUROC" in evaluated.stdout


def test_what_is_out_of_scope_is_found_unless_that_is_switched_off(script: Script, tmp_path: Path) -> None:
    make_bundle(tmp_path / "b", scope_limit=0.5)
    write_jsonl(tmp_path / "new.jsonl", [{"text": "the cat and a dog"}])
    for name, words in (("with", []), ("without", ["out_of_scope=false"])):
        done = script("classify", "bundle=b", "input=new.jsonl", f"output={name}.jsonl", *words)
        assert done.returncode == 0, done.stderr
        line = json.loads((tmp_path / f"{name}.jsonl").read_text())
        assert isinstance(line["to_person"], bool)
        assert ("out_of_scope" in line) is (name == "with")


def test_mistakes(script: Script, tmp_path: Path) -> None:
    for words, status, message in (
        (["run=nowhere"], 66, "run: nowhere does not exist"),
        (["run=r", 'costs=["bug:5"]'], 64, "expected TRUE>PREDICTED=COST"),
        (["run=r", "target_precision=0.9", "target_recall=0.9"], 64, "expected at most one of them"),
        (["run=r", "from_=test"], 64, "from_"),
    ):
        done = script("calibrate", *words)
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
        assert message in done.stderr
