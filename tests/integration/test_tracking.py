"""A training's MLflow run: a copy of what its folder holds, in a real SQLite store."""

import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import BestMetric, ExportRun, Recipe, TrainRun, TrainSettings
from tagsmith.core.errors import DataError, Interrupted, SettingsError
from tagsmith.core.run import RunFolder
from tagsmith.evaluate import tracking
from tagsmith.export.export_run import export
from tagsmith.train.train_run import train
from tests.integration.test_saving import call_at_step

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]

needs_mlflow = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("mlflow", "sqlalchemy", "alembic")),
    reason="needs the extra `mlflow`, 123 MB that make install leaves out",
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an empty working directory, which is to stay so; and what MLflow writes into the environment goes again."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("MLFLOW_")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: its tables take MLflow seconds."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    client(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def new_store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store/mlflow.db"


@pytest.fixture
def store(new_store: str, tmp_path: Path, empty_database: Path) -> str:
    (tmp_path / "store").mkdir()
    shutil.copy(empty_database, tmp_path / "store")
    return new_store


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("tagsmith"), "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog


def client(store: str) -> Any:
    import mlflow

    return mlflow.MlflowClient(store)


def runs(store: str) -> list[Any]:
    """The MLflow runs of the store, the first one first."""
    (experiment,) = (found for found in client(store).search_experiments() if found.name == "tagsmith")
    return list(client(store).search_runs([experiment.experiment_id], order_by=["attributes.start_time"]))


def figures(store: str, found: Any) -> dict[str, dict[int, float]]:
    """Name -> step -> value of all figures; each of a step was sent once."""
    by_name = {name: client(store).get_metric_history(found.info.run_id, name) for name in found.data.metrics}
    for name, history in by_name.items():
        assert max(Counter(point.step for point in history).values()) == 1, name
    return {name: {point.step: point.value for point in history} for name, history in by_name.items()}


def lines(run: RunFolder) -> dict[str, dict[int, float]]:
    """The same of `metrics.jsonl`."""
    expected: dict[str, dict[int, float]] = {}
    for line in map(json.loads, run.metrics.read_text().splitlines()):
        for name, value in line.items():
            if name not in ("step", "epoch"):
                expected.setdefault(name if "/" in name else f"train/{name}", {})[line["step"]] = value
    return expected


def of_loop(found: dict[str, dict[int, float]]) -> dict[str, dict[int, float]]:
    return {name: values for name, values in found.items() if not name.startswith("evaluation/")}


def artifacts(found: Any) -> Path:
    return Path(found.info.artifact_uri.removeprefix("file://"))


@needs_mlflow
def test_a_run_and_its_bundle_are_in_the_store(
    settings: Make, single_label_file: Path, tmp_path: Path, new_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store
    monkeypatch.setattr(tracking, "INTERVAL", 0.0)
    run, evaluation = train(settings(single_label_file, mlflow=store, objective=BestMetric.macro_f1))
    (found,) = runs(store)
    assert (found.info.status, found.info.run_name) == ("FINISHED", str(run.path))
    recorded = run.read_record()["settings"]
    assert found.data.params == {name: str(value) for name, value in recorded.items()}
    sent = figures(store, found)
    assert of_loop(sent) == lines(run)
    (figure,) = sent["evaluation/test/macro_f1"].items()
    assert figure == (max(lines(run)["train/loss"]), evaluation["macro"]["f1"])
    judged = json.loads(run.validation.read_text())["macro"]["f1"]
    assert list(sent["evaluation/validation/macro_f1"].values()) == [judged]
    place = artifacts(found)
    assert place.is_relative_to(tmp_path / "store" / "mlflow_artifacts")
    for name in ("settings.json", "evaluation.json", "validation.json"):
        assert (place / name).read_bytes() == (run.path / name).read_bytes()
    header, *rows = csv.reader((place / "confusion_matrix.csv").open())
    assert header[1:] == [row[0] for row in rows] == ["animals", "food", "tools"]
    assert [[int(count) for count in row[1:]] for row in rows] == evaluation["confusion_matrix"]
    assert f"accuracy {evaluation['accuracy']:.4f}" in (place / "evaluation.txt").read_text()
    bundle = export(ExportRun(run=str(run.path), bundle=str(tmp_path / "bundle")))
    copy = Classifier.load(place / "bundle")
    assert copy.predict(["the cat"]) == Classifier.load(bundle).predict(["the cat"])
    assert {path.name for path in place.iterdir()} == {
        "settings.json", "evaluation.json", "validation.json", "evaluation.txt", "confusion_matrix.csv", "bundle",
    }  # fmt: skip
    assert not list((tmp_path / "here").iterdir())


@needs_mlflow
def test_multi_label_documents_and_no_loop(settings: Make, multi_label_file: Path, store: str) -> None:
    _, evaluation = train(settings(multi_label_file, mlflow=store, recipe=Recipe.probe))
    (found,) = runs(store)
    rows = list(csv.reader((artifacts(found) / "confusion_matrix.csv").open()))[1:]
    tables = {name: [list(map(int, counts[:2])), list(map(int, counts[2:]))] for name, *counts in rows}
    assert tables == evaluation["confusion_matrices"]
    assert figures(store, found)["evaluation/test/log_loss"] == {0: evaluation["log_loss"]}


@needs_mlflow
def test_a_resumed_run_resumes_its_mlflow_run(
    settings: Make, single_label_file: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "INTERVAL", 0.0)

    class Killed(Exception):
        pass

    def kill() -> None:
        raise Killed

    steps = {"mlflow": store, "checkpoint_every": 4, "validate_every": 5}
    call_at_step(monkeypatch, 7, kill)
    with pytest.raises(Killed):
        train(settings(single_label_file, **steps))
    (found,) = runs(store)
    assert found.info.status == "FAILED"
    # Steps that are taken again from the checkpoint after step 4.
    assert max(figures(store, found)["train/loss"]) == 7
    monkeypatch.undo()
    call_at_step(monkeypatch, 9, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted):
        train(settings(single_label_file, resume=True, **steps))
    assert [found.info.status for found in runs(store)] == ["KILLED"]
    monkeypatch.undo()
    for _ in range(2):
        run, _ = train(settings(single_label_file, resume=True, **steps))
    (found,) = runs(store)
    assert found.info.status == "FINISHED"
    sent, expected = of_loop(figures(store, found)), lines(run)
    del sent["train/tokens_per_second"], expected["train/tokens_per_second"]
    assert sent == expected


@needs_mlflow
def test_each_job_of_a_sweep_has_an_mlflow_run(
    settings: Make, single_label_file: Path, tmp_path: Path, store: str
) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("no json\n")
    with pytest.raises(DataError):
        train(settings(broken, "broken", mlflow=store))
    for seed in range(3):
        train(settings(single_label_file, str(seed), seed=seed, mlflow=store, recipe=Recipe.probe))
    assert [found.data.params["seed"] for found in runs(store)] == ["0", "1", "2"]
    train(settings(single_label_file, "0", mlflow=store, recipe=Recipe.probe, overwrite=True))
    assert len(runs(store)) == 4


@needs_mlflow
def test_the_comparison_of_recipes_is_no_part_of_the_figures(
    settings: Make, single_label_file: Path, store: str
) -> None:
    run, _ = train(settings(single_label_file, mlflow=store, recipe=Recipe.auto))
    (found,) = runs(store)
    assert (artifacts(found) / "choice.json").read_bytes() == run.choice.read_bytes()
    assert of_loop(figures(store, found)) == (lines(run) if run.metrics.is_file() else {})


@needs_mlflow
@pytest.mark.parametrize("broken", ["no database", "a folder", "no server"])
def test_no_training_is_lost_for_a_store(
    settings: Make, single_label_file: Path, tmp_path: Path, store: str, heard: pytest.LogCaptureFixture, broken: str
) -> None:
    file = tmp_path / "store" / "mlflow.db"
    whole = file.rename(tmp_path / "whole.db")
    if broken == "no database":
        file.write_text("letters " * 1000)
    elif broken == "a folder":
        file.mkdir()
    given = "http://127.0.0.1:9" if broken == "no server" else store
    run, evaluation = train(settings(single_label_file, mlflow=given))
    assert evaluation["documents"] == 30
    warnings = [record.getMessage() for record in heard.records if record.levelname == "WARNING"]
    warnings = [message for message in warnings if message.startswith("MLflow")]
    assert [line for line in warnings if "training continues" in line] == warnings[:1]
    assert "is missing some of this run" in warnings[-1]
    assert f"run={run.path} resume=true" in warnings[-1]
    assert len(warnings) == 2
    if broken == "a folder":
        file.rmdir()
    whole.replace(file)
    train(settings(single_label_file, mlflow=store, resume=True))
    (found,) = runs(store)
    assert of_loop(figures(store, found)) == lines(run)
    assert list(figures(store, found)["evaluation/test/log_loss"].values()) == [evaluation["log_loss"]]


@needs_mlflow
def test_a_store_that_fails_in_between_gets_all_at_the_end(
    settings: Make, single_label_file: Path, store: str, monkeypatch: pytest.MonkeyPatch,
    heard: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(tracking, "INTERVAL", 0.0)
    gone: list[Path] = []

    def go() -> None:
        file = Path(store.removeprefix(tracking.SQLITE))
        gone.append(file.rename(file.with_suffix(".gone")))
        file.write_text("letters " * 1000)

    def come_back() -> None:
        gone[0].replace(Path(store.removeprefix(tracking.SQLITE)))

    call_at_step(monkeypatch, 3, go)
    call_at_step(monkeypatch, 8, come_back)
    run, _ = train(settings(single_label_file, mlflow=store))
    assert "training continues" in heard.text
    assert "is missing some" not in heard.text
    (found,) = runs(store)
    assert found.info.status == "FINISHED"
    assert of_loop(figures(store, found)) == lines(run)


@needs_mlflow
def test_a_run_that_the_store_lost_gets_a_new_mlflow_run(
    settings: Make, single_label_file: Path, tmp_path: Path, store: str, heard: pytest.LogCaptureFixture
) -> None:
    run, _ = train(settings(single_label_file, mlflow=store))
    (first,) = runs(store)
    client(store).delete_run(first.info.run_id)
    train(settings(single_label_file, mlflow=store, resume=True))
    assert f"no longer has run {first.info.run_id}" in heard.text
    (second,) = runs(store)
    assert of_loop(figures(store, second)) == lines(run)
    known = json.loads(run.mlflow.read_text())
    assert known["run_id"] == second.info.run_id
    # A store that is gone costs a warning, and not the bundle; no empty one takes its place.
    run.mlflow.write_text(json.dumps(known | {"store": f"sqlite:///{tmp_path}/gone.db"}))
    export(ExportRun(run=str(run.path), bundle=str(tmp_path / "bundle")))
    assert "The bundle is not in MLflow" in heard.text
    assert not (tmp_path / "gone.db").exists()
    Classifier.load(tmp_path / "bundle")


@needs_mlflow
def test_several_processes_are_one_mlflow_run(
    settings: Make, single_label_file: Path, encoder: Path, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2",
              "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--num_cpu_threads_per_process=1",
              "--main_process_port=0"]  # fmt: skip
    given = ["data=jsonl", f"data.train={single_label_file}", f"model.path={encoder}", "run=runs/two", "train.epochs=1",
             "train.batch_tokens=256", "train.log_every=1", "train.cpu=true",
             "train.mlflow=sqlite:///runs/mlflow.db"]  # fmt: skip
    done = subprocess.run(
        [*launch, str(root / "scripts" / "train.py"), *given],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    here = tmp_path / "here"
    store = f"sqlite:///{here}/runs/mlflow.db"
    (found,) = runs(store)
    assert of_loop(figures(store, found)) == lines(RunFolder(here / "runs" / "two"))
    assert artifacts(found).is_relative_to(here / "runs" / "mlflow_artifacts")
    assert [path.name for path in here.iterdir()] == ["runs"]


def test_without_mlflow_the_message_says_what_to_install(
    settings: Make, single_label_file: Path, tmp_path: Path, new_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name in ("mlflow", "alembic") else name)
    with pytest.raises(SettingsError, match=r"needs mlflow and alembic.*pip install 'tagsmith\[mlflow\]'"):
        train(settings(single_label_file, mlflow=new_store))
    assert not (tmp_path / "run").exists()
    tracking.require_mlflow(TrainSettings())


@needs_mlflow
def test_mlflow_that_is_off_is_not_imported(single_label_file: Path, encoder: Path, tmp_path: Path) -> None:
    code = f"""
import sys
import tagsmith.export.export_run
from tagsmith.config.settings import TableSettings, ModelSettings, TrainRun, TrainSettings
from tagsmith.train.train_run import train
run, _ = train(TrainRun(run={str(tmp_path / "run")!r}, data=TableSettings(train={str(single_label_file)!r}),
               model=ModelSettings(path={str(encoder)!r}), train=TrainSettings(cpu=True, epochs=1)))
tagsmith.export.export_run.add_bundle(run, run.path)
print(sorted(name for name in sys.modules if name.split(".")[0] in ("mlflow", "sqlalchemy", "alembic")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert not (tmp_path / "run" / "mlflow.json").exists()
    assert list((tmp_path / "run" / "tensorboard").iterdir())


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"mlflow": "runs/mlflow.db"}, "mlflow"),
        ({"mlflow": "sqlite:///:memory:"}, "mlflow"),
        ({"mlflow": "http:///x"}, "mlflow"),
        ({"mlflow": "sqlite:///runs/mlflow.db"}, None),
        ({"mlflow": "https://mlflow.example.org"}, None),
    ],
)
def test_impossible_settings(given: dict[str, str], name: str | None) -> None:
    assert [problem.partition(":")[0] for problem in TrainSettings(**given).problems()] == ([name] if name else [])  # type: ignore[arg-type]
