"""The JSON of Azure custom text classification: bodies of requests, states and results of jobs.

Both versions of its runtime API (2022-05-01 and 2023-04-01) have the same format.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from tagsmith.core.schema import Schema
from tagsmith.serve.answers import Answer
from tagsmith.serve.jobs import CANCELLED, CANCELLING, FAILED, PARTLY, RUNNING, SUCCEEDED, WAITING, Job

VERSIONS = ("2022-05-01", "2023-04-01")

Kind = Literal["CustomSingleLabelClassification", "CustomMultiLabelClassification"]

TRANSACTION = 1000
"""Characters that the statistics count as one transaction."""


class Parameters(BaseModel, strict=True):
    """The model that a task uses; other parameters of Azure's are accepted and ignored."""

    projectName: str
    deploymentName: str


class Task(BaseModel, strict=True):
    """One task on all documents."""

    kind: Kind
    taskName: str | None = None
    parameters: Parameters


class InputDocument(BaseModel, strict=True):
    """One document; one without text is an error of this document, not of the job."""

    id: Annotated[str, Field(min_length=1, max_length=512)]
    text: str = ""
    language: str | None = None


class AnalysisInput(BaseModel, strict=True):
    """The documents."""

    documents: Annotated[list[InputDocument], Field(min_length=1)]


class JobSubmission(BaseModel, strict=True):
    """The body of a new job."""

    displayName: str | None = None
    analysisInput: AnalysisInput
    tasks: Annotated[list[Task], Field(min_length=1, max_length=25)]


def kind_of(schema: Schema) -> str:
    """Azure's name for the task of a schema."""
    return "CustomMultiLabelClassification" if schema.multi_label else "CustomSingleLabelClassification"


def document_problem(text: str, max_characters: int) -> str | None:
    """Why one document cannot be classified; None: it can."""
    if not text.strip():
        return "Document text is empty."
    if len(text) > max_characters:
        return f"Expected at most {max_characters:,} characters in one document, found {len(text):,}."
    return None


def document_result(name: str, text: str, answer: Answer, classes: Sequence[str]) -> dict[str, Any]:
    """The stored result of a document that was classified."""
    positions = {known: i for i, known in enumerate(classes)}
    warnings = []
    if answer.unread:
        warnings.append(
            {"code": "DocumentTruncated", "message": f"{answer.unread:,} tokens of the document were not read."}
        )
    if answer.to_person:
        why = "The document is unlike all training documents" if answer.foreign else "The scores are too uncertain"
        warnings.append({"code": "LeftToPerson", "message": f"{why}; a person should decide."})
    found = [
        {"category": known, "confidenceScore": round(float(answer.scores[positions[known]]), 6)}
        for known in answer.chosen
    ]
    return {"id": name, "class": found, "warnings": warnings, "characters": len(text)}


def document_error(name: str, problem: str) -> dict[str, Any]:
    """The stored result of a document that was not classified."""
    inner = {"code": "InvalidDocument", "message": problem}
    error = {"code": "InvalidArgument", "message": "Invalid document in request.", "innererror": inner}
    return {"id": name, "error": error}


def job_status(tasks: Sequence[dict[str, Any]]) -> str:
    """The status of a job whose tasks have all ended."""
    failed = sum(task["status"] == FAILED for task in tasks)
    return SUCCEEDED if not failed else FAILED if failed == len(tasks) else PARTLY


@dataclass(frozen=True)
class Page:
    """The part of a job's results that a poll requests.

    Attributes:
        statistics: whether to include counts.
        top, skip: number of documents, and of those before them; None: all documents.
        next_link: the URL of the next page.
    """

    statistics: bool
    top: int | None
    skip: int
    next_link: str


def job_state(job: Job, page: Page) -> dict[str, Any]:
    """The body of the response to a poll."""
    total = len(job.request["tasks"])
    done: list[dict[str, Any]] = job.result["tasks"] if job.result is not None else []
    if job.status == CANCELLED and not done:
        done = [{"status": CANCELLED} for _ in job.request["tasks"]]
    items = [
        _item(requested, task, job.updated, page) for requested, task in zip(job.request["tasks"], done, strict=False)
    ]
    count = {status: sum(task["status"] == status for task in done) for status in (SUCCEEDED, FAILED)}
    active = total if job.status in (WAITING, RUNNING, CANCELLING) else 0
    tasks = {"completed": count[SUCCEEDED], "failed": count[FAILED], "inProgress": active, "total": total}
    state = {
        "jobId": job.id,
        "createdDateTime": _date(job.created),
        "lastUpdatedDateTime": _date(job.updated),
        "expirationDateTime": _date(job.expires),
        "status": job.status,
        "errors": job.result["errors"] if job.result is not None else [],
        "tasks": {**tasks, "items": items},
    }
    if job.request.get("displayName") is not None:
        state["displayName"] = job.request["displayName"]
    longest = max((len(task.get("entries", [])) for task in done), default=0)
    if page.top is not None and page.skip + page.top < longest:
        state["nextLink"] = page.next_link
    return state


def _item(requested: dict[str, Any], task: dict[str, Any], updated: float, page: Page) -> dict[str, Any]:
    item: dict[str, Any] = {
        "kind": f"{requested['kind']}LROResults",
        "lastUpdateDateTime": _date(updated),
        "status": task["status"],
    }
    if requested.get("taskName") is not None:
        item["taskName"] = requested["taskName"]
    if task["status"] == FAILED:
        return item
    entries = task.get("entries", [])
    shown = entries if page.top is None else entries[page.skip : page.skip + page.top]
    results: dict[str, Any] = {
        "documents": [_document(entry, page.statistics) for entry in shown if "error" not in entry],
        "errors": [entry for entry in shown if "error" in entry],
        "projectName": requested["projectName"],
        "deploymentName": requested["deploymentName"],
    }
    if page.statistics:
        valid = [entry for entry in entries if "error" not in entry]
        results["statistics"] = {
            "documentsCount": len(entries),
            "validDocumentsCount": len(valid),
            "erroneousDocumentsCount": len(entries) - len(valid),
            "transactionsCount": sum(_transactions(entry["characters"]) for entry in valid),
        }
    return item | {"results": results}


def _document(entry: dict[str, Any], show_statistics: bool) -> dict[str, Any]:
    document = {name: entry[name] for name in ("id", "class", "warnings")}
    if show_statistics:
        counts = {"charactersCount": entry["characters"], "transactionsCount": _transactions(entry["characters"])}
        document["statistics"] = counts
    return document


def _transactions(characters: int) -> int:
    return max(1, -(-characters // TRANSACTION))


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
