"""ASGI middleware around every request: API keys, the Host header, response headers, metrics, the log."""

import asyncio
import hashlib
import hmac
import logging
import time
import traceback
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tagsmith.core.local_http import HEADERS, LOOPBACK, host_name
from tagsmith.serve.problems import RequestError, error_response
from tagsmith.serve.prometheus_metrics import METHODS, Metrics
from tagsmith.serve.traces import Traces

log = logging.getLogger("tagsmith.serve")

OPEN = {"/health", "/ping", "/v2/health/live", "/v2/health/ready", "/", "/page.js", "/page.css"}
"""Paths that need no key: the health checks, and the page, which holds no data."""

SAGEMAKER = {"/ping", "/invocations"}
"""Paths that SageMaker calls, which has checked who asks and sends no key, with a Host header of its own."""

REASON = "tagsmith.reason"
"""Key of a request's scope under which the log finds the message of the error response, which holds no text."""

ADDED = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
"""Headers of every response that does not have its own."""

NO_ROUTE = "none"
"""Label of requests that match no route."""


class Keys:
    """The API keys of the service; without any, every request is accepted."""

    def __init__(self, keys: Sequence[str]):
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, headers: Headers) -> bool:
        """Whether a header holds one of the keys: Azure's, or `Authorization: Bearer KEY`.

        Compares with all keys, in a time that does not depend on the key sent.
        """
        if not self._digests:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        sent = headers.get("ocp-apim-subscription-key") or (token.strip() if scheme.lower() == "bearer" else "")
        digest = hashlib.sha256(sent.encode("utf-8", "surrogateescape")).digest()
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(found)


class Gate:
    """Wraps the app, as ASGI middleware.

    Args:
        sagemaker: whether the paths of SageMaker need no key; without any key, it takes no request to another path.
    """

    def __init__(
        self, app: ASGIApp, keys: Keys, metrics: Metrics, traces: Traces | None = None, sagemaker: bool = False
    ):
        self._app, self._keys, self._metrics, self._traces = app, keys, metrics, traces
        self._sagemaker = sagemaker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # Load balancers use it. The server sends no body, because its scope has HEAD.
            scope = {**scope, "method": "GET"}
        if self._traces is None:
            await self._respond(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        with self._traces.request(scope, method) as attributes:
            attributes["http.response.status_code"] = await self._respond(scope, receive, send)
            if (route := route_of(scope)) != NO_ROUTE:
                attributes["http.route"] = route

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Respond to a request; returns the status, 0 if no response was sent."""
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in ADDED if one[0] not in present)]
            await send(message)

        try:
            refused = self._refusal(scope)
            if refused is not None:
                scope[REASON] = refused.message
                await error_response(scope["path"], refused)(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            # The service is shutting down, and the time for requests in flight is over.
            if not status:
                await error_response(scope["path"], shutting_down())(scope, receive, send_with_headers)
        except Exception as error:
            log.error("unexpected error: %s", type(error).__name__, extra={"stack": frames(error)})
            if not status:
                await error_response(scope["path"], internal_error())(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            route = route_of(scope)
            self._metrics.count_request(route, scope["method"], status, seconds)
            fields = {"route": route, "method": scope["method"][:16], "status": status, "seconds": round(seconds, 6)}
            if REASON in scope:
                fields["reason"] = scope[REASON]
            log.info("request", extra=fields)
        return status

    def _refusal(self, scope: Scope) -> RequestError | None:
        if self._sagemaker and scope["path"] in SAGEMAKER:
            return None
        headers = Headers(scope=scope)
        if not self._keys and self._sagemaker:
            return RequestError(403, f"Without API keys the service responds only to {', '.join(sorted(SAGEMAKER))}.")
        if not self._keys and host_of(headers) not in LOOPBACK:
            # Otherwise a page of another site could reach the service, by a name that resolves to this machine.
            return RequestError(403, "Without API keys the service responds only to requests to localhost.")
        if (scope["path"] not in OPEN or scope["method"] == "POST") and not self._keys.accept(headers):
            return RequestError(
                401,
                "Access denied: no valid key in Ocp-Apim-Subscription-Key or Authorization: Bearer.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return None


def route_of(scope: Scope) -> str:
    """The path template of the route that the request matched; the path itself may hold anything."""
    return str(getattr(scope.get("route"), "path", None) or NO_ROUTE)


def host_of(headers: Headers) -> str:
    """The name in the Host header, without the port."""
    return host_name(headers.get("host", ""))


def shutting_down() -> RequestError:
    """The response to requests that a service that shuts down has not answered in time."""
    return RequestError(
        503, "The service is shutting down; try again.", headers={"Retry-After": "1", "Connection": "close"}
    )


def internal_error() -> RequestError:
    """The response to a request that met a bug; it discloses nothing."""
    return RequestError(500, "The service could not answer; see its log.")


def frames(error: BaseException) -> list[str]:
    """The stack of an exception, without its message and values, which may hold a document's text."""
    entries: Any = traceback.extract_tb(error.__traceback__)
    return [f"{entry.filename.rpartition('/')[2]}:{entry.lineno} {entry.name}" for entry in entries]
