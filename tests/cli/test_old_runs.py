"""Runs of earlier versions, whose records lack the settings that were added since, work with every script.

`fixtures/run_0_1` was written by version 0.1.0. `multi` lacks more settings than `single`, and its record lacks what is
said about processes and precision: it stands for a still older run.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Script
from tests.conftest import make_documents, write_jsonl

RUNS = Path(__file__).parents[1] / "fixtures" / "run_0_1"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["single", "multi"])
def test_an_old_run_works_with_every_script(name: str, script: Script, tmp_path: Path) -> None:
    shutil.copytree(RUNS, tmp_path, dirs_exist_ok=True)
    shutil.copytree(tmp_path / name, tmp_path / "copy")
    write_jsonl(tmp_path / "pool.jsonl", make_documents(12, multi_label=False, seed=9))
    before = json.loads((tmp_path / name / "evaluation.json").read_text())
    commands: list[list[object]] = [
        ["evaluate", f"run={name}", "cpu=true"],
        ["improve", f"run={name}", "pool=pool.jsonl", "cpu=true"],
        ["annotate", "give", f"run={name}", "tool=csv"],
        ["calibrate", f"run={name}", "from_=out_of_fold", "folds=2", "cpu=true"],
        ["compare", f"runs=[{name},copy]", "resamples=100"],
    ]
    if name == "multi":  # Export reads the same records of both, and writing a graph takes seconds.
        commands.append(["export", "run=multi", "bundle=bundle"])
    for command in commands:
        done = script(*command)
        assert done.returncode == 0, done.stderr
        if command[0] == "evaluate":
            after = json.loads((tmp_path / name / "evaluation.json").read_text())
            assert after["log_loss"] == pytest.approx(before["log_loss"], abs=1e-5)
            assert json.loads((tmp_path / name / "analysis.json").read_text())["baselines"]["probe"] is not None
    assert "out_of_fold" in (tmp_path / name / "decision.json").read_text()
