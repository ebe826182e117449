"""Training from the tagging page, by a process that outlives the page; a stub stands for the real commands."""

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from tagsmith.config.composition import to_settings
from tagsmith.config.settings import EvaluateRun, ExportRun, TrainRun
from tagsmith.config.stages import STAGES
from tagsmith.config.words import as_typed, groups_of
from tagsmith.core import apart
from tagsmith.core.schema import Schema, Task
from tagsmith.tag.decisions import StoredDocument
from tagsmith.tag.guard import Refused
from tagsmith.tag.store import Store
from tagsmith.tag.training import Training
from tests.unit.test_config import CONFIGS, register_once

STUB = """
import json, pathlib, sys, time
name, *words = sys.argv[1:]
given = dict(word.split("=", 1) for word in words)
run, folder = pathlib.Path(given["run"]), pathlib.Path(__file__).parent
if name == "train":
    (run / "data").mkdir(parents=True, exist_ok=True)
    print("2026-01-01 00:00:00,000 training: 1,200 of 9,003 documents, 456 tokens/s, loss 0.5, 17 s left", flush=True)
    while not (folder / "may_end").exists():
        time.sleep(0.01)
    figures = {"accuracy": 0.75, "macro": {"f1": 0.5}, "documents": 4}
    (run / "evaluation.json").write_text(json.dumps(figures))
elif name == "evaluate":
    (run / "report.html").write_text("")
elif (folder / "no_room").exists():
    print("error: no room", file=sys.stderr)
    sys.exit(75)
else:
    pathlib.Path(given["bundle"]).mkdir()
"""


def store_of(folder: Path) -> Store:
    store = Store(folder)
    schema = Schema(("billing", "bug"), Task.single_label)
    store.set_schema(schema, {})
    store.add([StoredDocument("a", "an invoice", given=("billing",)), StoredDocument("b", "a crash", given=("bug",))])
    return store


def until(work: Training, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The state once a condition holds: another process works towards it."""
    end = time.monotonic() + 30
    while not reached(state := work.state()):
        assert time.monotonic() < end, state
        time.sleep(0.01)
    return state


def test_a_training_that_outlives_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.setattr(apart, "PYTHON", (sys.executable, "-S", str(tmp_path / "stub.py")))
    folder = tmp_path / "my tickets"
    store = store_of(folder)
    page = Training(folder, store, ["model.path=tiny"])
    assert page.state() == {"state": "none"}
    with pytest.raises(Refused, match="no training to resume"):
        page.start(resume=True)

    started = page.start()
    assert (started["state"], started["documents"]) == ("running", 2)
    first = until(page, lambda now: now["progress"])["progress"]
    assert first == {
        "what": "training", "unit": "documents", "done": 1200, "total": 9003, "rate": "456 tokens/s, loss 0.5",
        "seconds_left": 17,
    }  # fmt: skip
    with pytest.raises(Refused, match="is running"):
        page.start()
    # The page is closed, opened again, and finds the training; it is stopped, resumed, and fails at its last step.
    page = Training(folder, store)
    assert page.state()["state"] == "running"
    assert page.stop()["state"] in ("stopping", "stopped")
    assert until(page, lambda now: now["state"] == "stopped")["command"] == 1
    (tmp_path / "may_end").touch()
    (tmp_path / "no_room").touch()
    page.start(resume=True)
    failed = until(page, lambda now: now["state"] == "failed")
    assert (failed["command"], failed["lines"][-1]) == (3, "error: no room")
    (tmp_path / "no_room").unlink()
    page.start(resume=True)
    done = until(Training(folder, store), lambda now: now["state"] == "finished")
    assert done["figures"] == {"accuracy": 0.75, "macro_f1": 0.5, "documents": 4}
    place = folder / "trainings" / "1"
    names = {"run": "run", "report": "run/report.html", "bundle": "bundle"}
    assert done["found"] == {name: str(place / inside) for name, inside in names.items()}
    # Another one is tested on the same documents.
    page.start()
    again = until(page, lambda now: now["state"] == "finished")
    assert f"data.split_from={place / 'run'}" in shlex.split(again["commands"][0])
    store.close()


def test_the_commands_are_those_of_the_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "PYTHON", ("true",))
    store = store_of(tmp_path / "my tickets")
    page = Training(tmp_path / "my tickets", store, ["model=mpnet"])
    for _ in range(2):
        page.start()
        found = until(page, lambda now: now["state"] == "finished")
        (tmp_path / "my tickets" / "trainings" / "1" / "run" / "data").mkdir(parents=True, exist_ok=True)
    register_once()
    kinds: tuple[type[Any], ...] = (TrainRun, EvaluateRun, ExportRun)
    for command, kind in zip(found["commands"], kinds, strict=True):
        python, path, *words = shlex.split(command)
        assert python == "python"
        stage = Path(path).stem
        words += ["name=x"] if stage == "train" else []
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            settings = to_settings(compose(stage, as_typed(words, STAGES[stage], groups_of(stage, CONFIGS))), kind)
        assert settings.run == str(tmp_path / "my tickets" / "trainings" / "2" / "run")
    store.close()
