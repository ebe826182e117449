"""Everything out of a project, while Azure answers: project, texts, evaluations, answers."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.azure.answers import Asked, Deployment, announcement, requests_of, take_answers
from tagsmith.azure.exit_folder import ExitFolder, Json
from tagsmith.azure.project import Model, Project, take_project
from tagsmith.azure.service import KEY, Service
from tagsmith.azure.texts import take_texts
from tagsmith.config.settings import AzureSettings, LeaveAzure, TableSettings
from tagsmith.core.errors import SettingsError, counted
from tagsmith.core.files import json_object, read_json, write_json
from tagsmith.core.locations import BadLocation, TextFiles
from tagsmith.core.schema import Task
from tagsmith.data import read_azure
from tagsmith.data.documents import Source
from tagsmith.data.read_texts import read_texts

log = logging.getLogger("tagsmith")

KINDS = {
    Task.single_label: "CustomSingleLabelClassification",
    Task.multi_label: "CustomMultiLabelClassification",
}

TESTED, ALSO = "test", "also"
"""Names of the documents whose answers are recorded."""


@dataclass(frozen=True)
class Taken:
    """What was taken, for the terminal."""

    folder: ExitFolder
    sentences: list[str]


def take(settings: LeaveAzure) -> Taken:
    """Take the project, its texts, the evaluations of its models and the answers of a deployment into `out=`.

    Raises:
        SettingsError: no key, a wrong one, no such deployment, or the folder holds another project.
        InputMissing: no such project.
        DataError: an answer is not as documented, or the export is not one of a classification project.
        TryAgainLater: Azure does not answer; the same command continues.
    """
    assert settings.endpoint is not None
    assert settings.project is not None
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise SettingsError(f"{KEY}: set this environment variable to a key of the Language resource.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"{KEY}: expected a key of the Language resource, which has letters and digits alone.")
    folder = ExitFolder(Path(settings.out))
    begun = {
        "endpoint": settings.endpoint.rstrip("/"),
        "project": settings.project,
        "api_version": settings.api_version,
    }
    about = folder.begin(begun)
    service = Service(settings.endpoint, key)
    project = take_project(service, folder, settings.project, settings.api_version)
    deployment = project.deployment(settings.deployment)
    locations, container = locations_of(folder.export)
    absent = take_texts(locations, folder.data, settings.texts, container)
    source = read_azure.read(AzureSettings(path=str(folder.export), texts=str(folder.data)))
    model = project.model(deployment)
    tested = tested_ids(model, source, TextFiles(folder.data, container))
    about |= {
        "metadata": project.metadata,
        "models": [one.label for one in project.models],
        "deployments": list(project.deployments),
        "deployment": deployment,
        "model": model.label if model else None,
        "deployed": str(project.deployments[deployment].get("lastDeployedDateTime", "")) if deployment else None,
        "tested": tested,
        "texts_missing": absent,
    }
    write_json(folder.taken, about)
    wanted = {TESTED: _documents(source, set(tested)), **_further(settings)}
    sentences = [_summary(project, source, tested)]
    if deployment is None:
        sentences.append(
            "The project has no deployment, so no answers can be recorded; the evaluations of its models are."
        )
        return Taken(folder, sentences)
    how = Deployment(KINDS[source.task or Task.single_label], settings.project, deployment)
    for name, documents in wanted.items():
        cost = announcement(documents, requests_of(documents, folder.requests(name)), name)
        if settings.dry_run:
            sentences.append(cost)
        else:
            log.info(cost)
    if settings.dry_run:
        return Taken(folder, [*sentences, "dry_run=true: no text was sent to the deployment."])
    for name, documents in wanted.items():
        lines = take_answers(service, folder, name, documents, how)
        sentences.append(_answered(lines, folder.answers(name)))
    return Taken(folder, sentences)


def locations_of(export: Path) -> tuple[list[str], str | None]:
    """The locations of all documents of an export, as they are spelled, and the name of their container.

    Raises:
        DataError: it is not JSON; `read_azure` says what else is wrong with it.
    """
    project = read_json(export, json_object, "a JSON object", "export the project again")
    assets = project.get("assets", project)
    documents = assets.get("documents") if isinstance(assets, Mapping) else None
    entries: list[Any] = documents if isinstance(documents, list) else []
    found = [one.get("location") for one in entries if isinstance(one, Mapping)]
    metadata = project.get("metadata")
    container = metadata.get("storageInputContainerName") if isinstance(metadata, Mapping) else None
    return [one for one in found if isinstance(one, str)], container if isinstance(container, str) else None


def tested_ids(model: Model | None, source: Source, texts: TextFiles) -> list[str]:
    """The documents on which a model was tested: those of its evaluation, or else those that the export marks.

    Azure draws a test set of its own where the project does not mark one, and says which only in the evaluation.
    """
    known = {document.id for document in source.documents}
    found = []
    for location in model.predicted if model else ():
        try:
            name = texts.find(location).as_posix()
        except BadLocation:
            continue
        found += [name] if name in known else []
    return found or [str(document.id) for document in source.documents if document.split == "test"]


def _documents(source: Source, names: set[str]) -> list[Asked]:
    return [Asked(str(one.id), one.text, one.language) for one in source.documents if one.id in names]


def _further(settings: LeaveAzure) -> dict[str, list[Asked]]:
    if settings.also is None:
        return {}
    texts = read_texts(settings.also, TableSettings(text_field=settings.text_field), "also")
    return {ALSO: [Asked(str(i), text) for i, text in enumerate(texts, 1)]}


def _summary(project: Project, source: Source, tested: list[str]) -> str:
    return (
        f"Taken: {counted(len(source.documents), 'tagged document')} of {counted(len(source.classes or ()), 'class')}, "
        f"{counted(len(tested), 'test document')}, {counted(len(project.models), 'trained model')}, "
        f"{counted(len(project.deployments), 'deployment')}."
    )


def _answered(lines: list[Json], path: Path) -> str:
    errors = [line["error"] for line in lines if "error" in line]
    without = f", {len(errors):,} without one (the first: {errors[0]})" if errors else ""
    return f"{path}: {counted(len(lines) - len(errors), 'answer')}{without}."
