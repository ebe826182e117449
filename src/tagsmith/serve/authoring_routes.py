"""The routes of Azure's authoring API that people automate. Clients change only their endpoint."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from tagsmith.config.settings import ServeSettings
from tagsmith.config.settings.serve import NAME
from tagsmith.core.errors import TagsmithError
from tagsmith.serve import authoring
from tagsmith.serve.authoring_jobs import without
from tagsmith.serve.authoring_project import Project, Projects, state_of
from tagsmith.serve.azure_routes import VERSION, count_of, version_of
from tagsmith.serve.deployments import Deployments
from tagsmith.serve.jobs import UNFINISHED
from tagsmith.serve.openapi import AZURE_ERRORS, body, json_response, parameter
from tagsmith.serve.problems import RequestError, as_json
from tagsmith.serve.requests import parse_json, read_body, read_json

PATH = "/language/authoring/analyze-text/projects"
ONE = PATH + "/{project}"
JOBS = {"import": "import/jobs", "export": "export/jobs", "swap": "deployments/swap/jobs"}

NOT_SERVED = (
    *("/:copy", "/:authorize-copy", "/resources{rest:path}", "/exported-models{rest:path}"),
    *("/models/{model}/:evaluate", "/models/{model}/:load-snapshot", "/deployments/{name}/:delete-from-resources"),
)
"""What Azure has below a project and the service has not."""

POLLER, CANCELED = "azsdk-python-", {"cancelled": "canceled"}
"""Azure sends `cancelled`, and so do we. The pollers of azure-core for Python wait for `canceled` for ever: they get it
from the link that they poll, and nobody else."""

NAMES = "Expected a name of letters, digits, dots, hyphens and underscores, at most 64."

Json = dict[str, Any]


def routes(settings: ServeSettings, deployments: Deployments, projects: Projects) -> APIRouter:
    """The routes; a request that changes something waits for the one before it."""
    router = APIRouter(tags=["Azure authoring"])
    changing = asyncio.Lock()
    version = {**VERSION, "schema": {"type": "string", "enum": list(authoring.AUTHORING_VERSIONS)}}
    found: Json = {"responses": {**json_response({"type": "object"}), **AZURE_ERRORS}, "response_class": Response}
    started: Json = {
        "status_code": 202,
        "response_class": Response,
        "responses": {202: {"description": "Operation-Location holds the URL of the job."}, **AZURE_ERRORS},
    }

    def described(kind: type | None = None, pages: bool = False) -> Json:
        paging = [parameter(name, {"type": "integer"}) for name in ("top", "skip", "maxpagesize")] if pages else []
        return {"openapi_extra": {**(body(kind) if kind is not None else {}), "parameters": [version, *paging]}}

    def link(request: Request, place: str, **query: str) -> str:
        base = (settings.public_url or str(request.base_url)).rstrip("/")
        asked = urlencode({"api-version": request.query_params["api-version"], **query})
        return f"{base}{PATH}{quote(place and f'/{place}')}?{asked}"

    def accepted(request: Request, place: str) -> Response:
        poller = {"poller": "true"} if request.headers.get("User-Agent", "").startswith(POLLER) else {}
        return Response(status_code=202, headers={"Operation-Location": link(request, place, **poller)})

    def project_of(request: Request) -> Project:
        version_of(request, authoring.AUTHORING_VERSIONS)
        return projects.get(request.path_params["project"])

    def new_name(name: str) -> str:
        if not NAME.fullmatch(name) or name == "global":
            raise RequestError(400, NAMES, "projectName")
        if name == settings.project and settings.deployments:
            raise RequestError(409, "The service has a project of this name in its settings.", "projectName")
        return name

    def page(request: Request, items: Sequence[Json]) -> Response:
        skip, top = count_of(request, "skip") or 0, count_of(request, "top")
        rest = items[skip:] if top is None else items[skip : skip + top]
        size = count_of(request, "maxpagesize") or len(rest)
        content: Json = {"value": rest[:size]}
        if len(rest) > size:
            query = {"skip": str(skip + size), "maxpagesize": str(size)}
            query |= {"top": str(top - size)} if top is not None else {}
            content["nextLink"] = link(request, request.url.path.removeprefix(PATH).strip("/"), **query)
        return as_json(content)

    @router.get(PATH, summary="List projects", **found, **described(pages=True))
    async def list_projects(request: Request) -> Response:
        version_of(request, authoring.AUTHORING_VERSIONS)
        return page(request, await asyncio.to_thread(lambda: [one.described() for one in projects.all()]))

    @router.get(PATH + "/global/deletion-jobs/{job}", summary="State of a deletion", **found, **described())
    async def deletion(request: Request, job: str) -> Response:
        version_of(request, authoring.AUTHORING_VERSIONS)
        return as_json(state_of(job, await asyncio.to_thread(projects.job, "delete", "", job)))

    @router.patch(ONE, summary="Make or change a project", **found, **described(authoring.ProjectSettings))
    async def put_project(request: Request, project: str) -> Response:
        version_of(request, authoring.AUTHORING_VERSIONS)
        content = await read_body(request, settings)
        parse_json(content, authoring.ProjectSettings, 400)
        async with changing:
            made = await asyncio.to_thread(projects.put, new_name(project), json.loads(content))
        return as_json(await asyncio.to_thread(made.described))

    @router.get(ONE, summary="A project", **found, **described())
    async def get_project(request: Request) -> Response:
        return as_json(await asyncio.to_thread(project_of(request).described))

    @router.delete(ONE, summary="Delete a project", **started, **described())
    async def delete_project(request: Request) -> Response:
        async with changing:
            project = project_of(request)
            await asyncio.to_thread(project.require_idle)
            for name in project.bundles():
                deployments.remove(f"{project.name}/{name}")
            await asyncio.to_thread(projects.delete, project)
            job = await asyncio.to_thread(projects.ended_job, "delete", "")
        return accepted(request, f"global/deletion-jobs/{job}")

    @router.post(ONE + "/:import", summary="Import a project", **started, **described(authoring.ImportedProject))
    async def import_project(request: Request, project: str) -> Response:
        version_of(request, authoring.AUTHORING_VERSIONS)
        content = await read_body(request, settings)
        parse_json(content, authoring.ImportedProject, 400)
        async with changing:
            found = await asyncio.to_thread(projects.import_, new_name(project), json.loads(content))
            job = await asyncio.to_thread(projects.ended_job, "import", project, warnings=found)
        return accepted(request, f"{project}/{JOBS['import']}/{job}")

    @router.post(ONE + "/:export", summary="Export a project", **started, **described())
    async def export_project(request: Request) -> Response:
        project = project_of(request)
        settings_alone = {"projectFileVersion": "2022-05-01", "metadata": project.described()}
        labels = await asyncio.to_thread(project.labels)
        job = await asyncio.to_thread(projects.ended_job, "export", project.name, None, labels or settings_alone)
        return accepted(request, f"{project.name}/{JOBS['export']}/{job}")

    @router.get(ONE + "/export/jobs/{job}/result", summary="The exported project", **found, **described())
    async def exported(request: Request, job: str) -> Response:
        return as_json((await asyncio.to_thread(projects.job, "export", project_of(request).name, job))["result"])

    def job_route(kind: str, place: str) -> None:
        @router.get(f"{ONE}/{place}/{{job}}", summary=f"State of a job: {kind}", **found, **described())
        async def state(request: Request, project: str, job: str) -> Response:
            version_of(request, authoring.AUTHORING_VERSIONS)
            content = state_of(job, await asyncio.to_thread(projects.job, kind, project, job))
            if kind == "export":
                content["resultUrl"] = link(request, f"{project}/{place}/{job}/result")
            return as_json(content)

    for kind, place in JOBS.items():
        job_route(kind, place)
    job_route("deployment", "deployments/{deployment}/jobs")

    @router.post(ONE + "/:train", summary="Train", **started, **described(authoring.TrainingRequest))
    async def train(request: Request) -> Response:
        project = project_of(request)
        asked = await read_json(request, authoring.TrainingRequest, settings, 400)
        async with changing:
            training = await asyncio.to_thread(projects.train, project, asked)
        return accepted(request, f"{project.name}/train/jobs/{training.id}")

    private = (projects.folder, projects.texts)

    @router.get(ONE + "/train/jobs", summary="List trainings", **found, **described(pages=True))
    async def list_trainings(request: Request) -> Response:
        trainings = await asyncio.to_thread(project_of(request).trainings)
        return page(request, [await asyncio.to_thread(one.state, private) for one in trainings])

    @router.get(ONE + "/train/jobs/{job}", summary="State of a training", **found, **described())
    async def training_state(request: Request, job: str) -> Response:
        training = await asyncio.to_thread(project_of(request).training, job)
        content = await asyncio.to_thread(training.state, private)
        if "poller" in request.query_params:
            content["status"] = CANCELED.get(content["status"], content["status"])
        return as_json(content, headers={"Retry-After": "5"} if content["status"] in UNFINISHED else None)

    @router.post(ONE + "/train/jobs/{job}/:cancel", summary="Cancel a training", **started, **described())
    async def cancel_training(request: Request, job: str) -> Response:
        project = project_of(request)
        training = await asyncio.to_thread(project.training, job)
        async with changing:
            if not await asyncio.to_thread(projects.queue.cancel, training):
                raise RequestError(400, "The training has ended, so it cannot be cancelled.")
        return accepted(request, f"{project.name}/train/jobs/{job}")

    @router.get(ONE + "/models", summary="List trained models", **found, **described(pages=True))
    async def list_models(request: Request) -> Response:
        project = project_of(request)
        models = await asyncio.to_thread(project.models)
        return page(request, [project.described_model(one) for one in models.values()])

    @router.get(ONE + "/models/{model}", summary="A trained model", **found, **described())
    async def get_model(request: Request, model: str) -> Response:
        project = project_of(request)
        return as_json(project.described_model(await asyncio.to_thread(project.model, model)))

    @router.delete(
        ONE + "/models/{model}",
        status_code=204,
        response_class=Response,
        summary="Delete a trained model",
        responses={204: {"description": "It is deleted."}, **AZURE_ERRORS},
        **described(),
    )
    async def delete_model(request: Request, model: str) -> Response:
        async with changing:
            await asyncio.to_thread(project_of(request).delete_model, model)
        return Response(status_code=204)

    evaluation = ONE + "/models/{model}/evaluation"

    @router.get(evaluation + "/summary-result", summary="Figures of a trained model", **found, **described())
    async def summary(request: Request, model: str) -> Response:
        project = project_of(request)
        return as_json(await asyncio.to_thread(lambda: project.summary(project.model(model))))

    @router.get(evaluation + "/result", summary="Classes of test documents", **found, **described(pages=True))
    async def results(request: Request, model: str) -> Response:
        project = project_of(request)
        return page(
            request, await asyncio.to_thread(lambda: project.results(project.model(model), projects.texts_of(project)))
        )

    @router.get(ONE + "/deployments", summary="List deployments", **found, **described(pages=True))
    async def list_deployments(request: Request) -> Response:
        project = project_of(request)
        return page(request, [project.described_deployment(name) for name in project.bundles()])

    @router.get(ONE + "/deployments/{deployment}", summary="A deployment", **found, **described())
    async def get_deployment(request: Request, deployment: str) -> Response:
        return as_json(await asyncio.to_thread(project_of(request).described_deployment, deployment))

    async def deploy(project: Project, served: dict[str, Json]) -> str | None:
        """Serve models under the names of deployments, all or none; returns why not."""
        before = project.about()["deployments"]
        try:
            for name, one in served.items():
                await deployments.put(f"{project.name}/{name}", project.bundle(one))
        except TagsmithError as error:
            for name in served.keys() & before.keys():
                await deployments.put(f"{project.name}/{name}", project.bundle(before[name]))
            return without(str(error), private)
        await asyncio.to_thread(project.note, deployments=before | served)
        return None

    @router.put(
        ONE + "/deployments/{deployment}", summary="Deploy", **started, **described(authoring.DeploymentRequest)
    )
    async def put_deployment(request: Request, deployment: str) -> Response:
        project = project_of(request)
        asked = await read_json(request, authoring.DeploymentRequest, settings, 400)
        if not NAME.fullmatch(deployment):
            raise RequestError(400, NAMES, "deploymentName")
        async with changing:
            model = await asyncio.to_thread(project.model, asked.trainedModelLabel)
            one = {"training": model.id, "version": model.about().version, "deployed": time.time()}
            error = await deploy(project, {deployment: one})
            job = await asyncio.to_thread(projects.ended_job, "deployment", project.name, error)
        return accepted(request, f"{project.name}/deployments/{deployment}/jobs/{job}")

    @router.delete(ONE + "/deployments/{deployment}", summary="Delete a deployment", **started, **described())
    async def delete_deployment(request: Request, deployment: str) -> Response:
        async with changing:
            project = project_of(request)
            project.described_deployment(deployment)
            rest = {name: one for name, one in project.about()["deployments"].items() if name != deployment}
            await asyncio.to_thread(project.note, deployments=rest)
            deployments.remove(f"{project.name}/{deployment}")
            job = await asyncio.to_thread(projects.ended_job, "deployment", project.name)
        return accepted(request, f"{project.name}/deployments/{deployment}/jobs/{job}")

    @router.post(ONE + "/deployments/:swap", summary="Swap deployments", **started, **described(authoring.Swap))
    async def swap(request: Request) -> Response:
        project = project_of(request)
        asked = await read_json(request, authoring.Swap, settings, 400)
        first, second = asked.firstDeploymentName, asked.secondDeploymentName
        async with changing:
            for name in (first, second):
                project.described_deployment(name)
            now = project.about()["deployments"]
            error = await deploy(project, {first: now[second], second: now[first]})
            job = await asyncio.to_thread(projects.ended_job, "swap", project.name, error)
        return accepted(request, f"{project.name}/{JOBS['swap']}/{job}")

    async def not_served(request: Request) -> Response:
        project_of(request)
        raise RequestError(501, f"Tagsmith does not serve {request.scope['route'].path.removeprefix(PATH)}.")

    for place in NOT_SERVED:
        router.add_api_route(ONE + place, not_served, methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
    return router
