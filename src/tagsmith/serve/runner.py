"""Runs jobs, a few at a time and in slices, so that they do not delay synchronous requests."""

import asyncio
import logging
from typing import Any

from tagsmith.config.settings import ServeSettings
from tagsmith.serve import azure
from tagsmith.serve.answers import Answer
from tagsmith.serve.batching import QueueFull
from tagsmith.serve.deployments import Deployments
from tagsmith.serve.gate import frames
from tagsmith.serve.jobs import CANCELLED, FAILED, SUCCEEDED, Job, JobStore
from tagsmith.serve.loaded import Model

log = logging.getLogger("tagsmith.serve")

CONCURRENT_JOBS = 4
"""Jobs that run concurrently, so that a small one does not wait for a large one."""

SLICE = 32
"""Documents of a job that are in the queue together; between slices a job checks whether it is cancelled."""


class _Cancelled(Exception):
    pass


class JobRunner:
    """Runs jobs from the store while the service runs."""

    def __init__(self, store: JobStore, deployments: Deployments, settings: ServeSettings):
        self._store, self._deployments, self._settings = store, deployments, settings
        self._new = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._workers = [asyncio.create_task(self._work()) for _ in range(CONCURRENT_JOBS)]
        self._workers.append(asyncio.create_task(self._remove_expired()))

    def wake(self) -> None:
        """Signal that there is a new job."""
        self._new.set()

    async def stop(self) -> None:
        """Stop; running jobs start again when the service restarts."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            self._new.clear()  # Before taking a job, so that one added later is not missed.
            taken = await asyncio.to_thread(self._store.take)
            if taken is None:
                await self._new.wait()
                continue
            await self._run(*taken)

    async def _remove_expired(self) -> None:
        while True:
            await asyncio.to_thread(self._store.remove_expired)
            await asyncio.sleep(min(60.0, self._settings.job_hours * 3600))

    async def _run(self, job: Job, documents: list[dict[str, Any]]) -> None:
        try:
            tasks = [await self._task(job, task, documents) for task in job.request["tasks"]]
        except _Cancelled:
            tasks = [{"status": CANCELLED} for _ in job.request["tasks"]]
        except asyncio.CancelledError:
            self._store.give_back(job.id)
            raise
        errors = [{**task["error"], "target": f"#/tasks/items/{i}"} for i, task in enumerate(tasks) if "error" in task]
        status = azure.job_status(tasks)
        await asyncio.to_thread(self._store.finish, job.id, status, {"tasks": tasks, "errors": errors})

    async def _task(self, job: Job, task: dict[str, Any], documents: list[dict[str, Any]]) -> dict[str, Any]:
        deployment = self._deployments.of_project(task["projectName"]).get(task["deploymentName"])
        if deployment is None:
            return _failed("NotFound", "The project or the deployment no longer exists.")
        if deployment.loaded is None:
            return _failed("ServiceUnavailable", "The deployment serves no bundle yet.")
        with deployment.loaded.in_use() as model:
            if (kind := azure.kind_of(model.classifier.schema)) != task["kind"]:
                return _failed("InvalidArgument", f"The deployment is of the kind {kind}.")
            try:
                return {"status": SUCCEEDED, "entries": await self._entries(job, model, documents)}
            except (_Cancelled, asyncio.CancelledError):
                raise
            except Exception as error:
                log.error("task of a job failed: %s", type(error).__name__, extra={"stack": frames(error)})
                return _failed("InternalServerError", "The service could not classify the documents.")

    async def _entries(self, job: Job, model: Model, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The classes of each document, or its error, in the order of the documents."""
        limit = self._settings.max_characters
        problems = [azure.document_problem(document["text"], limit) for document in documents]
        valid = [document for document, problem in zip(documents, problems, strict=True) if problem is None]
        classified: dict[str, dict[str, Any]] = {}
        step = min(SLICE, self._settings.queue_documents)
        for start in range(0, len(valid), step):
            if await asyncio.to_thread(self._store.cancelling, job.id):
                raise _Cancelled
            part = valid[start : start + step]
            for document, answer in zip(part, await self._classify(model, [d["text"] for d in part]), strict=True):
                classified[document["id"]] = azure.document_result(
                    document["id"], document["text"], answer, model.classifier.schema.classes
                )
        return [
            classified[document["id"]] if problem is None else azure.document_error(document["id"], problem)
            for document, problem in zip(documents, problems, strict=True)
        ]

    async def _classify(self, model: Model, texts: list[str]) -> list[Answer]:
        while True:
            try:
                return await model.batcher.classify(texts)
            except QueueFull as full:  # No client is waiting, so the job can.
                await asyncio.sleep(min(full.seconds, 1.0))


def _failed(code: str, message: str) -> dict[str, Any]:
    return {"status": FAILED, "error": {"code": code, "message": message}}
