"""The wire of vLLM and SGLang: `/v1/classify`, the same body at `/classify`, and `/v1/models`; a model is a deployment.

A vLLM server answers with one label and the scores of all classes, without names; `classes` of `/v1/models` has them.
"""

import time
import uuid
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from tagsmith.config.settings import ServeSettings
from tagsmith.serve.answers import Answer
from tagsmith.serve.deployments import Deployment, Deployments
from tagsmith.serve.direct import Direct
from tagsmith.serve.loaded import Model, label_of
from tagsmith.serve.openapi import OPENAI_ERRORS, body, json_response
from tagsmith.serve.problems import as_json
from tagsmith.serve.requests import check_texts, classify, find_deployment, parse_json, read_body


class ClassifyInput(BaseModel, strict=True):
    """The body of vLLM's `/classify`; its other fields are ignored, because the bundle decides what is read."""

    model: str | None = None
    input: str | Annotated[list[str], Field(min_length=1)]
    use_activation: bool | None = None
    activation: bool | None = None
    softmax: bool | None = None

    @property
    def raw(self) -> bool:
        """Whether logits are wanted instead of scores; the last two names are those of earlier versions."""
        return False in (self.use_activation, self.activation, self.softmax)


def routes(settings: ServeSettings, deployments: Deployments) -> APIRouter:
    """The routes of this wire, except `/classify`, which it shares with Tagsmith's own form."""
    router = APIRouter(prefix="/v1", tags=["vLLM"], route_class=Direct)
    started = int(time.time())

    def card(deployment: Deployment) -> dict[str, Any]:
        classifier = deployment.model.classifier
        return {
            "id": deployment.name,
            "object": "model",
            "created": started,
            "owned_by": "tagsmith",
            "root": f"{settings.project}/{deployment.name}",
            "parent": None,
            "max_model_len": classifier.decision.window_rule.max_tokens,
            "classes": classifier.classes,
        }

    @router.get("/models", responses={**json_response({"type": "object"}), **OPENAI_ERRORS})
    async def models(_: Request) -> Response:
        serving = [found for found in deployments.by_name.values() if found.loaded is not None]
        return as_json({"object": "list", "data": [card(found) for found in serving]})

    @router.get(
        "/models/{model}",
        responses={**json_response({"type": "object"}), **OPENAI_ERRORS},
        openapi_extra={"parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]},
    )
    async def model(request: Request) -> Response:
        return as_json(card(find_deployment(deployments, request.path_params["model"], "model", "model")))

    @router.post(
        "/classify",
        summary="A label and the scores of all classes for each text",
        response_class=Response,
        responses={**json_response({"type": "object"}), **OPENAI_ERRORS},
        openapi_extra=body(ClassifyInput),
    )
    async def classify_input(request: Request) -> Response:
        return await respond(request, await read_body(request, settings), settings, deployments)

    return router


def is_input_form(content: bytes) -> bool:
    """Whether the body of a request to `/classify` is in the form of vLLM."""
    try:
        found = from_json(content)
    except ValueError:
        return False
    return isinstance(found, dict) and "input" in found


async def respond(request: Request, content: bytes, settings: ServeSettings, deployments: Deployments) -> Response:
    """The response to a body in the form of vLLM.

    Raises:
        RequestError: the body is not valid, the model is unknown, or there is no answer.
    """
    given = parse_json(content, ClassifyInput, 400)
    texts = [given.input] if isinstance(given.input, str) else given.input
    check_texts(texts, settings)
    deployment = find_deployment(deployments, given.model, "model", "model")
    with deployment.model.in_use() as model:
        answers = await classify(request, deployment, model, texts, settings)
        data = [datum(model, i, answer, given.raw) for i, answer in enumerate(answers)]
    tokens = sum(answer.tokens - answer.unread for answer in answers)
    return as_json(
        {
            "id": f"classify-{uuid.uuid4().hex}",
            "object": "list",
            "created": int(time.time()),
            "model": deployment.name,
            "data": data,
            "usage": {
                "prompt_tokens": tokens,
                "total_tokens": tokens,
                "completion_tokens": 0,
                "prompt_tokens_details": None,
            },
        }
    )


def datum(model: Model, index: int, answer: Answer, raw: bool) -> dict[str, Any]:
    """One entry of `data`."""
    probs = (answer.logits if raw else answer.scores).tolist()
    label = model.classifier.classes[label_of(model, answer)]
    return {"index": index, "label": label, "probs": probs, "num_classes": len(probs)}
