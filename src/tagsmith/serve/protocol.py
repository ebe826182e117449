"""uvicorn's httptools protocol with limits on the head of a request, which uvicorn has only for the slower h11.

Without them, a client without a key fills the memory with one endless header. The README has the measurement.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 512 << 10
"""Limit on the bytes received before the head is complete; well above one read, which may hold a body as well."""


def limited_protocol(max_request_bytes: int, head_seconds: float) -> type[HttpToolsProtocol]:
    """A protocol that closes the connection when a request exceeds `max_request_bytes`, or its head `head_seconds`."""

    class Limited(HttpToolsProtocol):
        _limit: int | None = None  # For the request that is arriving; None between requests.
        _received = 0
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._deadline = self.loop.call_later(head_seconds, transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel_deadline()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._received = self._received + len(data) if self._limit is not None else 0
            if self._limit is not None and self._received > self._limit:
                self.transport.abort()

        def on_message_begin(self) -> None:
            self._limit, self._received = MAX_HEAD_BYTES, 0
            if self._deadline is None:
                self._deadline = self.loop.call_later(head_seconds, self.transport.abort)
            super().on_message_begin()

        def on_headers_complete(self) -> Any:
            self._cancel_deadline()
            self._limit = max_request_bytes
            return super().on_headers_complete()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._limit = None

        def _cancel_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Limited
