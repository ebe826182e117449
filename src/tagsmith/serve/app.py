"""The ASGI app: deployments, jobs and metrics, and the routes of all wires."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from prometheus_client.core import CounterMetricFamily as Counter
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import Metric
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from tagsmith.classify.bundle.reference import Reference
from tagsmith.classify.drift import MIN_DOCUMENTS
from tagsmith.classify.production import Report
from tagsmith.config.settings import ServeSettings
from tagsmith.serve import authoring_routes, azure_routes, predict, sagemaker, v2, vllm
from tagsmith.serve.answers import Answer
from tagsmith.serve.attention import attention
from tagsmith.serve.authoring_project import Projects
from tagsmith.serve.deployments import Deployments
from tagsmith.serve.direct import FixedPaths
from tagsmith.serve.gate import REASON, Gate, Keys, internal_error
from tagsmith.serve.jobs import JobStore
from tagsmith.serve.loaded import Model
from tagsmith.serve.openapi import describe
from tagsmith.serve.problems import RequestError, error_response
from tagsmith.serve.prometheus_metrics import Metrics, family
from tagsmith.serve.runner import JobRunner
from tagsmith.serve.sample import Sample
from tagsmith.serve.shadow import Shadow
from tagsmith.serve.traces import Traces

log = logging.getLogger("tagsmith.serve")

PAGE = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


TRAINING_SECONDS = 1.0
"""How often the next training is started, if none runs."""


class Service:
    """The state of one process; `app` is the ASGI app.

    Args:
        traces: creates a span for each request; None: no traces.

    Raises:
        TagsmithError: a bundle or the job file cannot be used.
    """

    def __init__(self, settings: ServeSettings, keys: Sequence[str] = (), traces: Traces | None = None):
        self.settings = settings
        self.metrics = Metrics()
        # The job file first: an unusable one is reported immediately, whereas bundles take seconds to load.
        path = Path(settings.jobs) if settings.jobs is not None else None
        self.store = JobStore(path, settings.max_jobs, settings.job_hours * 3600)
        self.projects: Projects | None = None
        try:
            if settings.authoring is not None and settings.authoring_texts is not None:
                folders = Path(settings.authoring), Path(settings.authoring_texts)
                self.projects = Projects(*folders, settings.authoring_hours)
            self.samples = {n: Sample(Path(file), settings.keep_documents) for n, file in settings.keep_texts.items()}
            authored = self.projects.bundles() if self.projects is not None else {}
            self.deployments = Deployments(settings, self._batch_done, self._reloaded, authored)
        except BaseException:
            self.store.close()
            if self.projects is not None:
                self.projects.close()
            raise
        self.runner = JobRunner(self.store, self.deployments, settings)
        self.metrics.add_state(self._state)
        self.metrics.add_jobs(self.store.unfinished)
        self.traces = traces
        self.app = Gate(self._routes(), Keys(keys), self.metrics, traces, settings.sagemaker)

    def _routes(self) -> ASGIApp:
        # Without FastAPI's documentation pages, which load scripts from other servers.
        app = FastAPI(
            title="Tagsmith",
            version=version("tagsmith"),
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            lifespan=self._lifespan,
        )
        routers = [
            azure_routes.routes(self.settings, self.deployments, self.store, self.runner),
            predict.routes(self.settings, self.deployments, self.metrics),
            v2.routes(self.settings, self.deployments),
            vllm.routes(self.settings, self.deployments),
            sagemaker.routes(self.settings, self.deployments),
        ]
        if self.projects is not None:
            routers.append(authoring_routes.routes(self.settings, self.deployments, self.projects))
        for router in routers:
            app.include_router(router)
        for path, (name, media_type) in PAGE.items():
            content = files("tagsmith.serve").joinpath("static", name).read_bytes()
            app.add_api_route(path, _static(content, media_type), methods=["GET"], include_in_schema=False)
        app.add_exception_handler(RequestError, _request_error)
        app.add_exception_handler(HTTPException, _routing_error)
        app.add_exception_handler(Exception, _unexpected_error)
        app.openapi = lambda: describe(app)  # type: ignore[method-assign]
        return FixedPaths(app, (route for router in routers for route in router.routes))

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self.runner.start()
        tasks = [asyncio.create_task(work()) for work in (self._watch, self._write_samples, self._train)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await self.runner.stop()
            await self.deployments.close()
            for sample in self.samples.values():
                await asyncio.to_thread(sample.write)
            self.store.close()
            if self.projects is not None:
                self.projects.close()
            if self.traces is not None:
                await asyncio.to_thread(self.traces.close)

    async def _watch(self) -> None:
        if self.settings.watch_seconds:
            await self.deployments.watch(self.settings.watch_seconds)

    async def _write_samples(self) -> None:
        while self.samples:
            await asyncio.sleep(self.settings.keep_seconds)
            for sample in self.samples.values():
                await asyncio.to_thread(sample.write)

    async def _train(self) -> None:
        before = None
        while self.projects is not None:
            now = None
            try:
                await asyncio.to_thread(self.projects.queue.step)
            except Exception as error:  # Such as a full disk; requests are answered all the same.
                now = f"{type(error).__name__}: {error}"
            if now is not None and now != before:
                log.error("authoring: no training can be started: %s", now)
            before = now
            await asyncio.sleep(TRAINING_SECONDS)

    def _batch_done(self, model: Model, texts: Sequence[str], answers: Sequence[Answer], seconds: float) -> None:
        self.metrics.count_batch(model.name, answers, seconds)
        if (shadow := self.deployments.shadows.get(model.name)) is not None:
            shadow.offer(model.version, model.classifier.classes, texts, answers)
        if (sample := self.samples.get(model.name)) is not None:
            sample.add(model.version, model.classifier.schema.multi_label, texts, answers)
        if self.settings.log_texts:
            for text, answer in zip(texts, answers, strict=True):
                fields = {"deployment": model.name, "text": text, "classes": list(answer.chosen)}
                log.info("classified", extra=fields)

    def _reloaded(self, name: str, accepted: bool) -> None:
        self.metrics.reloads.labels(name, "taken" if accepted else "refused").inc()

    def _state(self) -> Iterable[Metric]:
        """Metrics of the state at the time of a scrape."""
        deployments = list(self.deployments.by_name.values())
        models = [(d.name, d.loaded) for d in deployments if d.loaded is not None]
        one = ["deployment"]
        about = "Requests refused because the queue was full"
        yield family(Counter, "tagsmith_queue_full", about, one, [([d.name], d.queue_full) for d in deployments])
        about = "Documents waiting in the queue"
        yield family(Gauge, "tagsmith_queue_documents", about, one, [([n], m.batcher.waiting) for n, m in models])
        about = "Documents that were not classified because the client had disconnected"
        rows = [([n], m.batcher.abandoned) for n, m in models]
        yield family(Gauge, "tagsmith_abandoned_documents", about, one, rows)
        about = "The version of the bundle in use; always 1"
        rows = [([n, m.version, m.store_version or "", m.run or ""], 1) for n, m in models]
        yield family(Gauge, "tagsmith_bundle_info", about, ["deployment", "version", "store_version", "run"], rows)
        about = "What computes, in which precision and with which instruction set; always 1"
        labels = ["deployment", "engine", "version", "precision", "instructions"]
        engines = [(n, m.classifier.engine) for n, m in models]
        rows = [([n, one.name, one.version, one.precision, one.instructions], 1) for n, one in engines]
        yield family(Gauge, "tagsmith_engine_info", about, labels, rows)
        about = "1: the deployment serves a bundle, 0: its store has none yet"
        yield family(Gauge, "tagsmith_ready", about, one, [([d.name], d.loaded is not None) for d in deployments])
        about = "1: the bundle now in the folder was refused, an older one or none is in use"
        yield family(Gauge, "tagsmith_newer_refused", about, one, [([d.name], d.refused) for d in deployments])
        about = "Population stability index against the documents on which the bundle was tested"
        reports = [(n, m.production.report(), m.production.reference) for n, m in models]
        drift = [([n, kind], value) for n, report, _ in reports for kind, value in report.drift.items()]
        yield family(Gauge, "tagsmith_drift_psi", about, ["deployment", "of"], drift)
        yield from _expected(reports, self.settings)
        yield from _compared(self.deployments.shadows)
        about = "Documents in the sample for tagging"
        kept = [([name], sample.documents) for name, sample in self.samples.items()]
        yield family(Gauge, "tagsmith_kept_documents", about, one, kept)


def _expected(reports: Sequence[tuple[str, Report, Reference | None]], settings: ServeSettings) -> Iterable[Metric]:
    """Metrics of the expected figures, for deployments with enough documents."""
    enough = [(n, report, report.expected) for n, report, _ in reports if report.documents >= MIN_DOCUMENTS]
    for name in ("accuracy", "macro_f1"):
        figures = [(n, getattr(found, name)) for n, _, found in enough if found is not None]
        rows = [([n, of], getattr(figure, of)) for n, figure in figures for of in ("value", "low", "high")]
        about = f"Expected {name} of the most recent documents, and its 95% interval"
        yield family(Gauge, f"tagsmith_expected_{name}", about, ["deployment", "of"], rows)
    about = "1: the expected figures can be trusted, 0: /deployments says why not"
    rows = [([n], not report.doubts) for n, report, _ in enough]
    yield family(Gauge, "tagsmith_expected_trusted", about, ["deployment"], rows)
    about = "1: this bound is passed; see serve.bounds"
    passed = [(n, one) for n, report, reference in reports for one in attention(report, reference, settings.bounds)]
    rows = [([n, one["figure"]], 1) for n, one in passed]
    yield family(Gauge, "tagsmith_attention", about, ["deployment", "figure"], rows)


def _compared(shadows: Mapping[str, Shadow]) -> Iterable[Metric]:
    """Metrics of the shadows; they begin anew when either bundle is replaced."""
    found = [(name, shadow.as_dict()) for name, shadow in shadows.items()]
    one = ["deployment"]
    for field, about in (
        ("waiting", "Documents that wait for the shadow"),
        ("dropped", "Documents that the shadow did not get, because its queue was full"),
        ("failed", "Documents that the shadow could not classify"),
    ):
        yield family(Gauge, f"tagsmith_shadow_{field}", about, one, [([name], state[field]) for name, state in found])
    compared = [(name, state["compared"]) for name, state in found if state["compared"] is not None]
    for field, about in (
        ("documents", "Documents whose answers were compared with those of the shadow"),
        ("equal", "Share of them for which the shadow has the same classes"),
        ("mean_score_difference", "Mean absolute difference of the scores"),
    ):
        rows = [([name], state[field]) for name, state in compared if state[field] is not None]
        yield family(Gauge, f"tagsmith_shadow_{field}", about, one, rows)
    about = "Documents with a class in the answer sent, in that of the shadow, and in both"
    classes = [(name, label, counts) for name, state in compared for label, counts in state["classes"].items()]
    rows = [([name, label, of], counts[of]) for name, label, counts in classes for of in ("sent", "shadow", "both")]
    yield family(Gauge, "tagsmith_shadow_predictions", about, ["deployment", "class", "of"], rows)


def _static(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def respond() -> Response:
        return Response(content, media_type=f"{media_type}; charset=utf-8")

    return respond


async def _request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    request.scope[REASON] = error.message
    return error_response(request.url.path, error)


async def _routing_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: "Not found.", 405: "Method not allowed."}
    message = messages.get(error.status_code, "The request cannot be answered.")
    return error_response(request.url.path, RequestError(error.status_code, message, headers=error.headers or {}))


async def _unexpected_error(request: Request, _: Exception) -> Response:
    # Starlette raises the exception again after this, and the gate logs it.
    return error_response(request.url.path, internal_error())
