"""What the authoring interface hands out: the export, the trained models with their evaluations, the deployments."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from tagsmith.azure.exit_folder import ExitFolder, Json, kept
from tagsmith.azure.service import Service, errors_of
from tagsmith.core.errors import DataError, InputMissing, SettingsError

log = logging.getLogger("tagsmith")

PROJECTS = "/language/authoring/analyze-text/projects"
UNITS = "Utf16CodeUnit"
"""`stringIndexType`, which the interface asks for although classes have no offsets."""

RESULTS = ("customSingleLabelClassificationResult", "customMultiLabelClassificationResult")


@dataclass(frozen=True)
class Model:
    """A trained model, and the classes that it predicted for each document of its test set, by location."""

    label: str
    id: str
    trained: str
    predicted: dict[str, list[str]]


@dataclass(frozen=True)
class Project:
    """A project, as the authoring interface describes it.

    Attributes:
        metadata: its settings.
        deployments: name -> the entry of the list.
    """

    metadata: Json
    models: list[Model]
    deployments: dict[str, Json]

    def deployment(self, name: str | None) -> str | None:
        """The deployment that `name` means: the only one where it is None. None: the project has none.

        Raises:
            SettingsError: there is no such deployment, or more than one.
        """
        known = ", ".join(self.deployments) or "none"
        if name is not None and name not in self.deployments:
            raise SettingsError(f"deployment={name}: the project has no such deployment; it has {known}.")
        if name is None and len(self.deployments) > 1:
            raise SettingsError(f"deployment: expected one of {known}; set deployment=")
        return name or next(iter(self.deployments), None)

    def model(self, deployment: str | None) -> Model | None:
        """The model of a deployment; without one, the model that was trained last and has results."""
        if deployment is not None:
            wanted = self.deployments[deployment].get("modelId")
            return next((model for model in self.models if model.id == wanted), None)
        return max((model for model in self.models if model.predicted), key=lambda one: one.trained, default=None)


def take_project(service: Service, folder: ExitFolder, name: str, version: str) -> Project:
    """Take the project into the folder: what is there is not asked for again.

    Raises:
        DataError: the export has failed, or an answer is not as documented.
        InputMissing: there is no such project.
    """
    place = f"{PROJECTS}/{quote(name, safe='')}"
    query = {"api-version": version}
    metadata = kept(folder.azure / "project.json", lambda: service.get(place, **query))
    _export(service, folder, place, query)
    deployments = _values(
        kept(folder.azure / "deployments.json", lambda: service.pages(f"{place}/deployments", **query))
    )
    models = []
    for entry in _values(kept(folder.azure / "models.json", lambda: service.pages(f"{place}/models", **query))):
        label = str(entry.get("label"))
        results = _evaluation(service, folder, f"{place}/models/{quote(label, safe='')}/evaluation", label, query)
        trained = str(entry.get("lastTrainedDateTime", ""))
        models.append(Model(label, str(entry.get("modelId")), trained, predicted_classes(results)))
    return Project(metadata, models, {str(one.get("deploymentName")): one for one in deployments})


def _export(service: Service, folder: ExitFolder, place: str, query: dict[str, str]) -> None:
    """Export the project: a job, whose result has an address of its own."""
    if folder.export.is_file():
        return
    job = folder.azure / "export_job.json"
    before = job.is_file()
    link = kept(job, lambda: {"link": service.start(f"{place}/:export", None, stringIndexType=UNITS, **query)})["link"]
    try:
        state = service.ended(link)
    except InputMissing:  # Azure keeps jobs for a week.
        job.unlink()
        if not before:
            raise
        return _export(service, folder, place, query)
    result = state.get("resultUrl")
    if state["status"] != "succeeded" or not isinstance(result, str):
        job.unlink()
        what = f"the export is {state['status']}: {errors_of(state)}"
        raise DataError(f"{service.endpoint}: {what}; the same command exports again.")
    kept(folder.azure / "export_state.json", lambda: state)
    kept(folder.export, lambda: service.get(result))
    return None


def _evaluation(service: Service, folder: ExitFolder, place: str, label: str, query: dict[str, str]) -> list[Json]:
    """The evaluation of a model: the summary, and the pages of results of documents, which are returned."""
    files = folder.model(label)

    def or_none(ask: Callable[[], Any]) -> Any:
        # A model without an evaluation is listed, and answers 404; that is kept too.
        try:
            return ask()
        except InputMissing:
            return None

    kept(files / "summary.json", partial(or_none, lambda: service.get(f"{place}/summary-result", **query)))
    found = partial(service.pages, f"{place}/result", stringIndexType=UNITS, **query)
    if (pages := kept(files / "results.json", partial(or_none, found))) is None:
        log.info(f"model {label}: Azure has no evaluation of it.")
    return pages or []


def predicted_classes(pages: list[Json]) -> dict[str, list[str]]:
    """The classes that a model predicted for the documents of its test set, by location.

    Args:
        pages: of `evaluation/result`.

    Raises:
        DataError: a result is not one of a project of custom text classification.
    """
    found = {}
    for one in _values(pages):
        result = next((one[key] for key in RESULTS if isinstance(one.get(key), dict)), None)
        location = one.get("location")
        if result is None or not isinstance(location, str):
            raise DataError(f"evaluation/result: expected location and {' or '.join(RESULTS)}, found {list(one)}.")
        single, several = result.get("predictedClass"), result.get("predictedClasses")
        names = several if isinstance(several, list) else [] if single is None else [single]
        found[location] = [str(name) for name in names]
    return found


def _values(pages: list[Json]) -> list[Json]:
    return [one for page in pages for one in page["value"]]
