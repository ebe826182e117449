"""Reading a request within its limits, and waiting for its answer as long as somebody waits for it."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from tagsmith.config.settings import ServeSettings
from tagsmith.serve.answers import Answer
from tagsmith.serve.batching import QueueFull
from tagsmith.serve.deployments import Model
from tagsmith.serve.problems import Refused, invalid

Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")

DISCARDED = 64 << 20
"""Bytes of a body that is too large which are still read, so that a client that is sending hears the answer."""


async def body_of(request: Request, settings: ServeSettings) -> bytes:
    """The whole body.

    Raises:
        Refused: it is too large, compressed, or does not arrive in time.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "A compressed body is not read; send it as it is.")
    most = int(settings.max_body_mib * (1 << 20))
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.max_seconds):
            async for part in request.stream():
                size += len(part)
                if size <= most:
                    parts.append(part)
                elif size > most + DISCARDED:
                    break
                else:
                    parts.clear()
    except TimeoutError:
        late = f"The body did not arrive within {settings.max_seconds:g} s."
        raise Refused(408, late, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise gone() from None
    if size > most:
        raise Refused(413, f"The body is larger than {settings.max_body_mib:g} MiB; send fewer documents at once.")
    return b"".join(parts)


async def read(request: Request, kind: type[Body], settings: ServeSettings, status: int = 422) -> Body:
    """The body as a model.

    Raises:
        Refused: with `status` where it is not as expected.
    """
    return parse(await body_of(request, settings), kind, status)


def parse(body: bytes, kind: type[Body], status: int = 422) -> Body:
    """JSON as a model; see `read`."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error, status) from None


def check_texts(texts: Sequence[str], settings: ServeSettings) -> None:
    """Raises: Refused, where there are too many, or one is empty or too long."""
    if len(texts) > settings.max_documents:
        raise Refused(413, f"Expected at most {settings.max_documents:,} documents a request, found {len(texts):,}.")
    for i, text in enumerate(texts):
        if not text.strip():
            raise Refused(422, f"Document {i} is empty.")
        if len(text) > settings.max_characters:
            found = f"found {len(text):,}"
            raise Refused(413, f"Document {i}: expected at most {settings.max_characters:,} characters, {found}.")


async def answered(request: Request, model: Model, texts: Sequence[str], settings: ServeSettings) -> list[Answer]:
    """The model's answers, unless the client hangs up first: what has not begun is then taken back.

    Raises:
        Refused: the queue is full, the client has gone, or the time is over.
    """
    try:
        return await _while_there(request, model.batcher.ask(texts), settings.max_seconds)
    except TimeoutError:
        late = f"There was no answer within {settings.max_seconds:g} s."
        raise Refused(503, late, headers={"Retry-After": f"{model.batcher.seconds:.0f}"}) from None
    except QueueFull as full:
        raise Refused(
            429, "Too many documents wait already; try again.", headers={"Retry-After": f"{full.seconds:.0f}"}
        ) from None


async def _while_there(request: Request, work: Coroutine[Any, Any, Result], seconds: float) -> Result:
    working = asyncio.ensure_future(work)
    hung_up = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({working, hung_up}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if hung_up.done():
            raise gone()
        raise TimeoutError
    finally:
        for task in (working, hung_up):
            task.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def gone() -> Refused:
    """What a client that has hung up would be told."""
    return Refused(499, "The client has hung up.")
