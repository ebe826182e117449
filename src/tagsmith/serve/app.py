"""The app: deployments, jobs and figures, and the faces on them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from prometheus_client.core import Metric
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tagsmith.config.settings import ServeSettings
from tagsmith.serve import azure_routes, predict, v2
from tagsmith.serve.answers import Answer
from tagsmith.serve.deployments import Deployments
from tagsmith.serve.gate import REASON, Gate, Keys, broken
from tagsmith.serve.jobs import JobStore
from tagsmith.serve.openapi import describe
from tagsmith.serve.problems import Refused, refusal
from tagsmith.serve.prometheus_metrics import Figures, gauge
from tagsmith.serve.runner import JobRunner
from tagsmith.serve.traces import Traces

log = logging.getLogger("tagsmith.serve")

PAGE = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


class Service:
    """All that one process of the service holds; `app` is what a server runs.

    Args:
        traces: what makes a trace of each request; None: nothing does.

    Raises:
        TagsmithError: a bundle or the file of the jobs cannot be used.
    """

    def __init__(self, settings: ServeSettings, keys: Sequence[str] = (), traces: Traces | None = None):
        self.settings = settings
        self.figures = Figures()
        # The jobs first: a file that cannot be used is told at once, bundles take seconds.
        path = Path(settings.jobs) if settings.jobs is not None else None
        self.store = JobStore(path, settings.max_jobs, settings.job_hours * 3600)
        try:
            self.deployments = Deployments(settings, self._batch_done, self._reloaded)
        except BaseException:
            self.store.close()
            raise
        self.runner = JobRunner(self.store, self.deployments, settings)
        self.figures.state(self._state)
        self.figures.jobs(self.store.unfinished)
        self.traces = traces
        self.app = Gate(self._faces(), Keys(keys), self.figures, traces)

    def _faces(self) -> FastAPI:
        # No page of FastAPI's own: they load scripts from elsewhere.
        app = FastAPI(
            title="Tagsmith",
            version=version("tagsmith"),
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            lifespan=self._lifespan,
        )
        app.include_router(azure_routes.routes(self.settings, self.deployments, self.store, self.runner))
        app.include_router(predict.routes(self.settings, self.deployments, self.figures))
        app.include_router(v2.routes(self.settings, self.deployments))
        for place, (name, kind) in PAGE.items():
            content = files("tagsmith.serve").joinpath("static", name).read_bytes()
            app.add_api_route(place, _file(content, kind), methods=["GET"], include_in_schema=False)
        app.add_exception_handler(Refused, _refused)
        app.add_exception_handler(HTTPException, _not_routed)
        app.add_exception_handler(Exception, _bug)
        app.openapi = lambda: describe(app)  # type: ignore[method-assign]
        return app

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self.runner.start()
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await self.runner.stop()
            await self.deployments.close()
            self.store.close()
            if self.traces is not None:
                await asyncio.to_thread(self.traces.close)

    async def _watch(self) -> None:
        if self.settings.watch_seconds:
            await self.deployments.watch(self.settings.watch_seconds)

    def _batch_done(self, name: str, texts: Sequence[str], answers: Sequence[Answer], seconds: float) -> None:
        self.figures.batch(name, answers, seconds)
        if self.settings.log_texts:
            for text, answer in zip(texts, answers, strict=True):
                facts = {"deployment": name, "text": text, "classes": list(answer.chosen)}
                log.info("classified", extra=facts)

    def _reloaded(self, name: str, good: bool) -> None:
        self.figures.reloads.labels(name, "taken" if good else "refused").inc()

    def _state(self) -> Iterable[Metric]:
        """What holds at the moment of a scrape."""
        models = {name: deployment.model for name, deployment in self.deployments.by_name.items()}
        one = ["deployment"]
        yield gauge(
            "tagsmith_queue_documents",
            "Documents that wait",
            one,
            [([n], m.batcher.waiting) for n, m in models.items()],
        )
        yield gauge(
            "tagsmith_abandoned_documents",
            "Documents not classified since their client had hung up",
            one,
            [([n], m.batcher.abandoned) for n, m in models.items()],
        )
        yield gauge(
            "tagsmith_bundle_info",
            "The version that answers; 1",
            ["deployment", "version"],
            [([n, m.version], 1) for n, m in models.items()],
        )
        yield gauge(
            "tagsmith_newer_refused",
            "1: the bundle that lies there now is refused, an older one answers",
            one,
            [([n], float(d.refused)) for n, d in self.deployments.by_name.items()],
        )
        rows = [
            ([name, figure], value)
            for name, model in models.items()
            if model.drift is not None
            for figure, value in model.drift.figures().items()
        ]
        about = "Population stability index against the documents that the bundle was tested on"
        yield gauge("tagsmith_drift_psi", about, ["deployment", "of"], rows)


def _file(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return Response(content, media_type=f"{kind}; charset=utf-8")

    return answer


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    request.scope[REASON] = error.message
    return refusal(request.url.path, error)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {404: "There is nothing here.", 405: "This method is not allowed here."}
    message = told.get(error.status_code, "The request cannot be answered.")
    return refusal(request.url.path, Refused(error.status_code, message, headers=error.headers or {}))


async def _bug(request: Request, _: Exception) -> Response:
    # Starlette raises it again after this, for the gate to log.
    return refusal(request.url.path, broken())
