"""The ASGI app of the page: its files, and the requests that it sends."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from tagsmith.core.errors import TagsmithError
from tagsmith.core.schema import Schema
from tagsmith.improve.tagging.decisions import Decision, Kind, StoredDocument
from tagsmith.improve.tagging.export import next_command, write_tags
from tagsmith.improve.tagging.guard import MAX_BODY_BYTES, PERSON, Guard, Refused
from tagsmith.improve.tagging.listing import examples, listed, shown
from tagsmith.improve.tagging.order import Order
from tagsmith.improve.tagging.store import Store
from tagsmith.improve.tagging.suggestions import Suggestions

PAGE = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}

CHOSEN = "chosen"
"""The reason of a document that the person has looked for."""

Body = TypeVar("Body", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Next(_Strict):
    """The documents to show next, without those that the page has."""

    count: int = Field(ge=1, le=10)
    without: list[str] = Field(default=[], max_length=20)


class Given(Enum):
    """The kinds of decisions that a page sends; `undo` has a request of its own."""

    tag = "tag"
    skip = "skip"
    flag = "flag"
    note = "note"


class Decided(_Strict):
    """A decision; see `decisions.Decision`."""

    key: str = Field(min_length=8, max_length=64)
    document: str
    kind: Given
    tags: list[str] = []
    note: str = Field(default="", max_length=10_000)
    suggestion: list[str] = []
    reason: str = Field(default="", max_length=40)


class Undo(_Strict):
    """Take back the person's last decision."""

    key: str = Field(min_length=8, max_length=64)


class Find(_Strict):
    """A part of the list of decisions; see `listing.listed`."""

    search: str = Field(default="", max_length=1000)
    which: str = "all"
    offset: int = Field(default=0, ge=0)


class One(_Strict):
    """A document by its id, or a class by its name."""

    name: str


class Nothing(_Strict):
    """An empty body."""


class Tagging:
    """The page of a project; `app` is the ASGI app.

    Args:
        tokens: the person of each token.
        local: see `Guard`.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        schema: Schema,
        order: Order,
        suggestions: Suggestions,
        tokens: dict[str, str],
        local: bool = True,
    ):
        self._folder, self._store, self._schema = folder, store, schema
        self._order, self._suggestions = order, suggestions
        self.app: ASGIApp = Guard(self._routes(), tokens, local)

    def _routes(self) -> FastAPI:
        # Without FastAPI's documentation pages, which load scripts from other servers.
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
        for path, (name, media_type) in PAGE.items():
            content = files("tagsmith.improve.tagging").joinpath("static", name).read_bytes()
            app.add_api_route(path, _static(content, media_type), methods=["GET"])
        self._route(app, "project", Nothing, self.project)
        self._route(app, "next", Next, self.next)
        self._route(app, "decisions", Decided, self.decide)
        self._route(app, "undo", Undo, self.undo)
        self._route(app, "list", Find, lambda body, _: listed(self._store, body.search, body.which, body.offset, 50))
        self._route(app, "document", One, self.document)
        self._route(app, "examples", One, lambda body, _: {"texts": examples(self._store, body.name)})
        self._route(app, "export", Nothing, self.export)
        app.add_exception_handler(Refused, _refused)
        app.add_exception_handler(HTTPException, _routing_error)
        app.add_exception_handler(Exception, _unexpected)
        return app

    def _route(self, app: FastAPI, name: str, kind: type[Body], answer: Callable[[Body, str], Any]) -> None:
        async def respond(request: Request) -> Response:
            body = await _read(request, kind)
            # In a thread: SQLite waits for the disk.
            return JSONResponse(await asyncio.to_thread(answer, body, request.scope[PERSON]))

        app.add_api_route(f"/api/{name}", respond, methods=["POST"])

    def project(self, _: Nothing, person: str) -> dict[str, Any]:
        """What the page needs once."""
        known = self._store.schema()
        guidelines = {} if known is None else known[1]
        return {
            "name": self._folder.resolve().name,
            "person": person,
            "multi_label": self._schema.multi_label,
            "classes": [{"name": name, "guideline": guidelines.get(name, "")} for name in self._schema.classes],
            **self._state(person),
        }

    def next(self, body: Next, person: str) -> dict[str, Any]:
        found = self._order.next(person, body.count, body.without)
        return {"documents": [self._shown(name, reason) for name, reason in found], **self._state(person)}

    def decide(self, body: Decided, person: str) -> dict[str, Any]:
        """Save a decision; the answer is sent when it is on the disk."""
        self._known(body.document)
        if unknown := [name for name in (*body.tags, *body.suggestion) if name not in self._schema.classes]:
            raise Refused(422, f"Unknown class {unknown[0]!r}; reload the page.")
        kind = Kind(body.kind.value)
        if kind is Kind.tag and not self._schema.multi_label and len(body.tags) != 1:
            raise Refused(422, f"Expected one class, found {len(body.tags)}.")
        tags = tuple(dict.fromkeys(body.tags)) if kind is Kind.tag else ()
        note = body.note.strip() if kind is Kind.note else ""
        suggestion = tuple(body.suggestion) if kind is Kind.tag else ()
        self._store.decide(
            Decision(body.key, body.document, kind, person, time.time(), tags, note, suggestion, body.reason)
        )
        self._suggestions.decided()
        return self._state(person)

    def undo(self, body: Undo, person: str) -> dict[str, Any]:
        """Take back the person's last decision; the answer holds its document, None where there is nothing left."""
        undone = self._store.undo(body.key, person, time.time())
        if undone is None:
            return {"document": None, "kind": None, **self._state(person)}
        self._suggestions.decided()
        document = self._shown(undone.document, undone.reason or CHOSEN)
        return {"document": document, "kind": undone.kind.value, "taken_back": list(undone.tags), **self._state(person)}

    def document(self, body: One, person: str) -> dict[str, Any]:
        """A document that the person wants to decide again."""
        self._known(body.name)
        return self._shown(body.name, CHOSEN)

    def export(self, _: Nothing, person: str) -> dict[str, Any]:
        """Write the tags, as `action=export` does."""
        try:
            paths, count = write_tags(self._folder, self._store, self._schema)
        except TagsmithError as error:
            raise Refused(409, str(error)) from None
        command = next_command(self._folder, self._store)
        return {"files": [str(path) for path in paths], "tags": count, "command": command}

    def _known(self, name: str) -> StoredDocument:
        if (document := self._store.document(name)) is None:
            raise Refused(404, "There is no such document; reload the page.")
        return document

    def _shown(self, name: str, reason: str) -> dict[str, Any]:
        document = self._known(name)
        return shown(document, self._store.states.get(name), self._suggestions.of(document), reason)

    def _state(self, person: str) -> dict[str, Any]:
        return {"progress": self._store.progress(person), "status": self._suggestions.status}


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
