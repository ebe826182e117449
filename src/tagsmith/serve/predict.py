"""`/predict`, `/info` and `/health` as text-embeddings-inference speaks them, and `/classify`, which says all.

`inputs` is a string, or a list of lists of one string each; a list of two strings is a pair there, and is refused.
A body with `parameters` comes from the Inference API's clients, which want the scores in one more list.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from tagsmith.config.settings import ServeSettings
from tagsmith.serve.answers import Answer
from tagsmith.serve.deployments import Deployment, Deployments, Model
from tagsmith.serve.openapi import ERRORS, Direct, body, parameter
from tagsmith.serve.problems import Refused, as_json
from tagsmith.serve.prometheus_metrics import Figures
from tagsmith.serve.requests import answered, check_texts, read

DEPLOYMENT = parameter("deployment", {"type": "string"})
SCORES = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["label", "score"],
        "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
    },
}


class InferenceParameters(BaseModel):
    """What `huggingface_hub.InferenceClient` may ask for."""

    model_config = ConfigDict(strict=True)
    top_k: Annotated[int, Field(ge=1)] | None = None
    function_to_apply: Literal["sigmoid", "softmax", "none"] | None = None


class Predict(BaseModel):
    """The body of `/predict`."""

    model_config = ConfigDict(strict=True)
    inputs: str | list[str] | list[list[str]]
    raw_scores: bool = False
    truncate: bool | None = None
    parameters: InferenceParameters | None = None
    deployment: str | None = None


class Classify(BaseModel):
    """The body of `/classify`."""

    model_config = ConfigDict(strict=True, extra="forbid")
    texts: Annotated[list[str], Field(min_length=1)]
    deployment: str | None = None


def routes(settings: ServeSettings, deployments: Deployments, figures: Figures) -> APIRouter:
    """The routes."""
    router = APIRouter(route_class=Direct)

    async def predict(request: Request) -> Response:
        asked = await read(request, Predict, settings)
        texts, many = texts_of(asked.inputs)
        check_texts(texts, settings)
        deployment = deployment_of(deployments, asked.deployment or request.query_params.get("deployment"))
        with deployment.model.held() as model:
            found = await _answered(request, deployment, model, texts)
            if asked.truncate is False:
                _check_read(found)
            classes = model.classifier.classes
            scores = [scores_of(model, answer, asked) for answer in found]
        ranked = [in_order(classes, row, asked.parameters.top_k if asked.parameters else None) for row in scores]
        return as_json(ranked if many or asked.parameters is not None else ranked[0])

    for place in ("/predict", "/"):
        router.add_api_route(
            place,
            predict,
            methods=["POST"],
            tags=["text-embeddings-inference"],
            summary="Scores of all classes, highest first",
            response_class=Response,
            responses={200: _json({"anyOf": [SCORES, {"type": "array", "items": SCORES}]}), **ERRORS},
            openapi_extra={**body(Predict), "parameters": [DEPLOYMENT]},
        )

    @router.post(
        "/classify",
        tags=["Tagsmith"],
        summary="Classes, scores and the decision",
        response_class=Response,
        responses={200: _json({"type": "object"}), **ERRORS},
        openapi_extra=body(Classify),
    )
    async def classify(request: Request) -> Response:
        asked = await read(request, Classify, settings)
        check_texts(asked.texts, settings)
        deployment = deployment_of(deployments, asked.deployment)
        with deployment.model.held() as model:
            found = await _answered(request, deployment, model, asked.texts)
            documents = [document(model, answer) for answer in found]
            about = {"project": settings.project, "deployment": deployment.name, "version": model.version}
        return as_json({**about, "documents": documents})

    async def _answered(request: Request, deployment: Deployment, model: Model, texts: Sequence[str]) -> list[Answer]:
        try:
            return await answered(request, model, texts, settings)
        except Refused as refused:
            if refused.status == 429:
                figures.queue_full.labels(deployment.name).inc()
            raise

    @router.get("/health", tags=["text-embeddings-inference"], responses={200: _json({"type": "object"})})
    async def health(_: Request) -> Response:
        return as_json({"status": "ok"})

    @router.get(
        "/info",
        tags=["text-embeddings-inference"],
        responses={200: _json({"type": "object"}), **ERRORS},
        openapi_extra={"parameters": [DEPLOYMENT]},
    )
    async def info(request: Request) -> Response:
        deployment = deployment_of(deployments, request.query_params.get("deployment"))
        classifier = deployment.model.classifier
        label2id = classifier.schema.label2id
        classes = {"id2label": {str(i): name for name, i in label2id.items()}, "label2id": label2id}
        return as_json(
            {
                "model_id": f"{settings.project}/{deployment.name}",
                "model_sha": deployment.model.version,
                "model_dtype": "float32",
                "model_type": {"classifier": classes},
                "max_concurrent_requests": settings.queue_documents,
                "max_input_length": classifier.decision.window_rule.max_tokens,
                "max_batch_tokens": settings.batch_tokens,
                "max_batch_requests": None,
                "max_client_batch_size": settings.max_documents,
                "auto_truncate": True,
                "tokenization_workers": 1,
                "version": version("tagsmith"),
            }
        )

    @router.get("/deployments", tags=["Tagsmith"], responses={200: _json({"type": "object"}), **ERRORS})
    async def list_deployments(_: Request) -> Response:
        listed = [
            {
                "name": deployment.name,
                "version": deployment.model.version,
                "task": deployment.model.classifier.schema.task.value,
                "classes": deployment.model.classifier.classes,
                "newer_refused": deployment.refused,
            }
            for deployment in deployments.by_name.values()
        ]
        return as_json({"project": settings.project, "default": deployments.default.name, "deployments": listed})

    @router.get(
        "/metrics",
        tags=["text-embeddings-inference"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **ERRORS},
    )
    async def metrics(_: Request) -> Response:
        return Response(figures.text(), media_type="text/plain; version=1.0.0; charset=utf-8")

    return router


def texts_of(inputs: str | list[str] | list[list[str]]) -> tuple[list[str], bool]:
    """The documents, and whether they came as a batch.

    Raises:
        Refused: a pair of strings, or nothing.
    """
    if isinstance(inputs, str):
        return [inputs], False
    if len(inputs) == 1 and isinstance(inputs[0], str):
        return [inputs[0]], False
    texts = [entry[0] for entry in inputs if isinstance(entry, list) and len(entry) == 1]
    if not inputs or len(texts) != len(inputs):
        expected = 'expected a string, or a batch of lists of one string each: [["first"], ["second"]]'
        raise Refused(422, f"inputs: {expected}; pairs of strings are not classified.")
    return texts, True


def deployment_of(deployments: Deployments, name: str | None) -> Deployment:
    """The deployment of that name, the default one without a name. Raises: Refused."""
    found = deployments.default if name is None else deployments.by_name.get(name)
    if found is None:
        raise Refused(404, f"There is no such deployment; there are {', '.join(deployments.by_name)}.")
    return found


def scores_of(model: Model, answer: Answer, asked: Predict) -> NDArray[np.floating[Any]]:
    """One figure a class: logits, or the bundle's scores, or the function that the request names."""
    function = asked.parameters.function_to_apply if asked.parameters is not None else None
    if asked.raw_scores or function == "none":
        return answer.logits
    if function is None or function == ("sigmoid" if model.classifier.schema.multi_label else "softmax"):
        return answer.scores
    logits = answer.logits.astype(np.float64)
    if function == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700, 700))))
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def in_order(classes: Sequence[str], scores: NDArray[np.floating[Any]], top: int | None) -> list[dict[str, Any]]:
    """Classes with their scores, the highest first."""
    values = scores.tolist()
    return [{"label": classes[i], "score": values[i]} for i in np.argsort(-scores, kind="stable")[:top].tolist()]


def document(model: Model, answer: Answer) -> dict[str, Any]:
    """All that the service says of one document."""
    classifier = model.classifier
    chosen: dict[str, Any] = (
        {"labels": list(answer.chosen)} if classifier.schema.multi_label else {"label": next(iter(answer.chosen), None)}
    )
    scores = {name: round(float(s), 6) for name, s in zip(classifier.classes, answer.scores, strict=True)}
    distance = round(answer.out_of_scope, 6) if answer.out_of_scope is not None else None
    why = {"to_person": answer.to_person, "foreign": answer.foreign, "out_of_scope": distance}
    about = {"set": list(answer.set) if answer.set is not None else None, "tokens": answer.tokens}
    return {**chosen, "scores": scores, **why, **about, "unread": answer.unread}


def _check_read(found: Sequence[Answer]) -> None:
    for i, answer in enumerate(found):
        if answer.unread:
            told = f"{answer.unread:,} of {answer.tokens:,} tokens would not be read"
            raise Refused(413, f"Document {i} is too long: {told}; truncate=true accepts that.")


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}, "description": "As asked for."}
