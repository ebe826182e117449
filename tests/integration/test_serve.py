"""The service over HTTP: keys, limits, errors, requests in flight, reloads."""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tagsmith.classify.classifier import Classifier
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.serve.answers import Answer, Call
from tagsmith.serve.logs import JsonLines
from tests.bundles import make_bundle
from tests.conftest import make_documents
from tests.serving import KEY, Served, serving

CAT = "the cat and the dog"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "production": make_bundle(folder / "v3"),
        "staging": make_bundle(folder / "v4", vote=3.0),
        "tags": make_bundle(folder / "tags", multi_label=True),
    }


@pytest.fixture(scope="module")
def served(bundles: dict[str, Path]) -> Iterator[Served]:
    with serving(bundles, keys=("first-key", KEY), max_body_mib=0.05, max_documents=40, max_characters=2000) as running:
        yield running


class Slow:
    """Blocks the encoder of a deployment until `go_on` is set; records its texts."""

    def __init__(self, served: Served, name: str = "production"):
        batcher = served.service.deployments.by_name[name].model.batcher
        self._calls, self.texts = batcher._calls, []  # type: ignore[var-annotated]
        self.go_on, self.begun = threading.Event(), threading.Event()
        batcher._calls = self
        self.batcher = batcher

    def __call__(self, texts: list[str]) -> list[Call]:
        return [Call(call.documents, partial(self._answers, texts, call)) for call in self._calls(texts)]

    def _answers(self, texts: list[str], call: Call) -> list[Answer]:
        self.begun.set()
        assert self.go_on.wait(20)
        self.texts += [texts[i] for i in call.documents]
        return call.answers()

    def until(self, waiting: int) -> None:
        for _ in range(1000):
            if self.batcher.waiting == waiting:
                return
            time.sleep(0.005)
        raise AssertionError(f"{self.batcher.waiting} wait, not {waiting}")


def test_answers_are_those_of_the_classifier(served: Served, bundles: dict[str, Path]) -> None:
    texts = [str(record["text"]) for record in make_documents(30, multi_label=False)]
    for name in ("production", "tags"):
        classifier = Classifier.load(bundles[name])
        scores, predictions = classifier.predict_proba(texts), classifier.predict(texts)
        decided = [list(found.labels) if name == "tags" else found.label for found in predictions]
        with ThreadPoolExecutor(8) as pool:  # Alone and together: the other documents of a batch change nothing.
            bodies = [{"texts": [text], "deployment": name} for text in texts]
            alone = list(pool.map(lambda body: served.post("/classify", json=body), bodies))
        together = served.post("/classify", json={"texts": texts, "deployment": name}).json()
        assert [answer.json()["documents"][0] for answer in alone] == together["documents"]
        field = "labels" if name == "tags" else "label"
        assert [document[field] for document in together["documents"]] == decided
        for document, row in zip(together["documents"], scores, strict=True):
            assert list(document["scores"].values()) == pytest.approx(row.tolist(), abs=1e-5)
        assert (together["project"], together["deployment"]) == ("news", name)


def test_only_a_valid_key_is_accepted(served: Served) -> None:
    import requests

    for headers in ({"Ocp-Apim-Subscription-Key": "first-key"}, {"Authorization": f"Bearer {KEY}"}):
        assert requests.get(served.url + "/info", headers=headers).status_code == 200
    wrong: list[dict[str, Any]] = [
        {},
        {"Ocp-Apim-Subscription-Key": "wrong"},
        {"Ocp-Apim-Subscription-Key": ""},
        {"Ocp-Apim-Subscription-Key": "wrong", "Authorization": f"Bearer {KEY}"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        {"Ocp-Apim-Subscription-Key": b"\xff\xfe"},
    ]
    for headers in wrong:
        for place in ("/info", "/metrics", "/deployments", "/openapi.json", "/v2", "/no/such/place"):
            assert requests.get(served.url + place, headers=headers).status_code == 401, (headers, place)
        for place in ("/predict", "/", "/classify", "/v2/models/production/infer"):
            assert requests.post(served.url + place, json={"inputs": CAT}, headers=headers).status_code == 401
    for place in ("/health", "/v2/health/live", "/v2/health/ready", "/"):
        assert requests.get(served.url + place).status_code == 200


def test_without_keys_other_host_names_are_refused(bundles: dict[str, Path]) -> None:
    with serving({"production": bundles["production"]}, keys=()) as running:
        assert running.get("/info", headers={"Ocp-Apim-Subscription-Key": ""}).status_code == 200
        rebound = running.get("/info", headers={"Host": "evil.example:8765"})
        assert rebound.status_code == 403


@pytest.mark.parametrize(
    ("place", "body", "status"),
    [
        ("/predict", b"", 400),
        ("/predict", b"{", 400),
        ("/predict", b"\xff\xfe", 400),
        ("/predict", b'{"inputs": "\\ud800"}', 400),
        ("/predict", b"[" * 20_000, 400),
        ("/predict", b"{}", 422),
        ("/predict", b'{"inputs": 7}', 422),
        ("/predict", b'{"inputs": NaN}', 422),
        ("/predict", b'{"inputs": []}', 422),
        ("/predict", b'{"inputs": ""}', 422),
        ("/predict", b'{"inputs": " \\n"}', 422),
        ("/predict", b'{"inputs": "a", "raw_scores": "yes"}', 422),
        ("/predict", b'{"inputs": ["a", "b"]}', 422),
        ("/predict", b'{"inputs": [["a", "b"]]}', 422),
        ("/predict", b'{"inputs": [[]]}', 422),
        ("/predict?deployment=nowhere", b'{"inputs": "a"}', 404),
        ("/predict", json.dumps({"inputs": "a" * 2001}).encode(), 413),
        ("/predict", json.dumps({"inputs": [["a"]] * 41}).encode(), 413),
        ("/predict", b'{"inputs": "' + b"a" * 200_000 + b'"}', 413),
        ("/classify", b'{"texts": []}', 422),
        ("/classify", b'{"texts": "a"}', 422),
        ("/classify", b'{"texts": ["a"], "deploymnt": "staging"}', 422),
        ("/v2/models/nowhere/infer", b"{}", 404),
        ("/v2/models/production/infer", b"{}", 400),
        ("/no/such/place", b"{}", 404),
    ],
)
def test_errors_have_the_envelope_of_their_wire(served: Served, place: str, body: bytes, status: int) -> None:
    answer = served.post(place, data=body)
    assert answer.status_code == status
    content = answer.json()
    assert isinstance(content["error"], str)
    assert content["error_type"]
    assert answer.headers["content-type"] == "application/json"


def test_methods_and_encodings(served: Served) -> None:
    wrong = served.get("/predict")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert served.post("/predict", data=b"x", headers={"Content-Encoding": "gzip"}).status_code == 415
    assert served.get("/info/").status_code == 404


def test_a_bug_is_disclosed_only_in_the_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    model = served.service.deployments.by_name["staging"].model
    before = model.batcher._calls

    def fail(texts: list[str]) -> list[Call]:
        raise ValueError(f"/home/somebody: {texts}")

    logging.getLogger("tagsmith").propagate = True
    model.batcher._calls = fail
    try:
        answer = served.post("/predict?deployment=staging", json={"inputs": "a most secret text"})
        job = served.post("/language/analyze-text/jobs?api-version=2023-04-01", data=b"{")
    finally:
        model.batcher._calls = before
    assert answer.status_code == 500
    assert answer.json() == {"error": "The service could not answer; see its log.", "error_type": "Backend"}
    assert job.json()["error"]["code"] == "InvalidRequest"
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    bug = next(line for line in lines if line["level"] == "error")
    assert bug["message"] == "unexpected error: ValueError"
    assert any("test_serve.py" in frame for frame in bug["stack"])
    assert "secret" not in json.dumps(lines)
    assert "somebody" not in json.dumps(lines)


def test_the_log_says_why_a_request_was_refused(bundles: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("tagsmith").propagate = True

    async def thread() -> int:
        return threading.get_ident()

    # A separate server, which stops after its lines are written; lines of other servers may come late.
    with caplog.at_level(logging.INFO, "tagsmith"), serving(bundles, max_documents=40) as running:
        own = running.run(thread())
        running.post("/predict", json={"inputs": [["a secret"]] * 41})
        running.post("/predict", json={"inputs": "a secret", "secret": 7, "raw_scores": "secret"})
        wrong = {"Ocp-Apim-Subscription-Key": "wrong"}
        running.http.post(f"{running.url}/predict", json={"inputs": "a"}, headers=wrong)
        running.post("/predict", json={"inputs": CAT})
    asked = [record for record in caplog.records if record.getMessage() == "request" and record.thread == own]
    lines = [json.loads(JsonLines().format(record)) for record in asked]
    assert {line["status"]: line.get("reason") for line in lines} == {
        413: "Expected at most 40 documents in one request, found 41.",
        422: "The body is not valid",
        401: "Access denied: no valid key in Ocp-Apim-Subscription-Key or Authorization: Bearer.",
        200: None,
    }
    assert len(lines) == 4
    assert "secret" not in json.dumps(lines)


def test_texts_are_logged_only_on_request(bundles: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("tagsmith").propagate = True
    with caplog.at_level(logging.INFO, "tagsmith"), serving(bundles, log_texts=True) as running:
        running.post("/predict", json={"inputs": CAT})
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    (line,) = (line for line in lines if line["message"] == "classified")
    assert (line["text"], line["classes"], line["deployment"]) == (CAT, ["animals"], "production")


def test_a_full_queue_answers_429(bundles: dict[str, Path]) -> None:
    with serving({"production": bundles["production"]}, queue_documents=3, max_documents=3, threads=1) as running:
        slow = Slow(running)
        with ThreadPoolExecutor(8) as pool:
            first = pool.submit(running.post, "/predict", json={"inputs": CAT})
            assert slow.begun.wait(10)
            waiting = pool.submit(running.post, "/predict", json={"inputs": [[CAT]] * 3})
            slow.until(3)
            refused = running.post("/predict", json={"inputs": CAT})
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json()["error_type"] == "Overloaded"
            slow.go_on.set()
            assert [first.result().status_code, waiting.result().status_code] == [200, 200]
        assert 'tagsmith_queue_full_total{deployment="production"} 1.0' in running.get("/metrics").text


def test_documents_of_a_disconnected_client_are_not_classified(bundles: dict[str, Path]) -> None:
    with serving({"production": bundles["production"]}, threads=1) as running:
        slow = Slow(running)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(running.post, "/predict", json={"inputs": "first"})
            assert slow.begun.wait(10)
            body = json.dumps({"inputs": [["gone"]] * 5}).encode()
            head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            with socket.create_connection(("127.0.0.1", running.port)) as client:
                client.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
                slow.until(5)
            slow.until(0)
            slow.go_on.set()
            assert first.result().status_code == 200
        assert slow.texts == ["first"]
        assert 'tagsmith_abandoned_documents{deployment="production"} 5.0' in running.get("/metrics").text


def test_a_request_that_takes_too_long_gets_503(bundles: dict[str, Path]) -> None:
    with serving({"production": bundles["production"]}, max_seconds=0.3) as running:
        slow = Slow(running)
        late = running.post("/predict", json={"inputs": CAT})
        assert (late.status_code, late.json()["error_type"]) == (503, "Unhealthy")
        assert late.headers["retry-after"] == "1"
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 99\r\n"
            client.sendall(head.encode() + b"\r\n{")
            assert client.recv(100).startswith(b"HTTP/1.1 408")
        slow.go_on.set()


@pytest.mark.slow
def test_the_head_of_a_request_is_limited(bundles: dict[str, Path]) -> None:
    """Otherwise a client without a key could fill the memory with headers, or keep connections open."""
    with serving({"production": bundles["production"]}, max_seconds=0.5) as running:
        for words in (b"GET /health HTTP/1.1\r\nX-A: ", b"GET /"):
            with socket.create_connection(("127.0.0.1", running.port)) as client:
                client.settimeout(10)
                client.sendall(words)
                with pytest.raises(OSError):  # noqa: PT011
                    client.sendall(b"a" * (64 << 20))
        for words in (b"", b"GET /health HTTP/1.1\r\n"):
            with socket.create_connection(("127.0.0.1", running.port)) as client:
                client.settimeout(10)
                client.sendall(words)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(100) == b""
        whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 9000 + b"\r\n\r\n"
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            for _ in range(20):  # One connection, many requests: the limits hold for each.
                client.sendall(whole)
                answer = b""
                while not answer.endswith(b'{"status":"ok"}'):
                    part = client.recv(10_000)
                    assert part
                    answer += part
                assert answer.startswith(b"HTTP/1.1 200")


def test_a_bundle_is_replaced_while_requests_are_in_flight(tmp_path: Path) -> None:
    make_bundle(tmp_path / "v1")
    make_bundle(tmp_path / "v2", vote=5.0)
    link = tmp_path / "current"
    link.symlink_to("v1")
    with serving({"production": link}, watch_seconds=0.05) as running:
        deployment = running.service.deployments.by_name["production"]
        versions, bad, stop = set(), [], threading.Event()

        def load() -> None:
            while not stop.is_set():
                answer = running.post("/classify", json={"texts": [CAT]})
                versions.add(answer.json().get("version"))
                score = answer.json()["documents"][0]["scores"]["animals"]
                if answer.status_code != 200 or (score > 0.99) != (
                    answer.json()["version"] == deployment.model.version
                ):
                    bad.append(answer.text)

        first = deployment.model.version
        slow = Slow(running)  # This request uses the old bundle while the new one is loaded.
        with ThreadPoolExecutor(5) as pool:
            held = pool.submit(running.post, "/classify", json={"texts": [CAT]})
            assert slow.begun.wait(10)
            (tmp_path / "next").symlink_to("v2")
            (tmp_path / "next").rename(link)
            for _ in range(400):
                if deployment.model.version != first:
                    break
                time.sleep(0.02)
            loads = [pool.submit(load) for _ in range(3)]
            time.sleep(0.2)
            slow.go_on.set()
            assert held.result().json()["version"] == first
            time.sleep(0.2)
            stop.set()
            for done in loads:
                done.result()
        assert bad == []
        assert versions == {deployment.model.version}
        assert not any(thread.is_alive() for thread in slow.batcher._threads)


def test_a_broken_new_bundle_is_refused_and_the_old_one_stays_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = make_bundle(tmp_path / "v1")
    logging.getLogger("tagsmith").propagate = True
    with serving({"production": bundle}) as running:
        about = running.get("/info").json()
        version, engine = about["model_sha"], about["engine"]
        assert (about["model_dtype"], engine["name"], engine["precision"]) == ("float32", "onnxruntime", "fp32")
        assert engine["reason"]
        assert running.get("/deployments").json()["deployments"][0]["engine"] == engine
        line = f'engine="onnxruntime",instructions="{engine["instructions"]}",precision="fp32"'
        assert line in running.get("/metrics").text
        graph = bundle / "onnx" / "model.onnx"
        whole = graph.read_bytes()
        graph.write_bytes(whole[:-5])
        assert running.run(running.service.deployments.reload("production")) is False
        assert running.post("/predict", json={"inputs": CAT}).status_code == 200
        assert running.get("/info").json()["model_sha"] == version
        assert running.get("/deployments").json()["deployments"][0]["newer_refused"] is True
        assert 'tagsmith_reloads_total{deployment="production",result="refused"} 1.0' in running.get("/metrics").text
        assert "new bundle refused" in caplog.text
        assert "onnx/model.onnx: changed" in caplog.text
        graph.write_bytes(whole)
        assert running.run(running.service.deployments.reload("production")) is True
        assert running.get("/deployments").json()["deployments"][0]["newer_refused"] is False


def test_all_bundles_that_cannot_be_served_are_reported(tmp_path: Path) -> None:
    broken = make_bundle(tmp_path / "broken")
    (broken / "schema.json").write_text("{}")
    with pytest.raises(InputMissing, match="is not a bundle"), serving({"production": tmp_path / "nowhere"}):
        pass
    with pytest.raises(DataError) as refused, serving({"a": broken, "b": tmp_path / "nowhere"}):
        pass
    assert "a: " in str(refused.value)
    assert "b: " in str(refused.value)
    unsure = make_bundle(tmp_path / "unsure", start=float("nan"))
    with pytest.raises(DataError, match="the logits are not finite numbers"), serving({"a": unsure}):
        pass


def test_shutdown_answers_requests_in_flight(bundles: dict[str, Path]) -> None:
    with ThreadPoolExecutor(1) as pool:
        with serving({"production": bundles["production"]}) as running:
            slow = Slow(running)
            held = pool.submit(running.post, "/predict", json={"inputs": CAT})
            assert slow.begun.wait(10)
            running.server.should_exit = True
            time.sleep(0.3)
            slow.go_on.set()
        assert held.result().status_code == 200


def test_metrics_and_drift(tmp_path: Path) -> None:
    reference = {
        "split": "test",
        "documents": 200,
        "other_classes": 0.0,
        "classes": {"animals": 0.5, "food": 0.5},
        "score": {"edges": [0.5], "shares": [0.0, 1.0]},
        "tokens": {"edges": [8, 16], "shares": [1.0, 0.0, 0.0]},
    }
    bundle = make_bundle(tmp_path / "b", max_tokens=12, reference=reference)
    with serving({"production": bundle}) as running:
        assert "tagsmith_drift_psi{" not in running.get("/metrics").text
        running.post("/predict", json={"inputs": [["the cat and the dog"]] * 60 + [["the soup and the rice"]] * 60})
        running.post("/predict", json={"inputs": "cat " * 20})
        lines: dict[str, str] = {}
        until, documents = time.monotonic() + 10, 'tagsmith_batch_documents_sum{deployment="production"}'
        while lines.get(documents) != "121.0" and time.monotonic() < until:  # Counted after the response.
            text = running.get("/metrics").text
            lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        drift = {
            of: float(lines[f'tagsmith_drift_psi{{deployment="production",of="{of}"}}'])
            for of in ("class", "score", "tokens")
        }
        assert drift["class"] < 0.01
        assert drift["score"] == 0
        assert 0 < drift["tokens"] < 0.1
        assert float(lines['tagsmith_predictions_total{class="animals",deployment="production"}']) == 61
        assert float(lines['tagsmith_truncated_documents_total{deployment="production"}']) == 1
        assert float(lines[documents]) == 121
        assert float(lines['tagsmith_requests_total{method="POST",route="/predict",status="200"}']) == 2


def test_the_description_has_no_dangling_references(served: Served) -> None:
    description = served.get("/openapi.json").json()
    text = json.dumps(description)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in description["components"]["schemas"]
    assert "/v2/models/{name}/versions/{version}/infer" in description["paths"]
