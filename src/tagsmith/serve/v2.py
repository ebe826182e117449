"""The Open Inference Protocol, version 2, for the clients of KServe and Triton; a model is a deployment.

Input `text` BYTES [documents]; outputs `label` BYTES [documents] (a class, or a JSON list of classes), `scores` FP32
[documents, classes], `predicted` BOOL [documents, classes], `to_person` BOOL [documents].
"""

import json
from importlib.metadata import version
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tagsmith.config.settings import ServeSettings
from tagsmith.serve.answers import Answer
from tagsmith.serve.deployments import Deployment, Deployments
from tagsmith.serve.loaded import Model
from tagsmith.serve.openapi import ERRORS, body, json_response
from tagsmith.serve.problems import RequestError, as_json
from tagsmith.serve.requests import check_texts, classify, find_deployment, parse_json, read_body
from tagsmith.serve.tensors import Array, Infer, encode_response, split_body, texts_of

INPUT = "text"
JSON_HEADER = "Inference-Header-Content-Length"
JSON = json_response({"type": "object"})
TENSORS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {}, "application/octet-stream": {}}, "description": "Tensors."}
}


def routes(settings: ServeSettings, deployments: Deployments) -> APIRouter:
    """The routes of this wire."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

    def find(name: str, version: str | None = None) -> Deployment:
        deployment = find_deployment(deployments, name, "model")
        if version is not None and version != deployment.model.version:
            raise RequestError(404, f"{name}: unknown version; expected {deployment.model.version}.")
        return deployment

    @router.get("", responses={**JSON, **ERRORS})
    async def server() -> Response:
        return as_json({"name": "tagsmith", "version": version("tagsmith"), "extensions": ["binary_tensor_data"]})

    @router.get("/health/live", responses=JSON)
    async def live() -> Response:
        return as_json({"live": True})

    @router.get("/health/ready", responses={**JSON, **ERRORS})
    async def ready() -> Response:
        deployments.require_all()
        return as_json({"ready": True})

    @router.get("/models/{name}/versions/{version}", responses={**JSON, **ERRORS})
    async def version_metadata(name: str, version: str) -> Response:
        return as_json(metadata_of(name, find(name, version).model))

    @router.get("/models/{name}", responses={**JSON, **ERRORS})
    async def metadata(name: str) -> Response:
        return as_json(metadata_of(name, find(name).model))

    @router.get("/models/{name}/versions/{version}/ready", responses={**JSON, **ERRORS})
    async def version_ready(name: str, version: str) -> Response:
        find(name, version)
        return as_json({"name": name, "ready": True})

    @router.get("/models/{name}/ready", responses={**JSON, **ERRORS})
    async def model_ready(name: str) -> Response:
        find(name).require()
        return as_json({"name": name, "ready": True})

    inference: dict[str, Any] = {"responses": {**TENSORS, **ERRORS}, "openapi_extra": body(Infer)}

    @router.post("/models/{name}/versions/{version}/infer", response_class=Response, **inference)
    async def version_infer(request: Request, name: str, version: str) -> Response:
        return await respond(request, find(name, version))

    @router.post("/models/{name}/infer", response_class=Response, **inference)
    async def infer(request: Request, name: str) -> Response:
        return await respond(request, find(name))

    async def respond(request: Request, deployment: Deployment) -> Response:
        header, binary = split_body(await read_body(request, settings), request.headers.get(JSON_HEADER))
        inference = parse_json(header, Infer, 400)
        texts = texts_of(inference, binary, INPUT)
        check_texts(texts, settings)
        with deployment.model.in_use() as model:
            answers = await classify(request, deployment, model, texts, settings)
            origin = {"model_name": deployment.name, "model_version": model.version}
            content, header_length = encode_response(inference, outputs_of(model, answers), origin)
        if header_length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={JSON_HEADER: str(header_length)}, media_type="application/octet-stream")

    return router


def metadata_of(name: str, model: Model) -> dict[str, Any]:
    """The inputs and outputs of a model."""
    classes = model.classifier.classes
    outputs = {"label": ("BYTES", [-1]), "scores": ("FP32", [-1, len(classes)])}
    outputs |= {"predicted": ("BOOL", [-1, len(classes)]), "to_person": ("BOOL", [-1])}
    return {
        "name": name,
        "versions": [model.version],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": n, "datatype": kind, "shape": shape} for n, (kind, shape) in outputs.items()],
        "parameters": {"classes": classes, "task": model.classifier.schema.task.value},
    }


def outputs_of(model: Model, answers: list[Answer]) -> dict[str, Array]:
    """The output tensors for the answers."""
    classes = model.classifier.classes
    multi_label = model.classifier.schema.multi_label
    labels = np.empty(len(answers), dtype=object)
    for i, answer in enumerate(answers):
        label = next(iter(answer.chosen), "")
        labels[i] = json.dumps(answer.chosen, ensure_ascii=False) if multi_label else label
    return {
        "label": labels,
        "scores": np.stack([answer.scores for answer in answers]),
        "predicted": np.array([[name in answer.chosen for name in classes] for answer in answers]),
        "to_person": np.array([answer.to_person for answer in answers]),
    }
