"""What a request can do wrong, and how it is told: one error, three envelopes.

/language/...  {"error": {"code", "message", "target"?, "details"?, "innererror"?}}   as Azure's clients read it
all else       {"error": message, "error_type": kind}   as those of text-embeddings-inference and V2 do
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import Response

AZURE = "/language"

KINDS = {
    400: "Validation",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "Timeout",
    413: "Validation",
    415: "Validation",
    422: "Validation",
    429: "Overloaded",
    499: "Gone",
    500: "Backend",
    503: "Unhealthy",
}
CODES = {
    401: "401",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "Timeout",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    429: "TooManyRequests",
    499: "ClientClosedRequest",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}
"""Azure's codes; what is not here is an InvalidRequest."""


@dataclass(eq=False)
class Refused(Exception):
    """A request that is not answered with what it asks for; `message` never holds a path of the server or a text."""

    status: int
    message: str
    target: str | None = None
    details: Sequence[Mapping[str, Any]] = ()
    inner: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(path: str, refused: Refused) -> Response:
    """The answer, in the envelope that belongs to the path."""
    content: dict[str, Any]
    if path.startswith(AZURE):
        error: dict[str, Any] = {"code": CODES.get(refused.status, "InvalidRequest"), "message": refused.message}
        if refused.target is not None:
            error["target"] = refused.target
        if refused.details:
            error["details"] = list(refused.details)
        if refused.inner is not None:
            error["innererror"] = refused.inner
        content = {"error": error}
    else:
        told = "; ".join([refused.message, *(f"{d['target']}: {d['message']}" for d in refused.details)])
        content = {"error": told, "error_type": KINDS.get(refused.status, "Validation")}
    return as_json(content, refused.status, refused.headers)


def as_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    body = to_json(content)  # Of 77 classes in a tenth of the time of the standard library's.
    return Response(body, status, dict(headers or {}), "application/json")


def invalid(error: ValidationError, status: int) -> Refused:
    """What a body's model found wrong; the values themselves, which may be texts, are not repeated."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return Refused(400, "The body is not JSON in UTF-8.")
    details = [
        {"code": "InvalidParameterValue", "message": entry["msg"], "target": _pointer(entry["loc"])}
        for entry in found[:10]
    ]
    return Refused(status, "The body is not as expected", details[0]["target"], details)


def _pointer(place: Sequence[int | str]) -> str:
    return "#/" + "/".join(str(part)[:64] for part in place)
