"""The routes of Azure's runtime API: submit, poll and cancel a job. Clients change only their endpoint."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tagsmith.config.settings import ServeSettings
from tagsmith.serve import azure
from tagsmith.serve.deployments import Deployments
from tagsmith.serve.jobs import UNFINISHED, JobStore, TooManyJobs
from tagsmith.serve.openapi import AZURE_ERRORS, body, json_response, parameter
from tagsmith.serve.problems import RequestError, as_json
from tagsmith.serve.requests import parse_json, read_body
from tagsmith.serve.runner import JobRunner

PATH = "/language/analyze-text/jobs"

VERSION = parameter("api-version", {"type": "string", "enum": list(azure.VERSIONS)}, required=True)
UNKNOWN_JOB = "Unknown job; it may have expired."

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
        return f"{base}{PATH}/{job}?{urlencode({'api-version': version_of(request), **query})}"

    @router.post(
        PATH,
        status_code=202,
        response_class=Response,
        summary="Submit a job",
        responses={202: {"description": "Operation-Location holds the URL of the job."}, **AZURE_ERRORS},
        openapi_extra={**body(azure.JobSubmission), "parameters": [VERSION]},
    )
    async def submit(request: Request) -> Response:
        version_of(request)
        content = await read_body(request, settings)
        submission = parse_json(content, azure.JobSubmission, 400)
        check(submission, settings, deployments)
        job_request = {
            "displayName": submission.displayName,
            "tasks": [
                {
                    "kind": task.kind,
                    "taskName": task.taskName,
                    "projectName": task.parameters.projectName,
                    "deploymentName": task.parameters.deploymentName,
                }
                for task in submission.tasks
            ],
        }
        documents = [{"id": document.id, "text": document.text} for document in submission.analysisInput.documents]
        try:
            job = await asyncio.to_thread(store.add, job_request, documents, retry_key(request, content))
        except TooManyJobs:
            raise RequestError(
                429, "Too many jobs are unfinished; try again later.", headers={"Retry-After": "5"}
            ) from None
        runner.wake()
        return Response(status_code=202, headers={"Operation-Location": link(request, job)})

    # Registered before {job}, which would match "ID:cancel".
    @router.post(
        PATH + "/{job}:cancel",
        status_code=202,
        response_class=Response,
        summary="Cancel a job",
        responses={202: {"description": "The job is cancelled, or will be."}, **AZURE_ERRORS},
        openapi_extra={"parameters": [VERSION]},
    )
    async def cancel(request: Request, job: str) -> Response:
        version_of(request)
        before = await asyncio.to_thread(store.cancel, job)
        if before is None:
            raise RequestError(404, UNKNOWN_JOB)
        if before not in UNFINISHED:
            raise RequestError(400, f"The job cannot be cancelled: its status is {before}.")
        return Response(status_code=202, headers={"Operation-Location": link(request, job)})

    @router.get(
        PATH + "/{job}",
        summary="Status and results of a job",
        responses={**json_response({"type": "object"}), **AZURE_ERRORS},
        openapi_extra={"parameters": [VERSION, *PAGE]},
    )
    async def poll(request: Request, job: str) -> Response:
        version_of(request)
        statistics = request.query_params.get("showStats", "false").lower() == "true"
        top, skip = count_of(request, "top"), count_of(request, "skip") or 0
        found = await asyncio.to_thread(store.get, job)
        if found is None:
            raise RequestError(404, UNKNOWN_JOB)
        query: dict[str, str] = {"showStats": "true"} if statistics else {}
        next_page = link(request, job, top=str(top), skip=str(skip + (top or 0)), **query)
        state = azure.job_state(found, azure.Page(statistics, top or None, skip, next_page))
        return as_json(state, headers={"Retry-After": "1"} if found.status in UNFINISHED else None)

    return router


def version_of(request: Request, versions: Sequence[str] = azure.VERSIONS) -> str:
    """Raises: RequestError, `api-version` is missing or unknown."""
    version = request.query_params.get("api-version")
    if version is None or version not in versions:
        inner = {"code": "UnsupportedApiVersion", "message": f"Supported: {', '.join(versions)}."}
        raise RequestError(400, "Expected a supported api-version in the query.", "api-version", inner=inner)
    return version


def count_of(request: Request, name: str) -> int | None:
    """A whole number in the query, under a name with or without `$`."""
    for spelling in (name, f"${name}"):
        value = request.query_params.get(spelling)
        if value is not None:
            if not (value.isascii() and value.isdecimal() and len(value) < 10):
                raise RequestError(400, f"{spelling}: expected a whole number of at least 0.", spelling)
            return int(value)
    return None


def check(submission: azure.JobSubmission, settings: ServeSettings, deployments: Deployments) -> None:
    """Raises: RequestError, the job cannot run, whatever its documents hold."""
    documents = submission.analysisInput.documents
    place = "#/analysisInput/documents"
    if len(documents) > settings.max_documents:
        inner = {
            "code": "InvalidDocumentBatch",
            "message": f"Expected at most {settings.max_documents:,} documents in one job, found {len(documents):,}.",
        }
        raise RequestError(400, "Invalid document batch.", place, inner=inner)
    repeated = [name for name, count in Counter(document.id for document in documents).items() if count > 1]
    if repeated:
        inner = {"code": "InvalidDocument", "message": f"{len(repeated):,} ids belong to more than one document."}
        raise RequestError(400, "Document ids must be unique.", place, inner=inner)
    for i, task in enumerate(submission.tasks):
        target = f"#/tasks/{i}/parameters"
        project, name = task.parameters.projectName, task.parameters.deploymentName
        if not (known := deployments.of_project(project)):
            message = f"Unknown project; expected {settings.project}."
            raise RequestError(404, message, f"{target}/projectName")
        if (deployment := known.get(name)) is None:
            message = f"Unknown deployment; expected one of {', '.join(known)}."
            raise RequestError(404, message, f"{target}/deploymentName")
        kind = azure.kind_of(deployment.model.classifier.schema)
        if task.kind != kind:
            raise RequestError(400, f"The deployment is of the kind {kind}.", f"#/tasks/{i}/kind")


def retry_key(request: Request, body: bytes) -> str | None:
    """Equal for a request and a retry of it by the client, so that a retry does not become a second job."""
    name = request.headers.get("x-ms-client-request-id")
    key: Any = request.headers.get("ocp-apim-subscription-key", "")
    if name is None:
        return None
    return hashlib.sha256(b"\0".join([name.encode(), str(key).encode(), body])).hexdigest()
