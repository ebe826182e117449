"""ASGI middleware around every request of the page: Host and Origin, the token, the size of bodies, the headers."""

import logging
import secrets
import traceback
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tagsmith.core.local_http import HEADERS, LOOPBACK, host_name

log = logging.getLogger("tagsmith")

API = "/api/"
"""Paths that need a token; the page itself holds no data."""

PERSON = "tagsmith.person"
"""Key of a request's scope under which its person stands."""

MAX_BODY_BYTES = 1 << 20


class Refused(Exception):
    """A request that is answered with `status` and `message`, which holds no text of a document."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message

    def response(self) -> JSONResponse:
        return JSONResponse({"error": self.message}, self.status)


class Guard:
    """Wraps the app.

    Args:
        tokens: the person of each token.
        local: whether the service listens on loopback alone, where the Host header has to name this machine.
    """

    def __init__(self, app: ASGIApp, tokens: Mapping[str, str], local: bool):
        self._app, self._tokens, self._local = app, tokens, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, send_with_headers)
        except Refused as refused:
            await refused.response()(scope, receive, send_with_headers)
        except Exception as error:
            # Its message may hold a text of a document.
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error(f"unexpected error: {type(error).__name__} at {place.filename}:{place.lineno}")

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._local and host_name(host) not in LOOPBACK:
            # Otherwise a page of another site could reach the service, by a name that resolves to this machine.
            raise Refused(403, "The page responds only to requests to localhost.")
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            raise Refused(403, "The page responds only to requests of itself.")
        if not scope["path"].startswith(API):
            return
        scope[PERSON] = self._person(headers)
        if scope["method"] == "POST" and headers.get("content-type", "").partition(";")[0] != "application/json":
            raise Refused(415, "Expected a body of application/json.")

    def _person(self, headers: Headers) -> str:
        """The person whose token was sent; the time that this takes does not depend on the token."""
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        value = sent.strip().encode() if scheme.lower() == "bearer" else b""
        found = [name for token, name in self._tokens.items() if secrets.compare_digest(token.encode(), value)]
        if not found:
            raise Refused(401, "This address is not valid; open the one that the command has printed.")
        return found[0]
