"""An exported bundle has a reference, with which the service reports drift."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagsmith.classify.bundle.reference import Reference
from tagsmith.config.settings import ExportRun
from tagsmith.export import export_run
from tests.conftest import TOPICS, make_documents
from tests.integration.conftest import Made, same_graph
from tests.serving import Served, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def served(made: Made) -> Iterator[Served]:
    with serving({"production": made[2]}, drift_documents=300) as running:
        yield running


def drift_after(served: Served, texts: list[str]) -> dict[str, float]:
    before = counted(served)
    assert served.post("/classify", json={"texts": texts}).status_code == 200
    until = time.monotonic() + 10
    while counted(served) < before + len(texts) and time.monotonic() < until:
        pass  # Counted after the response.
    head = 'tagsmith_drift_psi{deployment="production",of="'
    lines = [line.removeprefix(head) for line in served.get("/metrics").text.splitlines() if line.startswith(head)]
    return {name: float(value) for name, value in (line.split('"} ') for line in lines)}


def counted(served: Served) -> float:
    lines = served.get("/metrics").text.splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith("tagsmith_batch_documents_sum")] or ["0"]
    return float(found)


def test_drift_of_similar_and_of_other_documents(served: Served, made: Made) -> None:
    run, _, bundle = made
    reference = Reference.load(bundle / "reference.json")
    assert reference is not None
    assert (reference.split, reference.documents) == ("test", 150)
    assert "reference.json" in json.loads((bundle / "manifest.json").read_text())["files"]
    lines = run.predictions.read_text().splitlines()
    tested = [json.loads(line)["text"] for line in lines]
    # The same documents, twice: no drift.
    assert drift_after(served, tested) == pytest.approx({"class": 0, "score": 0, "tokens": 0}, abs=1e-3)
    (listed,) = served.get("/deployments").json()["deployments"]
    accuracy = json.loads(run.evaluation.read_text())["accuracy"]
    assert listed["test"]["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert listed["seen"]["accuracy"]["value"] == pytest.approx(accuracy, abs=0.02)
    assert listed["seen"]["accuracy"]["low"] <= accuracy <= listed["seen"]["accuracy"]["high"]
    assert (listed["seen"]["documents"], listed["seen"]["trusted"], listed["attention"]) == (150, True, [])
    new = [str(record["text"]) for record in make_documents(300, multi_label=False, seed=9)]
    like_it = drift_after(served, new)
    assert set(like_it) == {"class", "score", "tokens"}
    assert max(like_it.values()) < 0.1
    draw = random.Random(0)
    one_topic = [" ".join(draw.choices(TOPICS["animals"], k=40)) for _ in range(300)]
    moved = drift_after(served, one_topic)
    assert moved["class"] > 0.25
    (listed,) = served.get("/deployments").json()["deployments"]
    assert listed["seen"]["trusted"] is False
    assert "drift.class" in [one["figure"] for one in listed["attention"]]
    lines = served.get("/metrics").text.splitlines()
    assert 'tagsmith_expected_trusted{deployment="production"} 0.0' in lines
    assert 'tagsmith_attention{deployment="production",figure="drift.class"} 1.0' in lines
    values = [float(line.split()[1]) for line in lines if line.startswith("tagsmith_expected_accuracy{")]
    assert len(values) == 3
    assert min(values) >= 0
    assert max(values) <= 1
    assert moved["tokens"] > 0.25


def test_no_reference_for_too_few_documents(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _, whole = made
    same_graph(whole, monkeypatch)
    monkeypatch.setattr(export_run, "DOCUMENTS", 151)
    bundle = export_run.export(ExportRun(run=str(run.path), bundle=str(tmp_path / "bundle")))
    assert not (bundle / "reference.json").exists()
    reason = "150 test documents are fewer than the 151 needed"
    assert json.loads((bundle / "manifest.json").read_text())["left_out"]["reference.json"] == reason
    assert f"Left out: reference.json, because {reason}." in (bundle / "README.md").read_text()
