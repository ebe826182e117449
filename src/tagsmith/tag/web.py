"""The web side of the page: its files, a route a request, checked bodies, and errors without a text in them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from tagsmith.tag.guard import MAX_BODY_BYTES, PERSON, Guard, Refused

MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}

Body = TypeVar("Body", bound=BaseModel)


class Strict(BaseModel):
    """A body with no other fields than its own."""

    model_config = ConfigDict(extra="forbid")


class Nothing(Strict):
    """An empty body."""


class One(Strict):
    """A document by its id, or a class by its name."""

    name: str


@dataclass(frozen=True)
class Route:
    """A request of the page, `POST /api/NAME`.

    Attributes:
        body: the model of its body.
        answer: from the body and the person who sent it to what is sent back as JSON; it runs in a thread.
    """

    name: str
    body: type[BaseModel]
    answer: Callable[[Any, str], Any]


def application(routes: Iterable[Route], tokens: Mapping[str, str], local: bool) -> ASGIApp:
    """The ASGI app: the files of `static/`, the routes, and the guard around them.

    Args:
        tokens: the person of each token.
        local: see `Guard`.
    """
    # Without FastAPI's documentation pages, which load scripts from other servers.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    for file in files("tagsmith.tag").joinpath("static").iterdir():
        path = "/" if file.name == "page.html" else f"/{file.name}"
        media_type = MEDIA_TYPES["." + file.name.rpartition(".")[2]]
        app.add_api_route(path, _static(file.read_bytes(), media_type), methods=["GET"])
    for route in routes:
        app.add_api_route(f"/api/{route.name}", _respond(route), methods=["POST"])
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _routing_error)
    app.add_exception_handler(Exception, _unexpected)
    return Guard(app, tokens, local)


def _respond(route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        body = await _read(request, route.body)
        # In a thread: SQLite waits for the disk.
        return JSONResponse(await asyncio.to_thread(route.answer, body, request.scope[PERSON]))

    return respond


async def _read(request: Request, kind: type[Body]) -> Body:
    """The body as an instance of a model; the errors hold no values, which may be texts."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY_BYTES:
            raise Refused(413, f"The body is larger than {MAX_BODY_BYTES >> 20} MiB.")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise Refused(422, f"{'.'.join(map(str, found['loc']))[:80] or 'The body'}: {found['msg'][:200]}") from None


def _static(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def respond() -> Response:
        return Response(content, media_type=f"{media_type}; charset=utf-8")

    return respond


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.response()


async def _unexpected(_: Request, error: Exception) -> Response:
    # Starlette raises the exception again after this, and the guard logs it.
    return Refused(500, "This is a bug; the command has printed its place.").response()


async def _routing_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: "Not found.", 405: "Method not allowed."}
    return JSONResponse({"error": messages.get(error.status_code, "Cannot be answered.")}, error.status_code)
