"""HTTP as uvicorn reads it with httptools, within bounds that these do not set: a head without end fills the memory."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = 512 << 10
"""Most bytes that may have come before a head is whole; above that of one read, which may hold a body as well."""


def bounded(most: int, seconds: float) -> type[HttpToolsProtocol]:
    """A protocol that hangs up on a request of more than `most` bytes, or whose head takes longer than `seconds`."""

    class Bounded(HttpToolsProtocol):
        _limit: int | None = None  # Of the request that is arriving; None between requests.
        _received = 0
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._late = self.loop.call_later(seconds, self._close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._in_time()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._received = self._received + len(data) if self._limit is not None else 0
            if self._limit is not None and self._received > self._limit:
                self._close()

        def on_message_begin(self) -> None:
            self._limit, self._received = HEAD, 0
            if self._late is None:
                self._late = self.loop.call_later(seconds, self._close)
            super().on_message_begin()

        def on_headers_complete(self) -> Any:
            self._in_time()
            self._limit = most
            return super().on_headers_complete()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._limit = None

        def _close(self) -> None:
            self.transport.abort()

        def _in_time(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Bounded
