"""Abstention on every wire, in the form that its clients support."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from azure.ai.textanalytics import TextAnalyticsClient
from azure.core.credentials import AzureKeyCredential
from tritonclient.http import InferenceServerClient, InferInput

from tagsmith.classify.classifier import Classifier
from tests.bundles import make_bundle
from tests.serving import KEY, Served, serving

SURE, UNSURE, FOREIGN = "the cat and the dog", "cat cheese", "quarterly earnings restated upwards"
TEXTS = [SURE, UNSURE, FOREIGN]
"""Two votes for one of three classes; one vote each for two classes; only unknown words."""
UNCERTAIN = "The scores are too uncertain; a person should decide."
UNLIKE = "The document is unlike all training documents; a person should decide."


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "production": make_bundle(folder / "single", abstain_below=0.6, scope_limit=0.8),
        # The uncertain one: 0.7311 * 0.7311 * 0.9526 = 0.5091.
        "tags": make_bundle(folder / "tags", True, vote=4.0, start=-3.0, abstain_below=0.45, scope_limit=0.8),
    }


@pytest.fixture(scope="module")
def served(bundles: dict[str, Path]) -> Iterator[Served]:
    with serving(bundles) as running:
        yield running


def test_the_classifier_abstains(bundles: dict[str, Path]) -> None:
    found = Classifier.load(bundles["production"]).predict(TEXTS)
    assert [one.to_person for one in found] == [False, True, True]
    # e^2 / (2 e^2 + 1) for the uncertain one; the foreign one has only unknown words.
    assert found[1].score == pytest.approx(0.468311, abs=1e-5)
    assert found[2].out_of_scope == pytest.approx(1.0)
    assert max(found[0].out_of_scope or 0, found[1].out_of_scope or 0) < 0.8


def test_classify_returns_everything(served: Served) -> None:
    documents = served.post("/classify", json={"texts": TEXTS}).json()["documents"]
    assert [one["to_person"] for one in documents] == [False, True, True]
    assert [one["foreign"] for one in documents] == [False, False, True]
    assert documents[2]["out_of_scope"] == 1.0
    assert documents[0]["label"] == "animals"
    assert {one["set"] for one in documents} == {None}
    several = served.post("/classify", json={"texts": TEXTS, "deployment": "tags"}).json()["documents"]
    assert [one["labels"] for one in several] == [["animals"], ["animals", "food"], []]
    assert [(one["to_person"], one["foreign"]) for one in several] == [(False, False), (False, False), (True, True)]


def test_v2_has_a_tensor_for_it(served: Served) -> None:
    client = InferenceServerClient(f"127.0.0.1:{served.port}")
    tensor = InferInput("text", [3], "BYTES")
    tensor.set_data_from_numpy(np.array(TEXTS, dtype=object))
    result = client.infer("production", [tensor], headers={"Authorization": f"Bearer {KEY}"})
    assert result.as_numpy("to_person").tolist() == [False, True, True]
    assert result.as_numpy("label").tolist()[0] in (b"animals", "animals")  # The predicted class is included.
    assert result.as_numpy("predicted").sum(axis=1).tolist() == [1, 1, 1]
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2022-05-01", "2023-04-01"])
def test_azure_warns(served: Served, version: str) -> None:
    client = TextAnalyticsClient(served.url, AzureKeyCredential(KEY), api_version=version)
    found = list(client.begin_single_label_classify(TEXTS, "news", "production").result())
    warnings = [[(warning.code, warning.message) for warning in one.warnings] for one in found]
    assert warnings == [[], [("LeftToPerson", UNCERTAIN)], [("LeftToPerson", UNLIKE)]]
    assert [len(one.classifications) for one in found] == [1, 1, 1]  # A client of Azure expects one.
    several = list(client.begin_multi_label_classify(TEXTS, "news", "tags").result())
    assert [[warning.message for warning in one.warnings] for one in several] == [[], [], [UNLIKE]]
    assert several[2].classifications == []


def test_text_embeddings_inference_has_only_scores(served: Served) -> None:
    for text in TEXTS:
        found = served.post("/predict", json={"inputs": text}).json()
        assert [set(entry) for entry in found] == [{"label", "score"}] * 3
        assert sum(entry["score"] for entry in found) == pytest.approx(1)


def test_the_metrics_count_abstentions(bundles: dict[str, Path]) -> None:
    with serving(bundles) as running:
        running.post("/classify", json={"texts": [*TEXTS, FOREIGN]})
        until, lines = time.monotonic() + 10, {}
        while lines.get('tagsmith_batch_documents_sum{deployment="production"}') != "4.0" and time.monotonic() < until:
            text = running.get("/metrics").text
            lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        assert lines['tagsmith_to_person_total{deployment="production"}'] == "3.0"
        assert lines['tagsmith_out_of_scope_documents_total{deployment="production"}'] == "2.0"
