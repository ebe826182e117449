"""Traces of requests: their attributes, without any text."""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tagsmith.core.errors import SettingsError
from tagsmith.serve.traces import Traces, traces_from_environment
from tests.bundles import make_bundle
from tests.integration.test_serve import Slow
from tests.serving import serving

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk: pip install 'tagsmith[otel]'")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

SECRET = "a most secret cat"


@pytest.fixture
def kept() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(kept: InMemorySpanExporter) -> Traces:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return Traces(provider.get_tracer("tests"))


def spans_of(kept: InMemorySpanExporter, count: int) -> list[Any]:
    until = time.monotonic() + 10
    while len(kept.get_finished_spans()) < count and time.monotonic() < until:
        time.sleep(0.01)  # A span ends after the response.
    found = list(kept.get_finished_spans())
    assert len(found) == count
    return found


def test_a_request_is_a_span_with_its_batch(traces: Traces, kept: InMemorySpanExporter, tmp_path: Path) -> None:
    with serving({"production": make_bundle(tmp_path / "b")}, traces=traces) as running, ThreadPoolExecutor(4) as pool:
        slow = Slow(running)
        first = pool.submit(running.post, "/classify", json={"texts": [SECRET]})
        assert slow.begun.wait(10)
        others = [pool.submit(running.post, "/classify", json={"texts": [SECRET] * n}) for n in (1, 2)]
        slow.until(3)
        time.sleep(0.2)
        slow.go_on.set()
        assert {one.result().status_code for one in (first, *others)} == {200}
        spans = spans_of(kept, 3)
    assert {span.name for span in spans} == {"POST /classify"}
    assert {span.kind.name for span in spans} == {"SERVER"}
    attributes = sorted((dict(span.attributes) for span in spans), key=lambda one: one["tagsmith.batch_documents"])
    assert [one["http.response.status_code"] for one in attributes] == [200] * 3
    # The first was classified alone; the two that waited for it share a batch.
    assert [one["tagsmith.batch_documents"] for one in attributes] == [1, 3, 3]
    assert sorted(one["tagsmith.documents"] for one in attributes) == [1, 1, 2]
    assert attributes[0]["tagsmith.queue_seconds"] < 0.2 <= min(a["tagsmith.queue_seconds"] for a in attributes[1:])
    assert attributes[0]["tagsmith.encoder_seconds"] >= 0.2
    assert "secret" not in "".join(span.to_json() for span in spans)


def test_spans_of_refused_failed_and_unknown_requests(
    traces: Traces, kept: InMemorySpanExporter, tmp_path: Path
) -> None:
    with serving({"production": make_bundle(tmp_path / "b")}, traces=traces) as running:
        trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        running.get("/info", headers=trace)
        running.get(f"/{SECRET}".replace(" ", "-"), headers={"traceparent": "nonsense"})
        running.get("/info", headers={"Ocp-Apim-Subscription-Key": "wrong"})
        running.http.request("PROPFIND", f"{running.url}/info")

        def fail(texts: list[str]) -> list[Any]:
            raise ValueError(SECRET)

        running.service.deployments.by_name["production"].model.batcher._calls = fail
        running.post("/predict", json={"inputs": SECRET})
        info, unknown, closed, strange, bug = spans_of(kept, 5)
    assert f"{info.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{info.parent.span_id:016x}" == "b7ad6b7169203331"
    assert unknown.parent is None
    assert [span.name for span in (info, unknown, closed, strange, bug)] == [
        "GET /info", "GET", "GET", "OTHER /info", "POST /predict",
    ]  # fmt: skip
    statuses = [span.attributes["http.response.status_code"] for span in (unknown, closed, strange, bug)]
    assert statuses == [404, 401, 405, 500]
    assert [span.status.status_code.name for span in (closed, bug)] == ["UNSET", "ERROR"]
    assert "secret" not in "".join(span.to_json() for span in (info, unknown, closed, strange, bug))


class Collector(BaseHTTPRequestHandler):
    """A collector of traces."""

    bodies: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        self.bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        pass


def test_spans_are_sent_to_the_endpoint_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    Collector.bodies = []
    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        with serving({"production": make_bundle(tmp_path / "b")}, traces=traces_from_environment()) as running:
            running.post("/predict", json={"inputs": SECRET})
        collector.shutdown()  # The service has stopped and sent all spans.
    (path, body), *more = Collector.bodies
    assert (path, more) == ("/v1/traces", [])
    assert b"secret" not in body
    sent = ExportTraceServiceRequest.FromString(body).resource_spans[0]
    assert {a.key: a.value.string_value for a in sent.resource.attributes}["service.name"] == "tagsmith"
    assert [span.name for span in sent.scope_spans[0].spans] == ["POST /predict"]


def test_unsupported_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(SettingsError, match="expected http/protobuf, found grpc"):
        traces_from_environment()
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"pip install 'tagsmith\[otel\]'"):
        traces_from_environment()


def test_nothing_is_traced_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with serving({"production": make_bundle(tmp_path / "b")}) as running:
        assert json.loads(running.post("/predict", json={"inputs": SECRET}).text)[0]["label"] == "animals"
        assert running.service.traces is None
