"""Routes that most documents pass: found by their path alone, without FastAPI's search, middleware and injection."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from tagsmith.serve.gate import REASON
from tagsmith.serve.problems import RequestError, error_response


class Direct(APIRoute):
    """A route whose endpoint takes the request and returns the response, without FastAPI's injection (see README)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.endpoint


class FixedPaths:
    """ASGI app: calls the `Direct` routes whose path has no parameters; all other requests go to `app`."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]):
        self._app = app
        direct = [route for route in routes if isinstance(route, Direct) and not route.param_convertors]
        self._routes = {(method, route.path): route for route in direct for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope.get("method", ""), scope.get("path", "")))
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        try:
            response = await route.endpoint(Request(scope, receive))
        except RequestError as error:
            scope[REASON] = error.message
            response = error_response(scope["path"], error)
        await response(scope, receive, send)
