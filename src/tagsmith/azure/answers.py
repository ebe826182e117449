"""The answers of a deployment to documents: in requests within Azure's limits, each recorded as it came."""

import hashlib
import json
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.azure.exit_folder import ExitFolder, Json, kept
from tagsmith.azure.service import Service, errors_of
from tagsmith.core.errors import DataError, InputMissing, TryAgainLater, counted
from tagsmith.core.files import write_json, write_lines
from tagsmith.core.progress import meter

log = logging.getLogger("tagsmith")

JOBS = "/language/analyze-text/jobs"
VERSION = "2023-04-01"
"""Of the runtime interface."""

MOST_DOCUMENTS = 25
MOST_CHARACTERS = 125_000
"""Of one request. Azure counts text elements, of which a text has at most as many as Python counts characters."""

RECORD = 1_000
"""Characters of a text record, in which Azure counts what it charges for; each document begins a new one."""

AHEAD = 8
"""Requests that wait for their answers at the same time; Azure allows 1,000 calls a minute."""


@dataclass(frozen=True)
class Asked:
    """A document to be answered."""

    id: str
    text: str
    language: str | None = None


@dataclass(frozen=True)
class Deployment:
    """What answers: a deployment of a project of this kind."""

    kind: str
    project: str
    name: str


@dataclass(frozen=True)
class Request:
    """One request, and its files: `job` has the link to what was submitted, `state` the pages of its answer."""

    documents: list[Asked]
    job: Path
    state: Path


def text_records(documents: Sequence[Asked]) -> int:
    """What Azure charges for."""
    return sum(-(-len(one.text) // RECORD) for one in documents)


def refusal(document: Asked) -> str | None:
    """Why Azure would reject the request of a document; None: it would not."""
    if not document.text.strip():
        return "the text is empty"
    if len(document.text) > MOST_CHARACTERS:
        return f"the text has {len(document.text):,} characters, and Azure reads at most {MOST_CHARACTERS:,}"
    return None


def batches(documents: Sequence[Asked]) -> Iterator[list[Asked]]:
    """The documents in their order, as many together as a request may have."""
    batch: list[Asked] = []
    characters = 0
    for one in documents:
        if batch and (len(batch) == MOST_DOCUMENTS or characters + len(one.text) > MOST_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(one)
        characters += len(one.text)
    if batch:
        yield batch


def requests_of(documents: Sequence[Asked], folder: Path) -> list[Request]:
    """The requests for the answers to documents; the names of their files follow from what is asked.

    So what was answered is found again, whatever was added since.
    """
    asked = [one for one in documents if refusal(one) is None]
    found = []
    for batch in batches(asked):
        content = json.dumps([[one.id, one.text, one.language] for one in batch])
        name = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        found.append(Request(batch, folder / f"{name}.job.json", folder / f"{name}.json"))
    return found


def take_answers(
    service: Service, folder: ExitFolder, name: str, documents: Sequence[Asked], deployment: Deployment
) -> list[Json]:
    """Record the answers to documents; write and return them, one line a document (see the README).

    Raises:
        TryAgainLater: Azure could not process some requests; all others are recorded.
    """
    place = folder.requests(name)
    place.mkdir(parents=True, exist_ok=True)
    wanted = requests_of(documents, place)
    waiting: deque[tuple[Request, str]] = deque()
    failed: list[str] = []
    missing = [one for one in wanted if not one.state.is_file()]
    with meter(f"answers of {deployment.name}", len(wanted), "requests", done=len(wanted) - len(missing)) as bar:
        for one in missing:
            waiting.append((one, _submit(service, one, deployment)))
            while len(waiting) >= AHEAD:
                failed += _collect(service, *waiting.popleft(), deployment)
                bar.advance(1)
        while waiting:
            failed += _collect(service, *waiting.popleft(), deployment)
            bar.advance(1)
    lines = list(_lines(documents, wanted))
    write_lines(folder.answers(name), lines)
    if failed:
        raise TryAgainLater(
            f"{counted(len(failed), 'request')} of {len(wanted):,} failed: {failed[0]}; the others are recorded, and "
            "the same command sends these again."
        )
    return lines


def _submit(service: Service, request: Request, deployment: Deployment) -> str:
    """The link to the job of a request, which is submitted unless it was before."""
    body = {
        "displayName": "tagsmith",
        "analysisInput": {
            "documents": [
                {"id": str(i), "text": one.text, **({"language": one.language} if one.language else {})}
                for i, one in enumerate(request.documents)
            ]
        },
        "tasks": [
            {
                "kind": deployment.kind,
                "taskName": "0",
                "parameters": {"projectName": deployment.project, "deploymentName": deployment.name},
            }
        ],
    }
    submit = {"api-version": VERSION}
    link: str = kept(request.job, lambda: {"link": service.start(JOBS, body, **submit)})["link"]
    return link


def _collect(service: Service, request: Request, link: str, deployment: Deployment) -> list[str]:
    """Record the answer to a request; returns why there is none."""
    try:
        pages = [service.ended(link)]
    except InputMissing:  # Azure keeps jobs for a day.
        request.job.unlink()
        pages = [service.ended(_submit(service, request, deployment))]
    while following := pages[-1].get("nextLink"):
        pages.append(service.get(following))
    try:
        _answered(pages)
    except DataError as error:
        request.job.unlink()
        write_json(request.state.with_suffix(".failed.json"), pages)
        return [str(error)]
    write_json(request.state, pages)
    return []


def _answered(pages: list[Json]) -> dict[int, Json]:
    """The entries of documents in the pages of an answer, by their number in the request.

    Raises:
        DataError: the job has failed, or is not as documented.
    """
    found: dict[int, Json] = {}
    for page in pages:
        try:
            (item,) = page["tasks"]["items"]
            results = item["results"]
            entries = [*results["documents"], *results["errors"]]
            for entry in entries:
                if "error" not in entry:
                    _ = [(one["category"], float(one["confidenceScore"])) for one in entry["class"]]
                found[int(entry["id"])] = entry
        except (KeyError, TypeError, ValueError) as error:
            status = page.get("status")
            reason = errors_of(page) if page.get("errors") else f"expected results of documents, found {error!r}"
            raise DataError(f"the job is {status}: {reason}") from error
    return found


def _lines(documents: Sequence[Asked], wanted: Sequence[Request]) -> Iterator[Json]:
    """A line for each document: `classes` as Azure answered, or `error`."""
    answers: dict[str, Json] = {}
    for request in wanted:
        if request.state.is_file():
            pages: list[Json] = kept(request.state, list)
            found = _answered(pages)
            answers |= {one.id: found[i] for i, one in enumerate(request.documents) if i in found}
    for one in documents:
        line: dict[str, Any] = {"id": one.id, "text": one.text}
        answer = answers.get(one.id)
        if (why := refusal(one)) is not None:
            yield line | {"error": f"not sent: {why}"}
        elif answer is None:
            yield line | {"error": "no answer"}
        elif "error" in answer:
            yield line | {"error": str(answer["error"])}
        else:
            yield line | {"classes": answer["class"], "warnings": answer.get("warnings", [])}


def announcement(documents: Sequence[Asked], wanted: Sequence[Request], name: str) -> str:
    """What the answers cost, before they are asked for."""
    left = [one for one in wanted if not one.state.is_file() and not one.job.is_file()]
    records = text_records([document for one in left for document in one.documents])
    not_sent = sum(refusal(one) is not None for one in documents)
    parts = [
        f"{counted(len(documents), 'document')} in {counted(len(wanted), 'request')}",
        f"{counted(not_sent, 'document')} too long or empty to be sent" if not_sent else "",
        f"{len(wanted) - len(left):,} of the requests were sent before" if len(left) < len(wanted) else "",
    ]
    what = ", ".join(filter(None, parts))
    return f"{name}: {what}; Azure charges for {counted(records, 'text record')} ({RECORD:,} characters of a document)."
