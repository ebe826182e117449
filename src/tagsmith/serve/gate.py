"""What every request passes, before and after: its key, its host, its figures, its line in the log."""

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

from tagsmith.serve.problems import Refused, refusal
from tagsmith.serve.prometheus_metrics import METHODS, Figures
from tagsmith.serve.traces import Traces

log = logging.getLogger("tagsmith.serve")

OPEN = {"/health", "/v2/health/live", "/v2/health/ready", "/", "/page.js", "/page.css"}
"""Paths that need no key: whether the service lives, and the page, which holds nothing."""

REASON = "tagsmith.reason"
"""Where a request's scope says why it was refused, for the log: the message, which holds no text."""

NO_ROUTE = "none"
"""In the place of a template, where a request goes nowhere."""

LOOPBACK = {"localhost", "127.0.0.1", "::1"}

HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


class Keys:
    """The keys that open the service; none: it is open."""

    def __init__(self, keys: Sequence[str]):
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def open(self, headers: Headers) -> bool:
        """Whether a header holds one of them: Azure's, or `Authorization: Bearer KEY`.

        All are compared, in a time that does not depend on the key that was sent.
        """
        if not self._digests:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        sent = headers.get("ocp-apim-subscription-key") or (token.strip() if scheme.lower() == "bearer" else "")
        digest = hashlib.sha256(sent.encode("utf-8", "surrogateescape")).digest()
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(found)


class Gate:
    """Wraps the app, as ASGI middleware."""

    def __init__(self, app: ASGIApp, keys: Keys, figures: Figures, traces: Traces | None = None):
        self._app, self._keys, self._figures, self._traces = app, keys, figures, traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        if self._traces is None:
            await self._answer(scope, receive, send)
            return
        with self._traces.request(scope, method) as facts:
            facts["http.response.status_code"] = await self._answer(scope, receive, send)
            if (route := route_of(scope)) != NO_ROUTE:
                facts["http.route"] = route

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer a request; returns the status, 0 where the client has heard none."""
        started = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in present),
                ]
            await send(message)

        try:
            refused = self._refused(scope)
            if refused is not None:
                scope[REASON] = refused.message
                await refusal(scope["path"], refused)(scope, receive, noting)
            else:
                await self._app(scope, receive, noting)
        except asyncio.CancelledError:
            # The service leaves, and the time to answer what is in flight is over.
            if not status:
                await refusal(scope["path"], leaving())(scope, receive, noting)
        except Exception as error:
            log.error("a bug: %s", type(error).__name__, extra={"stack": frames(error)})
            if not status:
                await refusal(scope["path"], broken())(scope, receive, noting)
        finally:
            seconds = time.perf_counter() - started
            route = route_of(scope)
            self._figures.request(route, scope["method"], status, seconds)
            facts = {"route": route, "method": scope["method"][:16], "status": status, "seconds": round(seconds, 6)}
            if REASON in scope:
                facts["reason"] = scope[REASON]
            log.info("request", extra=facts)
        return status

    def _refused(self, scope: Scope) -> Refused | None:
        headers = Headers(scope=scope)
        if not self._keys and host_of(headers) not in LOOPBACK:
            # A page of another site whose name leads to this machine could ask otherwise.
            return Refused(403, "Without keys the service answers to localhost alone.")
        if (scope["path"] not in OPEN or scope["method"] == "POST") and not self._keys.open(headers):
            return Refused(
                401,
                "Access denied: no valid key in Ocp-Apim-Subscription-Key or Authorization: Bearer.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return None


def route_of(scope: Scope) -> str:
    """The template of the path that the request went to; a path itself may hold anything."""
    return str(getattr(scope.get("route"), "path", None) or NO_ROUTE)


def host_of(headers: Headers) -> str:
    """The name in the Host header, without the port."""
    host = headers.get("host", "").strip().lower()
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def leaving() -> Refused:
    """What is told to those whom a service that leaves has not answered in time."""
    return Refused(503, "The service is leaving; try again.", headers={"Retry-After": "1", "Connection": "close"})


def broken() -> Refused:
    """What is told of a bug: nothing."""
    return Refused(500, "The service could not answer; its log says why.")


def frames(error: BaseException) -> list[str]:
    """Where an error came from, without its message and values, which may hold a document's text."""
    entries: Any = traceback.extract_tb(error.__traceback__)
    return [f"{entry.filename.rpartition('/')[2]}:{entry.lineno} {entry.name}" for entry in entries]
