"""The wire of Azure custom text classification: what a request must be, what a job looks like.

Both versions of its runtime API (2022-05-01 and 2023-04-01) are the same wire.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tagsmith.core.schema import Schema
from tagsmith.serve.answers import Answer
from tagsmith.serve.jobs import CANCELLED, CANCELLING, FAILED, PARTLY, RUNNING, SUCCEEDED, WAITING, Job

VERSIONS = ("2022-05-01", "2023-04-01")

Kind = Literal["CustomSingleLabelClassification", "CustomMultiLabelClassification"]

TRANSACTION = 1000
"""Characters that are counted as one transaction in the statistics."""


class Parameters(BaseModel):
    """Which model a task asks; other parameters of Azure's are accepted and mean nothing here."""

    model_config = ConfigDict(strict=True)
    projectName: str
    deploymentName: str


class AskedTask(BaseModel):
    """One task over all documents."""

    model_config = ConfigDict(strict=True)
    kind: Kind
    taskName: str | None = None
    parameters: Parameters


class AskedDocument(BaseModel):
    """One document; one without text is an error of that document alone."""

    model_config = ConfigDict(strict=True)
    id: Annotated[str, Field(min_length=1, max_length=512)]
    text: str = ""
    language: str | None = None


class AnalysisInput(BaseModel):
    """The documents."""

    model_config = ConfigDict(strict=True)
    documents: Annotated[list[AskedDocument], Field(min_length=1)]


class AskedJob(BaseModel):
    """The body of a new job."""

    model_config = ConfigDict(strict=True)
    displayName: str | None = None
    analysisInput: AnalysisInput
    tasks: Annotated[list[AskedTask], Field(min_length=1, max_length=25)]


def kind_of(schema: Schema) -> str:
    """Azure's name of the task."""
    return "CustomMultiLabelClassification" if schema.multi_label else "CustomSingleLabelClassification"


def document_problem(text: str, most_characters: int) -> str | None:
    """What is wrong with one document's text."""
    if not text.strip():
        return "Document text is empty."
    if len(text) > most_characters:
        return f"A document may have at most {most_characters:,} characters; this one has {len(text):,}."
    return None


def document_result(name: str, text: str, answer: Answer, classes: Sequence[str]) -> dict[str, Any]:
    """What a job stores of a document that was classified."""
    at = {known: i for i, known in enumerate(classes)}
    warnings = []
    if answer.unread:
        warnings.append({"code": "DocumentTruncated", "message": f"{answer.unread:,} of its tokens were not read."})
    if answer.to_person:
        why = "It is unlike all training documents" if answer.foreign else "The scores do not suffice"
        warnings.append({"code": "LeftToPerson", "message": f"{why}; a person should decide."})
    found = [
        {"category": known, "confidenceScore": round(float(answer.scores[at[known]]), 6)} for known in answer.chosen
    ]
    return {"id": name, "class": found, "warnings": warnings, "characters": len(text)}


def document_error(name: str, problem: str) -> dict[str, Any]:
    """What a job stores of a document that was not."""
    inner = {"code": "InvalidDocument", "message": problem}
    error = {"code": "InvalidArgument", "message": "Invalid document in request.", "innererror": inner}
    return {"id": name, "error": error}


def job_status(tasks: Sequence[dict[str, Any]]) -> str:
    """Of a job whose tasks have all ended."""
    failed = sum(task["status"] == FAILED for task in tasks)
    return SUCCEEDED if not failed else FAILED if failed == len(tasks) else PARTLY


def job_state(job: Job, show_statistics: bool, top: int | None, skip: int, next_link: str) -> dict[str, Any]:
    """The body of a poll.

    Args:
        top, skip: the page of the documents that was asked for; None: all of them.
        next_link: where the page after this one is found.
    """
    total = len(job.request["tasks"])
    done: list[dict[str, Any]] = job.result["tasks"] if job.result is not None else []
    if job.status == CANCELLED and not done:
        done = [{"status": CANCELLED} for _ in job.request["tasks"]]
    items = [
        _item(asked, task, job.updated, show_statistics, top, skip)
        for asked, task in zip(job.request["tasks"], done, strict=False)
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
    if top is not None and skip + top < longest:
        state["nextLink"] = next_link
    return state


def _item(
    asked: dict[str, Any], task: dict[str, Any], updated: float, show_statistics: bool, top: int | None, skip: int
) -> dict[str, Any]:
    item: dict[str, Any] = {
        "kind": f"{asked['kind']}LROResults",
        "lastUpdateDateTime": _date(updated),
        "status": task["status"],
    }
    if asked.get("taskName") is not None:
        item["taskName"] = asked["taskName"]
    if task["status"] == FAILED:
        return item
    entries = task.get("entries", [])
    page = entries if top is None else entries[skip : skip + top]
    good = [entry for entry in page if "error" not in entry]
    results: dict[str, Any] = {
        "documents": [_document(entry, show_statistics) for entry in good],
        "errors": [entry for entry in page if "error" in entry],
        "projectName": asked["projectName"],
        "deploymentName": asked["deploymentName"],
    }
    if show_statistics:
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
