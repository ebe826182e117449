"""OpenTelemetry traces of requests (extra `otel`): the time each waited, the size of its batch.

A span holds the path template of the route and numbers: no path, no header, no text. The endpoint, the sampler and the
name of the service are set by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER,
OTEL_SERVICE_NAME and so on.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from tagsmith.core.errors import SettingsError

SPAN_ATTRIBUTES: ContextVar[dict[str, str | int | float] | None] = ContextVar("SPAN_ATTRIBUTES", default=None)
"""Attributes of the span of the current request; None: it has no span."""

PROTOCOL = "http/protobuf"
"""The transport of OTLP; gRPC would need another package of 12 MB."""


class Traces:
    """Creates a span for each request.

    Args:
        tracer: OpenTelemetry's.
        close: sends the remaining spans; blocks.
    """

    def __init__(self, tracer: Any, close: Callable[[], None] = lambda: None):
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer, self.close = tracer, close
        self._kind, self._error = SpanKind.SERVER, StatusCode.ERROR
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, scope: Scope, method: str) -> Iterator[dict[str, str | int | float]]:
        """A span around the block, a child of the one in the client's `traceparent`.

        Yields:
            Its attributes, to be filled: `http.route` becomes part of its name, `http.response.status_code` its status.
        """
        headers = Headers(scope=scope)
        # Not `tracestate`: the client may put anything in it, and it would be forwarded.
        carrier = {"traceparent": headers["traceparent"]} if "traceparent" in headers else {}
        span = self._tracer.start_span(method, self._propagator.extract(carrier), self._kind)
        attributes: dict[str, str | int | float] = {"http.request.method": method}
        token = SPAN_ATTRIBUTES.set(attributes)
        try:
            yield attributes
        finally:
            SPAN_ATTRIBUTES.reset(token)
            span.update_name(f"{method} {attributes['http.route']}" if "http.route" in attributes else method)
            span.set_attributes(attributes)
            if int(attributes.get("http.response.status_code", 500)) >= 500:
                span.set_status(self._error)
            span.end()


def traces_from_environment() -> Traces:
    """Traces sent in the background to the endpoint in the environment, by default a collector on this machine.

    Raises:
        SettingsError: the packages are not installed, or the environment sets an unsupported protocol.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError("serve.traces=true needs OpenTelemetry: pip install 'tagsmith[otel]'.") from error
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if (found := os.environ.get(name, PROTOCOL)) != PROTOCOL:
            raise SettingsError(f"serve.traces=true: {name}: expected {PROTOCOL}, found {found}.")
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if named else {"service.name": "tagsmith"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider.get_tracer("tagsmith.serve"), provider.shutdown)
