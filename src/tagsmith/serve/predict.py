"""The wire of text-embeddings-inference (`/predict`, `/info`, `/health`) and `/classify`, which returns everything.

`/classify` also takes the body of vLLM, and then answers as vLLM does.

`inputs` is a string, or a list of lists of one string each. A list of two strings is a pair in that API; it is refused.
A body with `parameters` comes from clients of the Inference API, which expect the scores in one more list.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from tagsmith.classify.classifier import Classifier
from tagsmith.classify.engine import BF16
from tagsmith.config.settings import ServeSettings
from tagsmith.serve import vllm
from tagsmith.serve.answers import Answer
from tagsmith.serve.deployments import Deployments
from tagsmith.serve.described import described
from tagsmith.serve.direct import Direct
from tagsmith.serve.loaded import Model
from tagsmith.serve.openapi import ERRORS, body, json_response, parameter
from tagsmith.serve.problems import RequestError, as_json
from tagsmith.serve.prometheus_metrics import Metrics
from tagsmith.serve.requests import check_texts, classify, find_deployment, parse_json, read_body, read_json

DEPLOYMENT = parameter("deployment", {"type": "string"})
SCORES = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["label", "score"],
        "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
    },
}
OBJECT = json_response({"type": "object"})


Function = Literal["sigmoid", "softmax", "none"]
"""What turns logits into scores, where a request names it."""


class InferenceParameters(BaseModel, strict=True):
    """The parameters that `huggingface_hub.InferenceClient` sends."""

    top_k: Annotated[int, Field(ge=1)] | None = None
    function_to_apply: Function | None = None


class Predict(BaseModel, strict=True):
    """The body of `/predict`."""

    inputs: str | list[str] | list[list[str]]
    raw_scores: bool = False
    truncate: bool | None = None
    parameters: InferenceParameters | None = None
    deployment: str | None = None


class Classify(BaseModel, strict=True, extra="forbid"):
    """The body of `/classify`; a text may also be an object with the fields of the training data."""

    texts: Annotated[list[str | dict[str, str | None]], Field(min_length=1)]
    deployment: str | None = None


def routes(settings: ServeSettings, deployments: Deployments, service_metrics: Metrics) -> APIRouter:
    """The routes of this wire, and `/deployments` and `/metrics`."""
    router = APIRouter(route_class=Direct)

    async def predict(request: Request) -> Response:
        content = await read_json(request, Predict, settings)
        texts, is_batch = texts_of(content.inputs)
        check_texts(texts, settings)
        deployment = find_deployment(deployments, content.deployment or request.query_params.get("deployment"))
        with deployment.model.in_use() as model:
            answers = await classify(request, deployment, model, texts, settings)
            if content.truncate is False:
                _check_not_truncated(answers)
            classes = model.classifier.classes
            function = content.parameters.function_to_apply if content.parameters is not None else None
            scores = [scores_of(model, answer, "none" if content.raw_scores else function) for answer in answers]
        top = content.parameters.top_k if content.parameters is not None else None
        ranked = [ranked_scores(classes, row, top) for row in scores]
        return as_json(ranked if is_batch or content.parameters is not None else ranked[0])

    for path in ("/predict", "/"):
        router.add_api_route(
            path,
            predict,
            methods=["POST"],
            tags=["text-embeddings-inference"],
            summary="Scores of all classes, highest first",
            response_class=Response,
            responses={**json_response({"anyOf": [SCORES, {"type": "array", "items": SCORES}]}), **ERRORS},
            openapi_extra={**body(Predict), "parameters": [DEPLOYMENT]},
        )

    @router.post(
        "/classify",
        tags=["Tagsmith"],
        summary="Classes, scores and the decision",
        response_class=Response,
        responses={**OBJECT, **ERRORS},
        openapi_extra=body(Classify, vllm.ClassifyInput),
    )
    async def classify_documents(request: Request) -> Response:
        sent = await read_body(request, settings)
        if vllm.is_input_form(sent):
            return await vllm.respond(request, sent, settings, deployments)
        content = parse_json(sent, Classify)
        deployment = find_deployment(deployments, content.deployment)
        with deployment.model.in_use() as model:
            texts = record_texts(model.classifier, content.texts)
            check_texts(texts, settings)
            answers = await classify(request, deployment, model, texts, settings)
            documents = [document(model, answer) for answer in answers]
            origin = {"project": settings.project, "deployment": deployment.name, "version": model.version}
        return as_json({**origin, "documents": documents})

    @router.get("/health", tags=["text-embeddings-inference"], responses=OBJECT)
    async def health(_: Request) -> Response:
        return as_json({"status": "ok"})

    @router.get(
        "/info",
        tags=["text-embeddings-inference"],
        responses={**OBJECT, **ERRORS},
        openapi_extra={"parameters": [DEPLOYMENT]},
    )
    async def info(request: Request) -> Response:
        deployment = find_deployment(deployments, request.query_params.get("deployment"))
        classifier = deployment.model.classifier
        label2id = classifier.schema.label2id
        classes = {"id2label": {str(i): name for name, i in label2id.items()}, "label2id": label2id}
        return as_json(
            {
                "model_id": f"{settings.project}/{deployment.name}",
                "model_sha": deployment.model.version,
                "model_dtype": "bfloat16" if classifier.engine.precision == BF16 else "float32",
                "engine": classifier.engine.as_dict(),
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

    @router.get("/deployments", tags=["Tagsmith"], responses={**OBJECT, **ERRORS})
    async def list_deployments(_: Request) -> Response:
        shadows = deployments.shadows
        listed = [described(d, shadows.get(d.name), settings.bounds) for d in deployments.by_name.values()]
        default = deployments.default.name if listed else None
        return as_json({"project": settings.project, "default": default, "deployments": listed})

    @router.get(
        "/metrics",
        tags=["text-embeddings-inference"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **ERRORS},
    )
    async def metrics(_: Request) -> Response:
        return Response(service_metrics.text(), media_type="text/plain; version=1.0.0; charset=utf-8")

    return router


def record_texts(classifier: Classifier, sent: Sequence[str | dict[str, str | None]]) -> list[str]:
    """The texts of what a client sends, each a text or a record of fields.

    Raises:
        RequestError: a record lacks a field.
    """
    texts = []
    for i, one in enumerate(sent):
        try:
            texts.append(one if isinstance(one, str) else classifier.text_of(one))
        except ValueError as error:
            raise RequestError(422, f"Document {i}: {error}.") from None
    return texts


def texts_of(inputs: str | list[str] | list[list[str]]) -> tuple[list[str], bool]:
    """The documents, and whether they were sent as a batch.

    Raises:
        RequestError: a pair of strings, or nothing.
    """
    if isinstance(inputs, str):
        return [inputs], False
    if len(inputs) == 1 and isinstance(inputs[0], str):
        return [inputs[0]], False
    texts = [entry[0] for entry in inputs if isinstance(entry, list) and len(entry) == 1]
    if not inputs or len(texts) != len(inputs):
        expected = 'expected a string, or a batch of lists of one string each: [["first"], ["second"]]'
        raise RequestError(422, f"inputs: {expected}; pairs of strings are not supported.")
    return texts, True


def scores_of(model: Model, answer: Answer, function: Function | None) -> NDArray[np.floating[Any]]:
    """One value per class: the bundle's scores, or the logits, or the function of them that the request names."""
    if function == "none":
        return answer.logits
    if function is None or function == ("sigmoid" if model.classifier.schema.multi_label else "softmax"):
        return answer.scores
    logits = answer.logits.astype(np.float64)
    if function == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700, 700))))
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def ranked_scores(classes: Sequence[str], scores: NDArray[np.floating[Any]], top: int | None) -> list[dict[str, Any]]:
    """Classes with their scores, highest first."""
    values = scores.tolist()
    return [{"label": classes[i], "score": values[i]} for i in np.argsort(-scores, kind="stable")[:top].tolist()]


def document(model: Model, answer: Answer) -> dict[str, Any]:
    """Everything that the service returns about one document."""
    classifier = model.classifier
    chosen: dict[str, Any] = (
        {"labels": list(answer.chosen)} if classifier.schema.multi_label else {"label": next(iter(answer.chosen), None)}
    )
    scores = {name: round(float(s), 6) for name, s in zip(classifier.classes, answer.scores, strict=True)}
    distance = round(answer.out_of_scope, 6) if answer.out_of_scope is not None else None
    return {
        **chosen,
        "scores": scores,
        "to_person": answer.to_person,
        "foreign": answer.foreign,
        "out_of_scope": distance,
        "set": list(answer.set) if answer.set is not None else None,
        "tokens": answer.tokens,
        "unread": answer.unread,
    }


def _check_not_truncated(answers: Sequence[Answer]) -> None:
    for i, answer in enumerate(answers):
        if answer.unread:
            found = f"{answer.unread:,} of {answer.tokens:,} tokens would not be read"
            raise RequestError(413, f"Document {i} is too long: {found}; truncate=true accepts that.")
