"""The contract of SageMaker for containers, by plain HTTP as SageMaker sends it."""

import csv
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import ServeSettings
from tagsmith.core.errors import SettingsError
from tagsmith.serve.logs import JsonLines
from tagsmith.serve.service import serve
from tests.bundles import make_bundle
from tests.serving import KEY, Served, serving

TEXTS = ["the cat and the dog", "soup with rice", 'a "hammer", near\nthe saw']
JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return {"production": make_bundle(folder / "single"), "tags": make_bundle(folder / "tags", multi_label=True)}


@pytest.fixture(scope="module")
def served(bundles: dict[str, Path]) -> Iterator[Served]:
    with serving(bundles, max_documents=40) as running:
        yield running


def invoke(
    served: Served, content: str | bytes, kind: str | None, query: str = "", **headers: str
) -> requests.Response:
    content = content.encode() if isinstance(content, str) else content
    types = {} if kind is None else {"Content-Type": kind}
    return served.post(f"/invocations{query}", data=content, headers={**types, **headers})


def test_ping_is_empty_and_needs_no_key(served: Served) -> None:
    answer = requests.get(f"{served.url}/ping", timeout=30)
    assert (answer.status_code, answer.content) == (200, b"")


def test_json_has_the_answer_of_hugging_faces_container_and_everything_else(
    served: Served, bundles: dict[str, Path]
) -> None:
    classifier = Classifier.load(bundles["production"])
    scores = classifier.predict_proba(TEXTS)
    batch = invoke(served, json.dumps({"inputs": TEXTS}), JSON)
    assert batch.headers["content-type"] == JSON
    assert [entry["label"] for entry in batch.json()] == [classifier.classes[i] for i in scores.argmax(axis=1)]
    assert np.allclose([entry["score"] for entry in batch.json()], scores.max(axis=1), atol=1e-5)
    assert {"scores", "to_person", "tokens"} <= batch.json()[0].keys()
    alone = invoke(served, json.dumps({"inputs": TEXTS[0]}), None)
    assert alone.json() == batch.json()[:1]
    assert invoke(served, json.dumps({"inputs": TEXTS}), "application/x-www-form-urlencoded").json() == batch.json()
    assert invoke(served, json.dumps({"instances": TEXTS}), JSON).json() == batch.json()


def test_a_multi_label_bundle_has_its_labels_and_the_best_one(served: Served, bundles: dict[str, Path]) -> None:
    [entry] = invoke(served, json.dumps({"inputs": TEXTS[0]}), JSON, "?deployment=tags").json()
    assert entry["labels"] == list(Classifier.load(bundles["tags"]).predict(TEXTS[:1])[0].labels)
    assert entry["score"] == max(entry["scores"].values()) == entry["scores"][entry["label"]]


@pytest.mark.parametrize("more", [{"top_k": 2}, {"top_k": None}, {"return_all_scores": True}])
def test_parameters_ask_for_several_classes(served: Served, more: dict[str, Any]) -> None:
    alone = invoke(served, json.dumps({"inputs": TEXTS[0], "parameters": {**more, "truncation": True}}), JSON).json()
    assert len(alone) == (2 if more == {"top_k": 2} else 3)
    assert [list(entry) for entry in alone] == [["label", "score"]] * len(alone)
    assert alone[0]["score"] >= alone[1]["score"]
    batch = invoke(served, json.dumps({"inputs": [TEXTS[0]] * 2, "parameters": more}), JSON).json()
    assert batch == [alone, alone]


def test_the_function_may_be_named(served: Served, bundles: dict[str, Path]) -> None:
    body = {"inputs": TEXTS[0], "parameters": {"function_to_apply": "none"}}
    [entry] = invoke(served, json.dumps(body), JSON).json()
    assert entry["score"] == pytest.approx(
        float(Classifier.load(bundles["production"]).logits(TEXTS[:1]).max()), abs=1e-4
    )


@pytest.mark.parametrize("field", ["inputs", "text", "source"])
@pytest.mark.parametrize("kind", [LINES, "application/jsonl", "application/x-ndjson; charset=utf-8"])
def test_each_json_line_has_a_line_as_answer(served: Served, field: str, kind: str) -> None:
    lines = "\ufeff" + "".join(json.dumps({field: text, "id": 7}) + "\r\n" for text in TEXTS)
    answer = invoke(served, lines, kind)
    assert answer.headers["content-type"] == LINES
    expected = invoke(served, json.dumps({"inputs": TEXTS}), JSON).json()
    assert [json.loads(line) for line in answer.text.splitlines()] == expected


@pytest.mark.parametrize("header", [None, "inputs", "text"])
def test_each_csv_row_has_a_row_as_answer(served: Served, header: str | None) -> None:
    table = io.StringIO()
    csv.writer(table).writerows([[text] for text in ([header] if header else []) + TEXTS])
    answer = invoke(served, table.getvalue(), CSV)
    assert answer.headers["content-type"] == CSV + "; charset=utf-8"
    rows = list(csv.reader(io.StringIO(answer.text)))
    if header:
        assert rows.pop(0) == ["label", "score"]
    expected = invoke(served, json.dumps({"inputs": TEXTS}), JSON).json()
    assert rows == [[entry["label"], f"{entry['score']:.6f}"] for entry in expected]


def test_a_csv_row_of_a_multi_label_bundle_joins_its_labels(served: Served, bundles: dict[str, Path]) -> None:
    [[labels, _]] = csv.reader(io.StringIO(invoke(served, "the cat likes soup", CSV, "?deployment=tags").text))
    assert labels == "|".join(Classifier.load(bundles["tags"]).predict(["the cat likes soup"])[0].labels)


@pytest.mark.parametrize(
    ("kind", "accept", "answered"),
    [
        (JSON, "*/*", JSON),
        (JSON, LINES, LINES),
        (JSON, "text/csv", CSV),
        (CSV, "application/json;verbose", JSON),
        (LINES, "text/html, application/jsonlines;q=0.5", LINES),
        (LINES, "application/x-ndjson", LINES),
    ],
)
def test_accept_names_the_format_of_the_answer(served: Served, kind: str, accept: str, answered: str) -> None:
    content = {JSON: json.dumps({"inputs": "the cat"}), LINES: '{"text": "the cat"}', CSV: "the cat"}[kind]
    answer = invoke(served, content, kind, Accept=accept)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, answered)


@pytest.mark.parametrize(
    ("content", "kind", "status", "what"),
    [
        ("{", JSON, 400, "not JSON"),
        ("{}", JSON, 422, "inputs"),
        ('{"inputs": []}', JSON, 422, "inputs"),
        ('{"inputs": " "}', JSON, 422, "Document 0 is empty"),
        ('{"inputs": "a", "parameters": {"top_k": 0}}', JSON, 422, "top_k"),
        ("[\n" * 41, LINES, 413, "at most 40 documents"),
        ("", LINES, 422, "no documents"),
        ("", CSV, 422, "no documents"),
        ("inputs\n", CSV, 422, "no documents"),
        ("a,b", CSV, 422, "Row 1: expected one field, the text in quotation marks, found 2."),
        ('a\n"b', CSV, 422, "not valid CSV"),
        (b"\xff", CSV, 400, "not CSV in UTF-8"),
        ("a\n" * 41, CSV, 413, "at most 40 documents"),
        ("a", "image/png", 415, "Expected the content type"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    served: Served, content: str | bytes, kind: str, status: int, what: str
) -> None:
    answer = invoke(served, content, kind)
    assert answer.status_code == status
    assert what in answer.json()["error"]


def test_a_bad_json_line_has_an_error_as_answer(served: Served) -> None:
    lines = ['{"text": ""}', '{"text": "the cat"}', "[", '{"txt": "b"}', '{"text": 7}', '{"text": "soup"}']
    content = "\n\n".join(lines) + "\n"
    answers = [json.loads(line) for line in invoke(served, content, LINES).text.splitlines()]
    assert [answer.get("label", answer.get("error", "")[:30]) for answer in answers] == [
        "Document 0 is empty.",
        "animals",
        "The body is not JSON in UTF-8.",
        "The body is not valid",
        "The body is not valid",
        "food",
    ]
    assert invoke(served, content, LINES, Accept=JSON).json() == answers
    assert [json.loads(line) for line in invoke(served, lines[0], LINES).text.splitlines()] == answers[:1]
    refused = invoke(served, content, LINES, Accept=CSV)
    assert (refused.status_code, refused.json()["error"]) == (422, "Document 0 is empty.")


def test_an_unknown_format_of_the_answer_is_refused(served: Served) -> None:
    assert invoke(served, "a", CSV, Accept="image/png").status_code == 406


def test_a_long_document_in_csv_is_read(served: Served) -> None:
    assert invoke(served, "the cat " * 20_000, CSV).status_code == 200


def test_without_the_setting_invocations_need_a_key(served: Served) -> None:
    assert requests.post(f"{served.url}/invocations", json={"inputs": "a"}, timeout=30).status_code == 401


@pytest.mark.parametrize("keys", [(), (KEY,)])
def test_sagemaker_needs_no_key_and_reaches_nothing_else(bundles: dict[str, Path], keys: tuple[str, ...]) -> None:
    host = {"Host": "model.aws.local:8080"}
    with serving({"production": bundles["production"]}, keys=keys, sagemaker=True) as running:
        assert requests.get(f"{running.url}/ping", headers=host, timeout=30).status_code == 200
        sent = requests.post(f"{running.url}/invocations", json={"inputs": "a cat"}, headers=host, timeout=30)
        assert sent.status_code == 200
        for headers in (host, {"Host": "localhost"}):
            for place in ("/info", "/metrics", "/deployments", "/v1/models", "/ping/x"):
                refused = requests.get(running.url + place, headers=headers, timeout=30)
                assert refused.status_code == (401 if keys else 403), (place, headers)
            for place in ("/predict", "/classify"):
                refused = requests.post(running.url + place, json={"inputs": "a"}, headers=headers, timeout=30)
                assert refused.status_code == (401 if keys else 403), (place, headers)


def test_the_log_holds_no_text(bundles: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("tagsmith").propagate = True
    with caplog.at_level(logging.INFO, "tagsmith"), serving(bundles) as running:
        for content, kind in (('"secret" secret\n', CSV), ("secret,secret\n", CSV), ('{"secret": "secret"', JSON)):
            assert invoke(running, content, kind).status_code in (400, 422)
        assert invoke(running, "secret", CSV).status_code == 200
        running.post("/v1/classify", json={"input": ["secret", 7], "model": "secret"})
        running.get("/v1/models/secret")
    # Once each: where the logger propagates, pytest may see a record at two loggers.
    lines = [JsonLines().format(record) for record in dict.fromkeys(caplog.records)]
    assert sum("reason" in json.loads(line) for line in lines) == 5
    assert "secret" not in "".join(lines)


def test_without_keys_only_sagemaker_may_open_the_address(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAGSMITH_API_KEYS", raising=False)
    deployments = {"production": str(bundles["production"])}
    with pytest.raises(SettingsError, match="holds no key"):
        serve(ServeSettings(deployments=deployments, host="0.0.0.0", port=0))
    with pytest.raises(SettingsError, match="cannot listen"):
        serve(ServeSettings(deployments=deployments, host="203.0.113.7", port=8080, sagemaker=True))
