"""Reading a request within its limits, and waiting for its answers until the client disconnects."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from tagsmith.config.settings import ServeSettings
from tagsmith.serve.answers import Answer
from tagsmith.serve.batching import QueueFull
from tagsmith.serve.deployments import Deployment, Deployments
from tagsmith.serve.loaded import Model
from tagsmith.serve.problems import RequestError, validation_error

Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")

DISCARDED_BYTES = 64 << 20
"""How much of a body beyond the limit is read and discarded, so that a client that is still sending gets the 413."""


async def read_body(request: Request, settings: ServeSettings) -> bytes:
    """The whole body.

    Raises:
        RequestError: the body is too large, compressed, or does not arrive in time.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError(415, "Compressed bodies are not supported; send the body uncompressed.")
    max_bytes = int(settings.max_body_mib * (1 << 20))
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.max_seconds):
            async for part in request.stream():
                size += len(part)
                if size <= max_bytes:
                    parts.append(part)
                elif size > max_bytes + DISCARDED_BYTES:
                    break
                else:
                    parts.clear()
    except TimeoutError:
        message = f"The body did not arrive within {settings.max_seconds:g} s."
        raise RequestError(408, message, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise client_disconnected() from None
    if size > max_bytes:
        limit = f"{settings.max_body_mib:g} MiB"
        raise RequestError(413, f"The body is larger than {limit}; send fewer documents in one request.")
    return b"".join(parts)


async def read_json(request: Request, kind: type[Body], settings: ServeSettings, status: int = 422) -> Body:
    """The body as an instance of a pydantic model.

    Raises:
        RequestError: the body is not valid, with this `status`; or see `read_body`.
    """
    return parse_json(await read_body(request, settings), kind, status)


def parse_json(body: bytes, kind: type[Body], status: int = 422) -> Body:
    """JSON as an instance of a pydantic model; see `read_json`."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise validation_error(error, status) from None


def check_number(documents: int, settings: ServeSettings) -> None:
    """Raises: RequestError, if there are too many documents."""
    if documents > settings.max_documents:
        limit = f"at most {settings.max_documents:,} documents in one request"
        raise RequestError(413, f"Expected {limit}, found {documents:,}.")


def check_texts(texts: Sequence[str], settings: ServeSettings, first: int = 0) -> None:
    """Check the texts, of which the first one has the number `first`.

    Raises:
        RequestError: there are too many, or one is empty or too long.
    """
    check_number(len(texts), settings)
    for i, text in enumerate(texts, first):
        if not text.strip():
            raise RequestError(422, f"Document {i} is empty.")
        if len(text) > settings.max_characters:
            found = f"found {len(text):,}"
            raise RequestError(413, f"Document {i}: expected at most {settings.max_characters:,} characters, {found}.")


def find_deployment(
    deployments: Deployments, name: str | None, kind: str = "deployment", target: str | None = None
) -> Deployment:
    """The deployment of this name, or the default one if it is None.

    Args:
        kind: the word for a deployment in the client's API.
        target: the place of the name in the request.

    Raises:
        RequestError: 404, there is none.
    """
    found = deployments.default if name is None else deployments.by_name.get(name)
    if found is None:
        raise RequestError(404, f"Unknown {kind}; expected one of {', '.join(deployments.by_name)}.", target)
    return found


async def classify(
    request: Request, deployment: Deployment, model: Model, texts: Sequence[str], settings: ServeSettings
) -> list[Answer]:
    """The model's answers; if the client disconnects first, texts that are still in the queue are removed from it.

    Raises:
        RequestError: the queue is full, the client has disconnected, or the time is over.
    """
    try:
        return await _until_disconnected(request, model.batcher.classify(texts), settings.max_seconds)
    except TimeoutError:
        message, seconds = f"There was no answer within {settings.max_seconds:g} s.", model.batcher.seconds
        raise RequestError(503, message, headers={"Retry-After": f"{seconds:.0f}"}) from None
    except QueueFull as full:
        deployment.queue_full += 1
        message = "Too many documents are waiting already; try again later."
        raise RequestError(429, message, headers={"Retry-After": f"{full.seconds:.0f}"}) from None


async def _until_disconnected(request: Request, work: Coroutine[Any, Any, Result], seconds: float) -> Result:
    working = asyncio.ensure_future(work)
    disconnected = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, disconnected}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if disconnected.done():
            raise client_disconnected()
        raise TimeoutError
    finally:
        for task in (working, disconnected):
            task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def client_disconnected() -> RequestError:
    """For the log and the metrics; the client does not receive it."""
    return RequestError(499, "The client has disconnected.")
