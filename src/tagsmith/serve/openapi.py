"""The OpenAPI description: bodies, parameters and errors of the routes that parse their requests themselves."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tagsmith.serve.gate import OPEN

_BODIES: dict[str, type[BaseModel]] = {}

ERROR = {
    "type": "object",
    "required": ["error", "error_type"],
    "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
}
AZURE_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }
    },
}
OPENAI_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {"message": {"type": "string"}, "type": {"type": "string"}, "code": {"type": "integer"}},
        }
    },
}


def _errors(schema: dict[str, Any], *statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": schema}}
    return {status: {"description": "The message says why.", "content": content} for status in statuses}


ERRORS = _errors(ERROR, 400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503)
NOT_ACCEPTABLE = _errors(ERROR, 406)
OPENAI_ERRORS = _errors(OPENAI_ERROR, 400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503)
AZURE_ERRORS = _errors(AZURE_ERROR, 400, 401, 403, 404, 408, 413, 415, 429, 500, 503)


def json_response(schema: dict[str, Any], status: int = 200) -> dict[int | str, dict[str, Any]]:
    """A successful response in JSON."""
    return {status: {"content": {"application/json": {"schema": schema}}, "description": "Success."}}


def body(*kinds: type[BaseModel]) -> dict[str, Any]:
    """The request body of a route that parses it itself, in one of several forms."""
    _BODIES.update((kind.__name__, kind) for kind in kinds)
    forms: list[dict[str, Any]] = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]
    schema = forms[0] if len(forms) == 1 else {"anyOf": forms}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def parameter(name: str, schema: dict[str, Any], required: bool = False) -> dict[str, Any]:
    """A query parameter."""
    return {"name": name, "in": "query", "required": required, "schema": schema}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document."""
    if app.openapi_schema is None:
        description = get_openapi(title=app.title, version=app.version, routes=app.routes)
        _, models = models_json_schema(
            [(kind, "validation") for kind in _BODIES.values()], ref_template="#/components/schemas/{model}"
        )
        components = description.setdefault("components", {})
        components.setdefault("schemas", {}).update(models.get("$defs", {}))
        components["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "Ocp-Apim-Subscription-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        description["security"] = [{"key": []}, {"bearer": []}]
        for place in OPEN & description["paths"].keys():
            for method in description["paths"][place].keys() & {"get"}:
                description["paths"][place][method]["security"] = []
        app.openapi_schema = description
    return app.openapi_schema
