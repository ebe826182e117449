"""Azure's authoring API, served: projects, trainings, evaluations and deployments, for clients that change one URL."""

import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from tagsmith.azure.import_project import import_project
from tagsmith.azure.service import KEY as VARIABLE
from tagsmith.azure.take import take
from tagsmith.config.composition import to_settings
from tagsmith.config.settings import AzureSettings, LeaveAction, LeaveAzure, ServeSettings, TrainRun
from tagsmith.config.stages import STAGES
from tagsmith.config.words import as_typed, groups_of
from tagsmith.core import apart
from tagsmith.core.errors import SettingsError, TryAgainLater
from tagsmith.core.locations import TextFiles
from tagsmith.serve import app, authoring
from tagsmith.serve.authoring_jobs import Queue, Training, new_training
from tagsmith.serve.authoring_project import Project, Projects
from tagsmith.serve.service import KEYS, serve
from tests.cli.conftest import ROOT
from tests.conftest import TOPICS, make_documents
from tests.forked import run_forked, run_script
from tests.integration.conftest import Made
from tests.serving import KEY, Served, serving
from tests.unit.test_config import CONFIGS, register_once

PATH = "/language/authoring/analyze-text/projects"
RUNTIME = "/language/analyze-text/jobs"
SINGLE = "CustomSingleLabelClassification"
QUERY = {"api-version": "2023-04-01"}

STUB = """
import json, pathlib, shutil, sys, time
name, *words = sys.argv[1:]
given = dict(word.split("=", 1) for word in words)
run, folder = pathlib.Path(given["run"]), pathlib.Path(__file__).parent
if name == "train":
    run.mkdir(exist_ok=True)
    print("2026-01-01 00:00:00,000 training: 50 of 100 documents, 456 tokens/s, loss 0.5, 17 s left", flush=True)
    while not (folder / "may_end").exists():
        time.sleep(0.01)
    if (folder / "must_fail").exists():
        print(f"error: {given['data.path']}: a problem\\n  - of a row", file=sys.stderr)
        sys.exit(65)
elif name == "export":
    first = "first" in (run.parent / "training.json").read_text()
    shutil.copytree(folder / ("made" if first else "other"), given["bundle"])
"""


class Place:
    """The folders of a service, and its stub for the real commands."""

    def __init__(self, path: Path):
        self.path, self.authoring, self.texts = path, path / "projects", path / "texts"
        self.authoring.mkdir()
        (self.texts / "tickets").mkdir(parents=True)

    def serving(self, **settings: Any) -> Any:
        folders = {"authoring": str(self.authoring), "authoring_texts": str(self.texts)}
        return serving({}, **{**folders, **settings})


def send(served: Served, method: str, place: str, body: Any = None, **query: str) -> Any:
    url = f"{served.url}{PATH}{place}"
    return served.http.request(method, url, params={**QUERY, **query}, json=body, timeout=60)


def until(served: Served, link: str, *states: str) -> dict[str, Any]:
    """The state of a job once it is one of these."""
    end = time.monotonic() + 300
    while (state := served.http.get(link, timeout=30).json())["status"] not in states:
        assert time.monotonic() < end, state
        time.sleep(0.02)
    return dict(state)


def project(documents: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    metadata = {"projectKind": SINGLE, "projectName": "tickets", "storageInputContainerName": "tickets",
                "language": "en-us", "multilingual": False}  # fmt: skip
    classes = [{"category": name} for name in sorted(TOPICS)]
    assets = {"projectKind": SINGLE, "classes": classes, "documents": documents}
    return {"projectFileVersion": "2022-05-01", "stringIndexType": "Utf16CodeUnit", "metadata": metadata,
            "assets": assets, **changes}  # fmt: skip


ONE = [{"location": "1.txt", "language": "en-us", "class": {"category": "food"}, "dataset": "Train"}]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(app, "TRAINING_SECONDS", 0.01)
    return Place(tmp_path)


@pytest.fixture
def stub(place: Place, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    (place.path / "stub.py").write_text(STUB)
    for name, bundle in (("made", "production"), ("other", "staging")):
        (place.path / name).symlink_to(bundles[bundle])
    monkeypatch.setattr(apart, "PYTHON", (sys.executable, "-S", str(place.path / "stub.py")))
    yield place
    (place.path / "may_end").touch()  # Trainings outlive the service.


@pytest.fixture
def served(stub: Place) -> Iterator[Served]:
    with stub.serving() as one:
        assert send(one, "POST", "/tickets/:import", project(ONE)).status_code == 202
        yield one


def trained(served: Served, stub: Place, label: str) -> None:
    (stub.path / "may_end").touch()
    asked = send(served, "POST", "/tickets/:train", {"modelLabel": label, "trainingConfigVersion": "latest"})
    state = until(served, asked.headers["Operation-Location"], "succeeded", "failed")
    assert state["status"] == "succeeded", state


def answered(served: Served, deployment: str) -> str:
    """The class that a deployment gives a document."""
    task = {"kind": SINGLE, "parameters": {"projectName": "tickets", "deploymentName": deployment}}
    content = {"analysisInput": {"documents": [{"id": "1", "text": "a secret cat"}]}, "tasks": [task]}
    link = served.post(RUNTIME, params=QUERY, json=content).headers["Operation-Location"]
    (item,) = until(served, link, "succeeded")["tasks"]["items"]
    return str(item["results"]["documents"][0]["class"])


@pytest.mark.parametrize("version", ["2022-05-01", "2023-04-01", "2025-05-15-preview"])
def test_a_project_is_made_read_exported_and_deleted(stub: Place, version: str) -> None:
    with stub.serving() as served:
        asked = {"api-version": version}
        about = project(ONE)["metadata"] | {"description": "of the shop"}
        made = send(served, "PATCH", "/tickets", about, **asked).json()
        assert {**made, **about} == made
        assert made == send(served, "GET", "/tickets", **asked).json()
        assert send(served, "POST", "/tickets/:train", {"modelLabel": "a"}, **asked).status_code == 400
        started = send(served, "POST", "/tickets/:import", project(ONE), **asked)
        state = until(served, started.headers["Operation-Location"], "succeeded")
        assert {"jobId", "createdDateTime", "lastUpdatedDateTime", "expirationDateTime", "errors"} <= state.keys()
        started = send(served, "POST", "/tickets/:export", stringIndexType="Utf16CodeUnit", **asked)
        state = until(served, started.headers["Operation-Location"], "succeeded")
        assert served.http.get(state["resultUrl"]).json() == project(ONE)
        send(served, "PATCH", "/new", about, **asked)
        listed = send(served, "GET", "", maxpagesize="1", **asked).json()
        listed["value"] += served.http.get(listed["nextLink"]).json()["value"]
        assert [one["projectName"] for one in listed["value"]] == ["new", "tickets"]
        started = send(served, "DELETE", "/tickets", **asked)
        assert "/projects/global/deletion-jobs/" in started.headers["Operation-Location"]
        until(served, started.headers["Operation-Location"], "succeeded")
        assert send(served, "GET", "/tickets", **asked).status_code == 404
        assert not (stub.authoring / "tickets").exists()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", "/other", None, 404, "Unknown project"),
        ("GET", "/tickets/models/none", None, 404, "Unknown trained model"),
        ("GET", "/tickets/models/none/evaluation/summary-result", None, 404, "Unknown trained model"),
        ("GET", "/tickets/deployments/none", None, 404, "Unknown deployment"),
        ("DELETE", "/tickets/deployments/none", None, 404, "Unknown deployment"),
        ("PUT", "/tickets/deployments/new", {"trainedModelLabel": "none"}, 404, "Unknown trained model"),
        ("POST", "/tickets/deployments/:swap", {"firstDeploymentName": "a", "secondDeploymentName": "b"}, 404, "Unkn"),
        ("GET", "/tickets/train/jobs/none", None, 404, "Unknown job"),
        ("GET", "/tickets/import/jobs/..%2Fx", None, 404, ""),
        ("POST", "/tickets/:train", {"modelLabel": "a/b"}, 400, "not valid"),
        ("POST", "/tickets/:train", {"modelLabel": "a", "evaluationOptions": {"testingSplitPercentage": 30}}, 400, ""),
        ("POST", "/tickets/:import", {"metadata": {}}, 400, "not valid"),
        ("POST", "/tickets/:import", project([{"class": {"category": "food"}}]), 400, "not valid"),
        ("POST", "/tickets/:import", project(ONE, assets={"classes": [], "documents": ONE}), 400, "not valid"),
        ("POST", "/global/:import", project(ONE), 400, "Expected a name"),
        ("POST", "/.jobs/:import", project(ONE), 400, "Expected a name"),
        ("PATCH", "/x", project(ONE)["metadata"] | {"storageInputContainerName": "none"}, 400, "Unknown container"),
        ("PATCH", "/x", project(ONE)["metadata"] | {"storageInputContainerName": ".."}, 400, "not valid"),
        ("POST", "/tickets/:copy", {}, 501, "Tagsmith does not serve /{project}/:copy"),
        ("POST", "/tickets/models/m/:load-snapshot", None, 501, "does not serve"),
        ("GET", "/tickets/resources", None, 501, "does not serve"),
        ("POST", "/tickets/resources/:assign", {}, 501, "does not serve"),
        ("PUT", "/tickets/exported-models/m", {}, 501, "does not serve"),
        ("POST", "/other/:copy", {}, 404, "Unknown project"),
        (
            "PATCH",
            "/tickets",
            project(ONE)["metadata"] | {"projectKind": "CustomMultiLabelClassification"},
            409,
            "kind",
        ),
    ],
)
def test_requests_that_are_refused(
    served: Served, method: str, path: str, body: Any, status: int, message: str
) -> None:
    answer = send(served, method, path, body)
    assert answer.status_code == status
    assert {"code", "message"} <= answer.json()["error"].keys()
    assert message in answer.json()["error"]["message"]


def test_versions_and_keys(served: Served) -> None:
    for version in ("2021-11-01", ""):
        answer = send(served, "GET", "/tickets", **{"api-version": version})
        assert answer.json()["error"]["innererror"]["code"] == "UnsupportedApiVersion"
    served.http.headers["Ocp-Apim-Subscription-Key"] = "wrong"
    assert send(served, "GET", "/tickets").json()["error"]["code"] == "401"


def test_trainings_wait_run_outlive_the_service_and_are_cancelled(stub: Place) -> None:
    with stub.serving() as served:
        send(served, "POST", "/tickets/:import", project(ONE))
        links = []
        for label in ("first", "second", "third"):
            asked = send(served, "POST", "/tickets/:train", {"modelLabel": label, "trainingConfigVersion": "latest"})
            links.append(asked.headers["Operation-Location"])
        assert send(served, "POST", "/tickets/:train", {"modelLabel": "first"}).status_code == 409
        assert send(served, "DELETE", "/tickets").status_code == 409
        while (state := until(served, links[0], "running"))["result"]["trainingStatus"]["percentComplete"] == 0:
            time.sleep(0.01)
        about = json.loads((stub.authoring / "tickets" / "trainings" / state["jobId"] / "training.json").read_text())
        if sys.platform == "linux":  # Where memory runs out, the training ends and not the service.
            assert Path(f"/proc/{about['process']}/oom_score_adj").read_text() == "500\n"
        assert state["result"] == {
            "modelLabel": "first", "trainingConfigVersion": "latest",
            "trainingStatus": {"percentComplete": 49, "status": "running",
                               "startDateTime": state["result"]["trainingStatus"]["startDateTime"]},
            "evaluationStatus": {"percentComplete": 0, "status": "notStarted"},
        }  # fmt: skip
        assert until(served, links[1], "notStarted")
        # One that waits is cancelled at once; nothing of it runs. The pollers of azure-core know `canceled` alone.
        asked = f"{served.url}{PATH}{links[1].partition('?')[0].partition(PATH)[2]}/:cancel"
        sdk = {"User-Agent": "azsdk-python-ai-textanalytics-authoring/1.0.0b1 Python/3.13"}
        polled = served.http.post(asked, params=QUERY, headers=sdk).headers["Operation-Location"]
        assert until(served, polled, "canceled")
        assert until(served, links[1], "cancelled")
        with pytest.raises(TryAgainLater, match="another service uses"):
            Projects(stub.authoring, stub.texts, 1)
    with stub.serving() as served:
        links = [f"{served.url}{link[link.index(PATH) :]}" for link in links]
        assert until(served, links[0], "running")
        cancel = f"{links[0].partition('?')[0].partition(PATH)[2]}/:cancel"
        assert send(served, "POST", cancel).status_code == 202
        assert until(served, links[0], "cancelled")["result"]["trainingStatus"]["status"] == "cancelled"
        assert send(served, "POST", cancel).status_code == 400
        # The next one takes its turn, and fails.
        assert until(served, links[2], "running")
        (stub.path / "must_fail").touch()
        (stub.path / "may_end").touch()
        state = until(served, links[2], "failed")
        (error,) = state["errors"]
        assert error["message"].endswith("labels.json: a problem\n  - of a row")
        assert str(stub.path) not in error["message"]
        assert send(served, "GET", "/tickets/models").json() == {"value": []}
        listed = send(served, "GET", "/tickets/train/jobs", maxpagesize="2").json()
        more = served.http.get(listed["nextLink"]).json()
        states = [one["status"] for one in listed["value"] + more["value"]]
        assert states == ["cancelled", "cancelled", "failed"]
        (training,) = stub.authoring.glob(f"tickets/trainings/{state['jobId']}")
        assert "dataset" not in (training / "labels.json").read_text()  # Training draws the split.


def test_a_training_that_was_killed_starts_again(stub: Place) -> None:
    with stub.serving() as served:
        send(served, "POST", "/tickets/:import", project(ONE))
        options = {"kind": "manual"}
        link = send(served, "POST", "/tickets/:train", {"modelLabel": "first", "evaluationOptions": options}).headers[
            "Operation-Location"
        ]
        until(served, link, "running")
    (about,) = stub.authoring.glob("tickets/trainings/*/training.json")
    assert '"Train"' in (about.parent / "labels.json").read_text()
    assert "data.test_share" not in about.read_text()
    apart.stop(json.loads(about.read_text())["process"])
    (stub.path / "may_end").touch()
    with stub.serving() as served:
        assert until(served, f"{served.url}{link[link.index(PATH) :]}", "succeeded")
    assert json.loads(about.read_text())["starts"] == 2


def test_deployments_are_served_at_once_swapped_and_survive_a_restart(stub: Place, bundles: dict[str, Path]) -> None:
    with stub.serving() as served:
        send(served, "POST", "/tickets/:import", project(ONE))
        trained(served, stub, "first")
        trained(served, stub, "second")
        assert served.get("/deployments").json()["deployments"] == []
        assert served.post("/predict", json={"inputs": "x"}).status_code == 503
        for name, label in (("production", "first"), ("staging", "second")):
            started = send(served, "PUT", f"/tickets/deployments/{name}", {"trainedModelLabel": label})
            assert f"/tickets/deployments/{name}/jobs/" in started.headers["Operation-Location"]
            until(served, started.headers["Operation-Location"], "succeeded")
        found = send(served, "GET", "/tickets/deployments").json()["value"]
        models = {one["label"]: one["modelId"] for one in send(served, "GET", "/tickets/models").json()["value"]}
        assert [(one["deploymentName"], one["modelId"]) for one in found] == [
            ("production", models["first"]), ("staging", models["second"])
        ]  # fmt: skip
        before = {name: answered(served, name) for name in ("production", "staging")}
        assert before["production"] != before["staging"]
        assert send(served, "DELETE", "/tickets/models/first").status_code == 409
        names = {"firstDeploymentName": "production", "secondDeploymentName": "staging"}
        started = send(served, "POST", "/tickets/deployments/:swap", names)
        until(served, started.headers["Operation-Location"], "succeeded")
        assert {"production": before["staging"], "staging": before["production"]} == {
            name: answered(served, name) for name in before
        }
    with stub.serving() as served:
        assert answered(served, "production") == before["staging"]
        # A model that cannot be served leaves what is.
        (bundle,) = stub.authoring.glob(f"tickets/trainings/{models['first']}/bundle")
        (bundle / "manifest.json").write_text("{")
        started = send(served, "PUT", "/tickets/deployments/production", {"trainedModelLabel": "first"})
        (error,) = until(served, started.headers["Operation-Location"], "failed")["errors"]
        assert str(stub.path) not in error["message"]
        assert answered(served, "production") == before["staging"]
        started = send(served, "DELETE", "/tickets/deployments/staging")
        until(served, started.headers["Operation-Location"], "succeeded")
        assert send(served, "DELETE", "/tickets/models/first").status_code == 204
        assert send(served, "GET", "/tickets/models/first").status_code == 404
        assert served.get("/deployments").json()["default"] == "tickets/production"
        until(served, send(served, "DELETE", "/tickets").headers["Operation-Location"], "succeeded")
        assert served.get("/deployments").json()["deployments"] == []


def test_settings_of_the_authoring_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS, raising=False)
    settings = ServeSettings(authoring=str(tmp_path), authoring_texts=str(tmp_path))
    assert not list(settings.problems())
    assert "expected both or none" in next(ServeSettings(authoring="x").problems())
    with pytest.raises(SettingsError, match="needs keys"):
        serve(settings)
    with pytest.raises(SettingsError, match="authoring_texts=none: expected a folder"):
        Projects(tmp_path, Path("none"), 1)


def test_an_evaluation_with_several_classes_a_document(tmp_path: Path) -> None:
    counts = {"true_positives": 1, "true_negatives": 2, "false_positives": 3, "false_negatives": 4}
    figures = {"f1": 0.5, "precision": 0.25, "recall": 0.75}
    kind = "CustomMultiLabelClassification"
    evaluation = {"micro": figures, "macro": figures, "classes": {"a": figures | counts}, "confusion_matrices": {}}
    assert authoring.summary(kind, {"kind": "manual"}, evaluation) == {
        "projectKind": kind,
        "evaluationOptions": {"kind": "manual"},
        "customMultiLabelClassificationEvaluation": {
            "microF1": 0.5, "microPrecision": 0.25, "microRecall": 0.75,
            "macroF1": 0.5, "macroPrecision": 0.25, "macroRecall": 0.75,
            "classes": {"a": figures | {"truePositiveCount": 1, "trueNegativeCount": 2, "falsePositiveCount": 3,
                                        "falseNegativeCount": 4}},
        },
    }  # fmt: skip
    # Results name a document as it was imported, however that was spelled.
    (tmp_path / "sub").mkdir()
    for name in ("1.txt", "sub/2 a.txt"):
        (tmp_path / name).touch()
    documents: list[dict[str, Any]] = [{"location": "1.txt"}, {"location": "sub\\2%20a.txt", "language": "fr"}]
    lines = [
        {"id": "1.txt", "labels": ["a"], "predicted": []},
        {"id": "sub/2 a.txt", "labels": [], "predicted": ["a", "b"]},
        {"id": "gone.txt", "labels": [], "predicted": []},
    ]
    assert authoring.results(kind, documents, TextFiles(tmp_path), "en-us", iter(lines)) == [
        {"projectKind": kind, "location": location, "language": language,
         "customMultiLabelClassificationResult": {"expectedClasses": expected, "predictedClasses": predicted}}
        for location, language, expected, predicted in (
            ("1.txt", "en-us", ["a"], []), ("sub\\2%20a.txt", "fr", [], ["a", "b"]), ("gone.txt", "en-us", [], [])
        )
    ]  # fmt: skip


def test_documents_without_a_text_are_all_named_by_the_import_and_by_the_training(served: Served, stub: Place) -> None:
    (stub.texts / "tickets" / "1.txt").write_text("a cat")
    documents = [*ONE, *({**ONE[0], "location": f"sub/{i}.txt"} for i in range(5))]
    started = send(served, "POST", "/tickets/:import", project(documents))
    state = until(served, started.headers["Operation-Location"], "succeeded")
    names = ", ".join(f"sub/{i}.txt" for i in range(5))
    message = f"5 of 6 documents cannot be found in the container tickets: {names}"
    assert state["warnings"] == [{"code": "Warning", "message": message}]
    link = send(served, "POST", "/tickets/:train", {"modelLabel": "first"}).headers["Operation-Location"]
    assert served.http.get(link).json()["warnings"] == state["warnings"]


class Waiting:
    """Trainings that wait in a queue; which of them were started, and which signals were sent."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.queue = folder, Queue(folder, hours=10)
        self.started: list[Path] = []
        self.signals: list[int] = []
        monkeypatch.setattr(apart, "start", lambda place, commands: self.started.append(place) or Popen7())
        monkeypatch.setattr(apart, "stop", lambda process, by=signal.SIGTERM: self.signals.append(by))

    def add(self, label: str, printed: str | None = None, **changes: Any) -> Training:
        asked = authoring.TrainingRequest(modelLabel=label)
        one = new_training(self.folder / "tickets" / "trainings", asked, project(ONE), TextFiles(self.folder), [])
        one.note(**changes)
        if printed is not None:
            (one.path / apart.OUTPUT).write_text(printed)
        return one

    def step(self) -> list[Path]:
        self.started.clear()
        self.queue.step()
        return list(self.started)


class Popen7:
    pid = 7

    def poll(self) -> int:
        return 0


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Waiting:
    return Waiting(tmp_path, monkeypatch)


def test_a_damaged_file_of_a_training_is_set_aside_and_the_others_go_on(
    waiting: Waiting, caplog: pytest.LogCaptureFixture
) -> None:
    contents = ["{", "[]", json.dumps({"label": "x"}), '{"label": "\xff"}']
    for content in contents:
        (waiting.add("damaged").path / "training.json").write_bytes(content.encode("latin-1"))
    good = waiting.add("good")
    with caplog.at_level(logging.ERROR):
        assert waiting.step() == [good.path]
        waiting.step()
    assert len(caplog.records) == len(contents)
    assert "restore it from a copy. The file is now training.json.damaged" in caplog.text
    assert len(list(waiting.folder.glob("*/*/*/training.json.damaged"))) == len(contents)
    assert Project(waiting.folder / "tickets").trainings() == [good]


LACKS_ROOM = ">>> 1 train\nerror: the disk is full\n>>> exit 75\n"


def test_a_training_that_lacked_room_waits_and_fails_in_the_end(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = waiting.add("first", LACKS_ROOM, starts=1)
    other = waiting.add("second")
    assert one.status() == "notStarted"
    assert waiting.step() == [other.path]  # It does not keep the others waiting.
    os.utime(one.path / apart.OUTPUT, (0, time.time() - 901))
    (other.path / apart.OUTPUT).write_text(">>> 3 export\n>>> exit 0\n")
    assert waiting.step() == [one.path]
    assert one.about().starts == 2
    one.note(starts=3)
    assert one.state([])["status"] == "failed"
    assert one.state([])["errors"] == [{"code": "InvalidRequest", "message": "the disk is full"}]
    # The room is that of the newest model, once more.
    (other.path / "bundle").mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    third = waiting.add("third")
    assert waiting.step() == []
    assert third.status() == "notStarted"
    third.note(starts=3)
    assert "of free space for training another version" in third.state([])["errors"][0]["message"]


@pytest.mark.parametrize(
    ("changes", "signals", "status"),
    [
        ({"begun": 1.0}, [signal.SIGTERM], "failed"),  # Longer than 10 hours.
        ({"begun": None}, [], "running"),
        ({"cancelled": True, "stopped": 1.0}, [signal.SIGKILL], "cancelled"),  # It does not end.
    ],
)
def test_a_training_that_takes_too_long_is_ended(
    changes: dict[str, Any], signals: list[int], status: str, waiting: Waiting
) -> None:
    one = waiting.add("first", ">>> 1 train\n", starts=1, process=7, **changes)
    with (one.path / apart.OUTPUT).open("ab") as output:
        fcntl.flock(output, fcntl.LOCK_EX)
        waiting.step()
        assert one.status() == ("cancelling" if signals else "running")
    assert waiting.signals == signals
    assert one.status() == status
    if status == "failed":
        assert "longer than 10 hours" in one.state([])["errors"][0]["message"]


def test_a_training_that_was_killed_says_so(waiting: Waiting) -> None:
    one = waiting.add("first", ">>> 1 train\nerror: of before\n>>> exit 75\n>>> 1 train\n>>> exit 137\n", starts=2)
    assert one.state([])["errors"][0]["message"] == "It was killed; is there enough memory?"


def test_the_commands_are_those_of_the_scripts(tmp_path: Path) -> None:
    asked = authoring.TrainingRequest(modelLabel="a")
    texts = tmp_path / "my texts"
    found = new_training(tmp_path, asked, project(ONE), TextFiles(texts), ["model=mpnet"])
    register_once()
    train, evaluate, export = found.about().commands
    assert train.pop(0) == "train"
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        words = as_typed([*train, "name=x"], STAGES["train"], groups_of("train", CONFIGS))
        settings = to_settings(compose("train", words), TrainRun)
    assert isinstance(settings.data, AzureSettings)
    assert (settings.data.texts, settings.data.test_share, settings.resume) == (str(texts), 0.2, True)
    assert [evaluate[0], export[0]] == ["evaluate", "export"]


def start_forked(place: Path, commands: list[list[str]]) -> subprocess.Popen[bytes]:
    """What `apart.start` does, with the real scripts in processes that have imported already what takes seconds."""
    output = (place / apart.OUTPUT).open("ab", buffering=0)
    fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def work() -> None:
        status = 0
        for number, (name, *words) in enumerate(commands, 1):
            output.write(f"{apart.MARK}{number} {name}\n".encode())
            done = run_forked(run_script, ROOT / "scripts" / f"{name}.py", words, folder=place)
            output.write((done.stdout + done.stderr).encode())
            if status := done.returncode:
                break
        output.write(f"{apart.MARK}exit {status}\n".encode())
        output.close()

    threading.Thread(target=work, daemon=True).start()
    return subprocess.Popen(["true"])


@pytest.mark.slow
def test_from_an_import_to_everything_that_take_takes(
    place: Place, encoder: Path, made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With `made`, so that the graph of the export is in the cache."""
    monkeypatch.setattr(apart, "start", start_forked)
    documents = []
    for i, one in enumerate(make_documents(90, False)):
        (place.texts / "tickets" / f"{i}.txt").write_text(str(one["text"]))
        split = "Test" if i < 30 else "Train"
        documents.append({"location": f"{i}.txt", "class": {"category": one["label"]}, "dataset": split})
    words = [f"model.path={encoder}", "train=probe", "data.validation_share=0", "train.cpu=true"]
    (place.authoring / "train.txt").write_text("\n".join(words))
    monkeypatch.setenv(VARIABLE, KEY)
    with place.serving() as served:
        send(served, "POST", "/tickets/:import", project(documents))
        asked = {"modelLabel": "m 1", "trainingConfigVersion": "latest", "evaluationOptions": {"kind": "manual"}}
        link = send(served, "POST", "/tickets/:train", asked).headers["Operation-Location"]
        state = until(served, link, "succeeded", "failed")
        assert state["status"] == "succeeded", state
        model = send(served, "GET", "/tickets/models/m%201").json()
        assert (model["label"], model["modelId"]) == ("m 1", state["jobId"])
        found = send(served, "GET", "/tickets/models/m%201/evaluation/summary-result").json()
        figures = found["customSingleLabelClassificationEvaluation"]
        right = sum(counts["truePositiveCount"] for counts in figures["classes"].values())
        assert figures["microF1"] == pytest.approx(right / 30)
        counts = figures["classes"]["food"]
        assert counts["truePositiveCount"] + counts["falseNegativeCount"] == 10
        assert sum(cell["rawValue"] for row in figures["confusionMatrix"].values() for cell in row.values()) == 30
        assert sum(cell["normalizedValue"] for cell in figures["confusionMatrix"]["food"].values()) == pytest.approx(
            100
        )
        started = send(served, "PUT", "/tickets/deployments/production", {"trainedModelLabel": "m 1"})
        until(served, started.headers["Operation-Location"], "succeeded")
        out = {"out": str(tmp_path / "exit"), "endpoint": served.url, "project": "tickets"}
        taken = take(LeaveAzure(action=LeaveAction.take, texts=str(place.texts / "tickets"), **out))
        assert taken.sentences[0] == (
            "Taken: 90 tagged documents of 3 classes, 30 test documents, 1 trained model, 1 deployment."
        )
        assert len(taken.folder.answers("test").read_text().splitlines()) == 30
        assert import_project(LeaveAzure(action=LeaveAction.import_, **out)).splits == {"test": 30, "train": 60}
