"""Traces of requests, by OpenTelemetry (the extra `otel`): how long each waited, in how large a batch it travelled.

A span holds the route's template and figures: no path, no header, no text. Where spans go, how many are kept and what
the service is called stand in the variables that OpenTelemetry has for it: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and so on.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from tagsmith.core.errors import SettingsError

FACTS: ContextVar[dict[str, str | int | float] | None] = ContextVar("FACTS", default=None)
"""Attributes of the span of the request in whose course this is read; None: it has none."""

PROTOCOL = "http/protobuf"
"""Of OTLP; that over gRPC needs another package of 12 MB."""


class Traces:
    """Makes a span of each request.

    Args:
        tracer: of OpenTelemetry.
        close: sends what has not been sent; blocks.
    """

    def __init__(self, tracer: Any, close: Callable[[], None] = lambda: None):
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer, self.close = tracer, close
        self._kind, self._error = SpanKind.SERVER, StatusCode.ERROR
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, scope: Scope, method: str) -> Iterator[dict[str, str | int | float]]:
        """A span around the block, a child of the one that the client's `traceparent` names.

        Yields:
            Its attributes, to be filled: of `http.route` its name is made, of `http.response.status_code` its status.
        """
        headers = Headers(scope=scope)
        # Not `tracestate`: it is the client's to fill, and would travel on.
        carrier = {"traceparent": headers["traceparent"]} if "traceparent" in headers else {}
        span = self._tracer.start_span(method, self._propagator.extract(carrier), self._kind)
        facts: dict[str, str | int | float] = {"http.request.method": method}
        token = FACTS.set(facts)
        try:
            yield facts
        finally:
            FACTS.reset(token)
            span.update_name(f"{method} {facts['http.route']}" if "http.route" in facts else method)
            span.set_attributes(facts)
            if int(facts.get("http.response.status_code", 500)) >= 500:
                span.set_status(self._error)
            span.end()


def traces_by_environment() -> Traces:
    """Traces that are sent in the background to where the environment says, else to a collector on this machine.

    Raises:
        SettingsError: the packages are not installed, or the environment wants a protocol that they do not speak.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError("serve.traces=true needs OpenTelemetry: pip install -e '.[otel]'.") from error
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if (found := os.environ.get(name, PROTOCOL)) != PROTOCOL:
            raise SettingsError(f"serve.traces=true: {name}: expected {PROTOCOL}, found {found}.")
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if named else {"service.name": "tagsmith"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider.get_tracer("tagsmith.serve"), provider.shutdown)
