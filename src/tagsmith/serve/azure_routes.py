"""Azure's runtime API: submit a job, poll it, cancel it; `azure-ai-textanalytics` changes its endpoint alone."""

import asyncio
import hashlib
from collections import Counter
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tagsmith.config.settings import ServeSettings
from tagsmith.serve import azure
from tagsmith.serve.deployments import Deployments
from tagsmith.serve.jobs import UNFINISHED, JobFull, JobStore
from tagsmith.serve.openapi import AZURE_ERRORS, body, parameter
from tagsmith.serve.problems import Refused, as_json
from tagsmith.serve.requests import body_of, parse
from tagsmith.serve.runner import JobRunner

PLACE = "/language/analyze-text/jobs"

VERSION = parameter("api-version", {"type": "string", "enum": list(azure.VERSIONS)}, required=True)
COUNT = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
PAGE = [
    parameter("showStats", {"type": "string", "enum": ["true", "True", "false", "False"]}),
    *(parameter(name, COUNT) for name in ("top", "skip", "$top", "$skip")),
]


def routes(settings: ServeSettings, deployments: Deployments, store: JobStore, runner: JobRunner) -> APIRouter:
    """The three routes."""
    router = APIRouter(tags=["Azure custom text classification"])

    def link(request: Request, job: str, **query: str) -> str:
        base = (settings.public_url or str(request.base_url)).rstrip("/")
        return f"{base}{PLACE}/{job}?{urlencode({'api-version': version_of(request), **query})}"

    @router.post(
        PLACE,
        status_code=202,
        response_class=Response,
        summary="Submit a job",
        responses={202: {"description": "Operation-Location holds the URL of the job."}, **AZURE_ERRORS},
        openapi_extra={**body(azure.AskedJob), "parameters": [VERSION]},
    )
    async def submit(request: Request) -> Response:
        version_of(request)
        sent = await body_of(request, settings)
        asked = parse(sent, azure.AskedJob, 400)
        check(asked, settings, deployments)
        wanted = {
            "displayName": asked.displayName,
            "tasks": [
                {
                    "kind": task.kind,
                    "taskName": task.taskName,
                    "projectName": task.parameters.projectName,
                    "deploymentName": task.parameters.deploymentName,
                }
                for task in asked.tasks
            ],
        }
        documents = [{"id": document.id, "text": document.text} for document in asked.analysisInput.documents]
        try:
            job = await asyncio.to_thread(store.add, wanted, documents, sent_as(request, sent))
        except JobFull:
            raise Refused(429, "Too many jobs are not done yet.", headers={"Retry-After": "5"}) from None
        runner.wake()
        return Response(status_code=202, headers={"Operation-Location": link(request, job)})

    # Before {job}, which would take "ID:cancel" for a name.
    @router.post(
        PLACE + "/{job}:cancel",
        status_code=202,
        response_class=Response,
        summary="Cancel a job",
        responses={202: {"description": "It is cancelled, or will be."}, **AZURE_ERRORS},
        openapi_extra={"parameters": [VERSION]},
    )
    async def cancel(request: Request, job: str) -> Response:
        version_of(request)
        before = await asyncio.to_thread(store.cancel, job)
        if before is None:
            raise unknown_job()
        if before not in UNFINISHED:
            raise Refused(400, f"The job cannot be cancelled: its status is {before}.")
        return Response(status_code=202, headers={"Operation-Location": link(request, job)})

    @router.get(
        PLACE + "/{job}",
        summary="Status and results of a job",
        responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}, **AZURE_ERRORS},
        openapi_extra={"parameters": [VERSION, *PAGE]},
    )
    async def poll(request: Request, job: str) -> Response:
        version_of(request)
        statistics = request.query_params.get("showStats", "false").lower() == "true"
        top, skip = count_of(request, "top"), count_of(request, "skip") or 0
        found = await asyncio.to_thread(store.get, job)
        if found is None:
            raise unknown_job()
        further: dict[str, str] = {"showStats": "true"} if statistics else {}
        following = link(request, job, top=str(top), skip=str(skip + (top or 0)), **further)
        state = azure.job_state(found, statistics, top or None, skip, following)
        return as_json(state, headers={"Retry-After": "1"} if found.status in UNFINISHED else None)

    return router


def version_of(request: Request) -> str:
    """Raises: Refused, where `api-version` is missing or unknown."""
    version = request.query_params.get("api-version")
    if version not in azure.VERSIONS:
        inner = {"code": "UnsupportedApiVersion", "message": f"Supported: {', '.join(azure.VERSIONS)}."}
        raise Refused(400, "Expected a supported api-version in the query.", "api-version", inner=inner)
    return version


def count_of(request: Request, name: str) -> int | None:
    """A whole number of the query, spelled with or without `$`."""
    for spelling in (name, f"${name}"):
        value = request.query_params.get(spelling)
        if value is not None:
            if not (value.isascii() and value.isdecimal() and len(value) < 10):
                raise Refused(400, f"Expected {spelling} to be a whole number of at least 0.", spelling)
            return int(value)
    return None


def check(asked: azure.AskedJob, settings: ServeSettings, deployments: Deployments) -> None:
    """Raises: Refused, where a job cannot be run whatever its documents hold."""
    documents = asked.analysisInput.documents
    place = "#/analysisInput/documents"
    if len(documents) > settings.max_documents:
        inner = {
            "code": "InvalidDocumentBatch",
            "message": f"A job may have at most {settings.max_documents:,} documents; this one has {len(documents):,}.",
        }
        raise Refused(400, "Invalid document batch.", place, inner=inner)
    repeated = [name for name, count in Counter(document.id for document in documents).items() if count > 1]
    if repeated:
        inner = {"code": "InvalidDocument", "message": f"{len(repeated):,} ids stand at more than one document."}
        raise Refused(400, "Document ids must be unique.", place, inner=inner)
    for i, task in enumerate(asked.tasks):
        wanted = task.parameters
        deployment = deployments.by_name.get(wanted.deploymentName)
        if wanted.projectName != settings.project:
            told = f"There is no such project; there is {settings.project}."
            raise Refused(404, told, f"#/tasks/{i}/parameters/projectName")
        if deployment is None:
            told = f"There is no such deployment; there are {', '.join(deployments.by_name)}."
            raise Refused(404, told, f"#/tasks/{i}/parameters/deploymentName")
        kind = azure.kind_of(deployment.model.classifier.schema)
        if task.kind != kind:
            raise Refused(400, f"The deployment is of the kind {kind}.", f"#/tasks/{i}/kind")


def sent_as(request: Request, body: bytes) -> str | None:
    """What a request has in common with its repetition by the client: a retry must not become a second job."""
    name = request.headers.get("x-ms-client-request-id")
    key: Any = request.headers.get("ocp-apim-subscription-key", "")
    if name is None:
        return None
    return hashlib.sha256(b"\0".join([name.encode(), str(key).encode(), body])).hexdigest()


def unknown_job() -> Refused:
    """One that never was, or has expired."""
    return Refused(404, "There is no such job; it may have expired.")
