"""Wrong settings, missing inputs and --help are answered before anything heavy is imported."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tagsmith.config.stages import STAGES
from tests.cli.conftest import ROOT

HEAVY = ["torch", "transformers", "datasets", "accelerate", "evaluate", "sklearn", "scipy", "pandas", "numpy",
         "onnxruntime", "tokenizers", "rich"]  # fmt: skip

MISSING = {
    "train": ["data.train=nowhere.csv", "model.path=no_encoder"],
    "check_kills": ["run=r", "data.split_from=nowhere"],
    "annotate": ["give", "run=nowhere", "tool=csv"],
    "label_studio": ["push", "run=nowhere"],
    "evaluate": ["run=nowhere"],
    "calibrate": ["run=nowhere"],
    "compare": ["runs=[nowhere,elsewhere]"],
    "export": ["run=nowhere", "bundle=b"],
    "classify": ["bundle=nowhere", "input=new_*.csv", "output=o.jsonl"],
    "improve": ["run=nowhere", "pool=none.jsonl"],
    "tag": ["project=p", "pool=nowhere.csv", "classes=[a,b]"],
    "serve": ["serve.deployments={production: nowhere}"],
    "refresh": ["store=s", "data.train=nowhere.csv"],
    "leave_azure": ["import", "out=o", "labels=nowhere.json", "texts=none"],
    "bench_refresh": ["store=s", "data.train=nowhere.csv"],
    "bench_classify": ["bundle=nowhere", "input=none"],
    "bench_train": ["data=csv", "data.train=nowhere.csv"],
    "bench_curve": ["data=csv", "data.train=nowhere.csv", "sizes=[100]"],
    "bench_improve": ["data=csv", "data.train=nowhere.csv"],
    "bench_tag": ["data=csv", "data.train=nowhere.csv"],
}
"""Words that name inputs that do not exist; `bench_scale.py` and `check_gpu.py` have no input."""

START = """
import contextlib, io, json, runpy, sys
found = []
for words in json.load(sys.stdin):
    sys.argv = words
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as left:
            status = left.code
    found.append([status, printed.getvalue(), sorted(set(%r) & set(sys.modules))])
json.dump(found, sys.stdout)
"""


def start(folder: Path, commands: list[list[str]]) -> list[tuple[int, str, list[str]]]:
    """Run scripts one after the other in one process: status, output, heavy modules that were imported."""
    words = [[str(ROOT / "scripts" / f"{name}.py"), *rest] for name, *rest in commands]
    done = subprocess.run(
        [sys.executable, "-c", START % HEAVY], input=json.dumps(words), cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [(status, text, modules) for status, text, modules in json.loads(done.stdout)]


@pytest.mark.slow
def test_what_cannot_run_is_answered_before_heavy_imports(tmp_path: Path) -> None:
    assert {*MISSING, "bench_scale", "check_gpu"} == set(STAGES)
    found = start(tmp_path, [[name, *words] for name, words in MISSING.items()])
    for (status, text, modules), (name, words) in zip(found, MISSING.items(), strict=True):
        assert (status, modules) == (66, []), (name, text)
        assert "does not exist" in text or "no file matches" in text
        assert all(word in text for word in ("nowhere", "elsewhere", "none", "no_encoder") if word in " ".join(words))
    words = {"no=setting": 64, "--help": 0}
    answers = start(tmp_path, [[name, word] for name in STAGES for word in words])
    assert [(status, modules) for status, _, modules in answers] == [
        (words[word], []) for _ in STAGES for word in words
    ]


def test_options_that_cannot_be_used_are_refused_in_the_words_of_the_settings(tmp_path: Path) -> None:
    options = [["--unknown"], ["--cfg"], ["--cfg", "mine"], ["--multirun", "--cfg", "job"], ["--resolve"], ["--run=x"]]
    for status, text, _ in start(tmp_path, [["train", *words] for words in options]):
        assert status == 64
        assert text.startswith("error: These settings cannot be used:\n  - ")
        assert "without dashes" in text or "have no dashes" in text


@pytest.mark.slow
def test_a_script_without_settings_says_what_to_type(tmp_path: Path) -> None:
    complete = {
        "check_kills",
        "check_gpu",
        "bench_train",
        "bench_improve",
        "bench_tag",
        "bench_scale",
    }  # They have their own data.
    needs = [[name] for name in STAGES if name not in complete]
    for (status, text, modules), (name,) in zip(start(tmp_path, needs), needs, strict=True):
        assert (status, modules) == (64, []), text
        assert f"\nA complete command: python scripts/{name}.py " in text
        assert "found none" in text


def test_a_second_checkout_reads_its_own_configs(tmp_path: Path) -> None:
    for name in ("scripts", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "configs" / "data" / "mine.yaml").write_text("defaults:\n  - auto\n\ntrain: nowhere.csv\n")
    words = [sys.executable, "scripts/train.py", "data=mine"]
    done = subprocess.run(words, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (66, "")
    assert done.stderr.startswith("error: data.train: nowhere.csv does not exist")
