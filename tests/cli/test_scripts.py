"""The spellings that are the interface, from the command line, with their exit statuses."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles import make_bundle
from tests.cli.conftest import ROOT, Script
from tests.conftest import make_documents, write_jsonl
from tests.forked import run_forked, run_script
from tests.made_runs import make_run

pytestmark = pytest.mark.slow

Tiny = Callable[..., list[str]]


def test_the_main_job(script: Script, tiny: Tiny, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(120, multi_label=True))
    write_jsonl(tmp_path / "test.jsonl", make_documents(30, multi_label=True, seed=1))
    files = ["data=jsonl", "data.train=train.jsonl", "data.test=test.jsonl"]
    trained = script("train", *files, "task=multi_label", "run=runs/mine", *tiny())
    assert trained.returncode == 0, trained.stderr
    for word in ("animals", "food", "tools", "micro", "macro", "runs/mine", "30 documents"):
        assert word in trained.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "test.jsonl", "train.jsonl"]

    again = script("train", *files, "task=multi_label", "run=runs/mine", *tiny())
    assert again.returncode == 64
    assert "resume=true" in again.stderr
    assert "Traceback" not in again.stderr

    evaluated = script("evaluate", "run=runs/mine", "split=train", "cpu=true")
    assert evaluated.returncode == 0, evaluated.stderr
    evaluation = json.loads((tmp_path / "runs/mine/evaluation.json").read_text())
    assert evaluation["split"] == "train"
    assert evaluation["documents"] == 120
    assert "page: runs/mine/report.html" in evaluated.stdout
    page = (tmp_path / "runs/mine/report.html").read_text(encoding="utf-8")
    assert "120 documents in the train split" in page
    assert "The run has no metrics.jsonl" not in page

    exported = script("export", "run=runs/mine", "bundle=bundles/mine")
    assert exported.returncode == 0, exported.stderr
    assert "no label differs" in exported.stderr

    rows = [{"id": "a", "text": "the cat and a dog"}, {"text": "bread with cheese"}]
    (tmp_path / "new.jsonl").write_text("\n".join([json.dumps(rows[0]), "no json", json.dumps(rows[1]), '{"text": 5}']))
    classified = script("classify", "bundle=bundles/mine", "input=new.jsonl", "output=classified.jsonl", fresh=True)
    assert classified.returncode == 0, classified.stderr
    assert "2 rows classified, 2 rows with an error" in classified.stdout
    lines = [json.loads(line) for line in (tmp_path / "classified.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 3, 4]
    assert ["error" in line for line in lines] == [False, True, False, True]
    assert lines[0]["id"] == "a"
    assert set(lines[0]["scores"]) == {"animals", "food", "tools"}
    assert all(isinstance(name, str) for name in lines[0]["labels"])

    refused = script("classify", "bundle=bundles/mine", "input=new.jsonl", "output=classified.jsonl")
    assert refused.returncode == 64


def test_classify_reads_csv_and_folders_of_text(script: Script, tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    with (tmp_path / "new.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerows([["id", "body"], ["1", "a cat,\nand a dog"], ["2", ""], ["3", "NA"]])
    done = script("classify", "bundle=b", "input=new.csv", "output=o.jsonl", "text_field=body")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [(line["id"], "error" in line) for line in lines[::2]] == [("1", False), ("3", False)]
    assert lines[1]["error"] == "body is empty"
    assert lines[0]["label"] in ("animals", "food", "tools")
    wrong = script("classify", "bundle=b", "input=new.csv", "output=p.jsonl")
    assert wrong.returncode == 65
    assert "expected the column text, found id, body" in wrong.stderr
    assert not (tmp_path / "p.jsonl").exists()

    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "2.txt").write_text("bread and soup")
    (tmp_path / "texts" / "1.txt").write_bytes(b"\xff\xfe\xff")
    done = script("classify", "bundle=b", "input=texts", "output=t.jsonl")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == ["1.txt", "2.txt"]
    assert lines[0]["error"] == "cannot be decoded as utf-8"
    if Path("/proc").is_dir():  # A folder in which no file can be created.
        done = script("classify", "bundle=b", "input=texts", "output=/proc/t.jsonl")
        assert (done.returncode, "Traceback" in done.stderr) == (64, False)
        assert "output=/proc/t.jsonl: cannot be written" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["train", "data=jsonl"], 64, "data.train: expected a value"),
        (["train", "train.epochs=0"], 64, "train.epochs: expected at least 1 epochs, found 0"),
        (["train", "train.typo=1"], 64, "typo"),
        (["train", "data=nowhere"], 64, "data/nowhere"),
        (["train", "experiment=nowhere"], 64, "experiment/nowhere"),
        (["train", "--unknown"], 64, "--unknown"),
        (["train", "data=jsonl", "data.train=nowhere.jsonl"], 66, "nowhere.jsonl does not exist"),
        (["train", "data=jsonl", "data.train=bad.jsonl"], 65, "bad.jsonl:2"),
        (["train", "data=hub", "data.path=empty"], 65, "save_to_disk"),
        (["train", "data=jsonl", "data.train=good.jsonl", "model.path=empty"], 66, "model.path=empty"),
        (["evaluate", "run=nowhere"], 66, "run: nowhere does not exist"),
        (["evaluate"], 64, "run: expected a value"),
        (["export", "run=good.jsonl", "bundle=b"], 66, "no run here"),
        (["classify", "bundle=nowhere", "input=good.jsonl", "output=o.jsonl"], 66, "bundle: nowhere does not exist"),
        (["classify", "bundle=nowhere", "input=nowhere", "output=o.jsonl"], 66, "input: nowhere does not exist"),
        (["classify", "bundle=nowhere", "input=good.jsonl", "output=o.docx"], 64, "output"),
    ],
)
def test_a_mistake_is_one_clear_message_and_a_status(
    script: Script, tmp_path: Path, words: list[str], status: int, message: str
) -> None:
    write_jsonl(tmp_path / "good.jsonl", make_documents(30, multi_label=False))
    (tmp_path / "bad.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": \n{"text": "", "label": "y"}\n')
    (tmp_path / "empty").mkdir()
    done = script(*words)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists() or not [p for p in (tmp_path / "runs").iterdir() if p.is_dir()]
    assert not (tmp_path / "o.jsonl").exists()


def test_a_held_lock_is_try_again_later(script: Script, tiny: Tiny, tmp_path: Path) -> None:
    from filelock import FileLock

    write_jsonl(tmp_path / "good.jsonl", make_documents(30, multi_label=False))
    with FileLock(tmp_path / ".r.lock"):
        done = script("train", "data=jsonl", "data.train=good.jsonl", "run=r", *tiny())
    assert done.returncode == 75
    assert "another process" in done.stderr


def test_each_job_of_a_sweep_has_a_folder_of_its_own(script: Script, tiny: Tiny, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(60, multi_label=False))
    given = ["data=jsonl", "data.train=train.jsonl", "train=probe", *tiny()]
    done = script("train", "--multirun", *given, "seed=0,1", "train.mixed_precision=fp16,fp32,bf16")
    assert done.returncode == 64, done.stderr
    assert done.stderr.count("error: train.mixed_precision=fp16: needs a GPU") == 2
    assert "Traceback" not in done.stderr
    runs = sorted(path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    settings = [json.loads((run / "settings.json").read_text())["settings"] for run in runs]
    found = {(made["seed"], made["train.mixed_precision"]) for made in settings}
    assert found == {(0, "fp32"), (0, "bf16"), (1, "fp32"), (1, "bf16")}
    assert len(runs) == 4
    assert all(run.name.partition("_jsonl_minilm_probe")[1] for run in runs)
    for run in runs:
        assert f"run: runs/{run.name}" in done.stdout


def test_help_may_be_read_partially(script: Script) -> None:
    command = f"{sys.executable} {ROOT / 'scripts' / 'train.py'} --help | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=script.folder, capture_output=True, text=True, timeout=100)
    assert done.stdout == "python scripts/train.py NAME=VALUE ...\n"
    assert done.stderr == ""


PRINTED = """
from rich import print as show
for i in range(3):
    print(f"plain {i}")
    show(f"rich {i}")
"""


@pytest.mark.parametrize("reader", ["true", "head -n 1"])
@pytest.mark.parametrize("buffered", ["", "1"])
def test_output_may_be_read_partially(tmp_path: Path, reader: str, buffered: str) -> None:
    """One script prints with rich and print, the other so little that it stays in the buffer until the end."""
    body = "".join(f"    {line}\n" for line in PRINTED.splitlines())
    start = "from tagsmith.config.hydra_door import script\n"
    (tmp_path / "much.py").write_text(f"{start}def main(settings):\n{body}script('compare')(main)()\n")
    (tmp_path / "little.py").write_text(f"{start}def main(settings):\n    print('done')\nscript('compare')(main)()\n")
    for name in ("much", "little"):
        command = f"{sys.executable} {name}.py runs=[.,much.py] | {reader} > read; exit ${{PIPESTATUS[0]}}"
        done = shell(command, tmp_path, PYTHONUNBUFFERED=buffered)
        assert (done.returncode, done.stderr) == (0, "")


def test_little_output_of_a_real_script_may_be_left_unread(tmp_path: Path) -> None:
    """Another one, with much output, is in the next test."""
    make_run(tmp_path / "x", documents=40)
    (tmp_path / "x" / "improve").mkdir()
    write_jsonl(
        tmp_path / "x" / "improve" / "tag_next.jsonl",
        [{"id": "a", "text": "a cat", "score": 1.0, "suggested": None, "reason": "audit", "tag": None}],
    )
    give = f"{sys.executable} {ROOT}/scripts/annotate.py give run=x tool=csv"
    done = shell(f"{give} | true; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x/improve/for_csv").exists()


def shell(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=100,
    )


def run_script_unread(path: Path, overrides: list[str]) -> None:
    """Run a script into a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    run_script(path, overrides)


def test_an_evaluation_whose_reader_has_gone_is_whole(script: Script, tiny: Tiny, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(60, multi_label=False))
    assert script("train", "data=jsonl", "data.train=train.jsonl", "run=r", "train=probe", *tiny()).returncode == 0
    evaluate = [ROOT / "scripts" / "evaluate.py", ["run=r", "cpu=true", "analyse=false"]]
    done = run_forked(run_script_unread, *evaluate, folder=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert (tmp_path / "r/report.html").exists()


@pytest.mark.parametrize(
    ("stage", "status"),
    [
        ("print('so far')", 0),
        ("print('so far'); raise BrokenPipeError(32, 'a worker')", 70),
        ("print('so far', flush=True); raise DataError('no row')", 65),
        ("from rich import print as show; show('so far'); raise DataError('no row')", 65),
    ],
)
@pytest.mark.parametrize("end", ["", "| true", ">&-"])
def test_a_closed_stdout_does_not_change_the_status(tmp_path: Path, stage: str, status: int, end: str) -> None:
    start = "import time\nfrom tagsmith.config.hydra_door import script\nfrom tagsmith.core.errors import DataError\n"
    wait = "time.sleep(0.3); " if end == "| true" else ""
    main = f"def main(settings):\n    {wait}{stage}\n    open('done', 'w')\n"
    (tmp_path / "some.py").write_text(f"{start}{main}script('compare')(main)()\n")
    command = f"{sys.executable} some.py runs=[.,some.py] {end}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == status, done.stderr
    assert (tmp_path / "done").exists() == (status == 0)
    if status == 0:
        assert done.stderr == ""


def test_jobs_of_one_folder_do_not_replace_each_other(script: Script, tiny: Tiny, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(60, multi_label=False))
    given = ["data=jsonl", "data.train=train.jsonl", "train=probe", *tiny()]
    done = script("train", "--multirun", "seed=0,1", *given, "run=r", "overwrite=true")
    assert done.returncode == 64
    assert "run=r: an earlier job uses this folder; omit run=" in done.stderr
    assert json.loads((tmp_path / "r" / "settings.json").read_text())["settings"]["seed"] == 0


def test_help_names_type_default_and_unit(script: Script) -> None:
    done = script("train", "--help")
    assert done.returncode == 0, done.stderr
    assert "train.epochs  (whole number | null; default null)" in done.stdout
    assert "unit: epochs" in done.stdout
    assert "data.label_delimiter  (text | null; default null)" in done.stdout


def test_two_processes_equal_one(script: Script, tiny: Tiny, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(100, multi_label=False))
    given = ["data=jsonl", "data.train=train.jsonl", "data.validation_share=0.2"]
    given += tiny(**{"model.hidden_dropout": 0, "train.log_every": 1, "train.epochs": 2, "train.soup": 2})
    one = script("train", *given, "run=one")
    two = script("train", *given, processes=2)
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    (fresh,) = [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]
    assert fresh.name.endswith("_jsonl_minilm_finetune")
    assert two.stdout.count(f"runs/{fresh.name}") == 1
    assert [json.loads((run / "settings.json").read_text())["processes"] for run in (tmp_path / "one", fresh)] == [1, 2]

    def lines(run: Path) -> list[dict[str, float]]:
        files = [run / "metrics.jsonl", run / "soup" / "1" / "metrics.jsonl"]
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    # Sums in another order differ by rounding, and Adam makes much of small gradients in its first steps.
    pairs = list(zip(lines(tmp_path / "one"), lines(fresh), strict=True))
    assert len(pairs) > 16
    for first, second in pairs:
        assert first["step"] == second["step"]
        assert first.get("loss", 0) == pytest.approx(second.get("loss", 0), abs=2e-3)
        assert first.get("validation/log_loss", 0) == pytest.approx(second.get("validation/log_loss", 0), abs=2e-3)
    evaluations = [json.loads((run / "evaluation.json").read_text()) for run in (tmp_path / "one", fresh)]
    predictions = [(run / "predictions.jsonl").read_text().splitlines() for run in (tmp_path / "one", fresh)]
    ids = [[json.loads(line)["id"] for line in lines] for lines in predictions]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0]) == evaluations[0]["documents"] == evaluations[1]["documents"]
    assert evaluations[0]["log_loss"] == pytest.approx(evaluations[1]["log_loss"], abs=2e-3)


def test_scaling_is_measured(script: Script, encoder: Path) -> None:
    model = f'overrides=["model.path={encoder}","train.cpu=true","train.probe_documents=100"]'
    done = script("bench_scale", "documents=400", "distinct=300", "steps=5", model)
    assert done.returncode == 0, done.stderr
    first, cold, warm = done.stdout.splitlines()
    assert first == "400 documents, 300 of them distinct"
    for line, cache in ((cold, "cold"), (warm, "warm")):
        assert re.match(rf"{cache} cache: first step after [\d.]+ s \(.+\), [\d.]+ steps/s, .+ GiB of memory", line)
    failed = script("bench_scale", "documents=400", "steps=5", 'overrides=["train.epochs=0"]')
    assert failed.returncode == 64
