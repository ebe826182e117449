"""A deployment that names a store: not ready while it is empty, then whatever its link `current` leads to."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tagsmith.core.errors import InputMissing
from tagsmith.core.files import digest
from tagsmith.serve.store import Place, place_of
from tests.bundles import make_bundle
from tests.serving import Served, serving

CAT = "the cat and the dog"
JOB = {
    "analysisInput": {"documents": [{"id": "0", "text": CAT}]},
    "tasks": [
        {
            "kind": "CustomSingleLabelClassification",
            "parameters": {"projectName": "news", "deploymentName": "production"},
        }
    ],
}
TENSOR = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [CAT]}]}


def add_version(store: Path, name: str, **bundle: Any) -> Path:
    """A version as a refresh leaves it, with what export writes about its run."""
    made = make_bundle(store / "versions" / name / "bundle", **bundle)
    manifest = json.loads((made / "manifest.json").read_text())
    about = {"run": "run", "training": {"started": "2026-11-29T02:00:00+0000"}}
    (made / "manifest.json").write_text(json.dumps(manifest | about))
    return made


def promote(store: Path, name: str) -> None:
    (store / ".next").symlink_to(Path("versions", name))
    (store / ".next").rename(store / "current")


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def empty(store: Path) -> Iterator[Served]:
    with serving({"production": store}, watch_seconds=0.02) as running:
        yield running


def test_where_the_bundle_lies(tmp_path: Path, store: Path) -> None:
    assert place_of(store) is None
    (store / "lock").touch()
    assert place_of(store) is None
    add_version(store, "0001")
    assert place_of(store) is None
    promote(store, "0001")
    assert place_of(store) == Place((store / "versions" / "0001" / "bundle").resolve(), "0001")
    # A folder that is no store is the bundle itself, whether there is one or not.
    assert place_of(tmp_path / "nowhere") == Place(tmp_path.resolve() / "nowhere")
    bundle = store / "versions" / "0001" / "bundle"
    assert place_of(bundle) == Place(bundle.resolve())


def test_an_empty_store_is_not_ready_on_any_wire(empty: Served) -> None:
    about = "production serves no bundle: its store has no version yet."
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/predict", {"json": {"inputs": CAT}}),
        ("/", {"json": {"inputs": CAT}}),
        ("/classify", {"json": {"texts": [CAT]}}),
        ("/classify", {"json": {"input": CAT}}),
        ("/v1/classify", {"json": {"input": CAT}}),
        ("/invocations", {"json": {"inputs": CAT}}),
        ("/v2/models/production/infer", {"json": TENSOR}),
        ("/language/analyze-text/jobs?api-version=2023-04-01", {"json": JOB}),
    ]
    for place, more in calls:
        answer = empty.post(place, **more)
        assert answer.status_code == 503, (place, answer.text)
        assert answer.headers["retry-after"] == "10"
        error = answer.json()["error"]
        assert (error if isinstance(error, str) else error["message"]) == about
    for place in ("/info", "/ping", "/v2/health/ready", "/v2/models/production", "/v2/models/production/ready"):
        assert empty.get(place).status_code == 503, place
    assert empty.get("/v1/models").json()["data"] == []
    for place in ("/health", "/v2/health/live", "/", "/metrics", "/deployments"):
        assert empty.get(place).status_code == 200, place
    (listed,) = empty.get("/deployments").json()["deployments"]
    assert (listed["name"], listed["ready"], listed["version"], listed["run"]) == ("production", False, None, None)
    assert 'tagsmith_ready{deployment="production"} 0.0' in empty.get("/metrics").text


def test_each_promotion_is_followed(empty: Served, store: Path) -> None:
    first = add_version(store, "0001")
    time.sleep(0.1)
    assert empty.post("/predict", json={"inputs": CAT}).status_code == 503  # Trained, but not promoted.
    promote(store, "0001")
    until(lambda: empty.get("/v2/health/ready").status_code == 200)
    (listed,) = empty.get("/deployments").json()["deployments"]
    assert listed["version"] == digest(first / "manifest.json")[:12]
    assert (listed["store_version"], listed["run"], listed["trained"]) == (
        "0001",
        "0001/run",
        "2026-11-29T02:00:00+0000",
    )
    assert empty.post("/classify", json={"texts": [CAT]}).json()["version"] == listed["version"]
    assert empty.get("/ping").status_code == 200
    line = f'deployment="production",run="0001/run",store_version="0001",version="{listed["version"]}"'
    assert f"tagsmith_bundle_info{{{line}}} 1.0" in empty.get("/metrics").text

    second = add_version(store, "0002", vote=3.0)
    (second / "onnx" / "model.onnx").write_bytes(b"damaged")
    promote(store, "0002")
    until(lambda: empty.get("/deployments").json()["deployments"][0]["newer_refused"])
    assert empty.get("/deployments").json()["deployments"][0]["store_version"] == "0001"
    assert empty.post("/predict", json={"inputs": CAT}).status_code == 200

    add_version(store, "0003", vote=3.0)
    promote(store, "0003")
    until(lambda: empty.get("/deployments").json()["deployments"][0]["store_version"] == "0003")
    promote(store, "0001")  # Rolled back.
    until(lambda: empty.get("/deployments").json()["deployments"][0]["store_version"] == "0001")
    (store / "current").unlink()
    until(lambda: empty.get("/deployments").json()["deployments"][0]["newer_refused"])
    assert empty.post("/predict", json={"inputs": CAT}).status_code == 200


def test_a_first_version_that_is_damaged(empty: Served, store: Path) -> None:
    bundle = add_version(store, "0001")
    graph = (bundle / "onnx" / "model.onnx").read_bytes()
    (bundle / "onnx" / "model.onnx").write_bytes(b"damaged")
    promote(store, "0001")
    until(lambda: empty.get("/deployments").json()["deployments"][0]["newer_refused"])
    answer = empty.post("/predict", json={"inputs": CAT})
    assert (answer.status_code, "refused" in answer.json()["error"]) == (503, True)
    (bundle / "onnx" / "model.onnx").write_bytes(graph)
    assert empty.run(empty.service.deployments.reload("production")) is True
    assert empty.get("/v2/health/ready").status_code == 200


def test_one_deployment_waits_and_the_other_answers(store: Path, tmp_path: Path) -> None:
    with serving({"production": make_bundle(tmp_path / "bundle"), "next": store}) as running:
        assert running.post("/predict", json={"inputs": CAT}).status_code == 200
        assert running.post("/predict?deployment=next", json={"inputs": CAT}).status_code == 503
        assert [one["id"] for one in running.get("/v1/models").json()["data"]] == ["production"]
        assert running.get("/v2/health/ready").status_code == 503
        assert running.get("/v2/models/production/ready").status_code == 200
        running.run(running.service.deployments.reload_all())  # As SIGHUP does.
        listed = running.get("/deployments").json()["deployments"]
        assert [one["newer_refused"] for one in listed] == [False, False]


def test_a_link_that_leads_nowhere_is_an_error_at_the_start(store: Path, tmp_path: Path) -> None:
    (store / "versions").mkdir()
    promote(store, "0001")
    with pytest.raises(InputMissing, match="versions/0001/bundle"), serving({"production": store}):
        pass
    with pytest.raises(InputMissing, match="is not a bundle"), serving({"production": tmp_path / "stroe"}):
        pass
