"""The folder of the authoring API: a folder for each project, and the jobs of all of them.

FOLDER/train.txt                        further settings of `tagsmith train`, one a line, where the owner has any
FOLDER/PROJECT/project.json             its settings and times, and which training each deployment serves
FOLDER/PROJECT/labels.json              as imported
FOLDER/PROJECT/trainings/ID/            a training, and the model that is its result
FOLDER/.jobs/ID.json                    a job that is no training; it has ended when it is written
"""

import fcntl
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tagsmith.core.errors import SettingsError, TryAgainLater
from tagsmith.core.files import json_object, read_json, read_json_lines, write_json
from tagsmith.core.locations import TextFiles
from tagsmith.serve.authoring import (
    JOB_SECONDS,
    NEVER,
    Json,
    TrainingRequest,
    date,
    job_state,
    results,
    summary,
    without_text,
)
from tagsmith.serve.authoring_jobs import ABOUT, LABELS, TRAININGS, Queue, Training, new_training, readable
from tagsmith.serve.jobs import FAILED, SUCCEEDED, UNFINISHED
from tagsmith.serve.problems import RequestError

FILE, JOBS, WORDS = "project.json", ".jobs", "train.txt"

REMEDY = "restore it from a copy"


@dataclass(frozen=True)
class Project:
    """The folder of a project."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def about(self) -> Json:
        """`settings`, times (seconds since 1970), and `deployments`: name -> `training`, `version`, `deployed`."""
        return read_json(self.path / FILE, json_object, "a project", REMEDY)

    def note(self, **changes: object) -> None:
        """Change what is written about it."""
        write_json(self.path / FILE, self.about() | {"modified": time.time()} | changes)

    def labels(self) -> Json | None:
        """What was imported, with the settings of now; None: nothing yet."""
        path = self.path / LABELS
        if not path.is_file():
            return None
        return read_json(path, json_object, "a labels file", REMEDY) | {"metadata": self.about()["settings"]}

    def trainings(self) -> list[Training]:
        """All trainings, the oldest first."""
        return sorted(readable(self.path.glob(f"{TRAININGS}/*/{ABOUT}")), key=lambda one: one.about().created)

    def training(self, job: str) -> Training:
        """A training by its id. Raises: RequestError, there is none."""
        return next((one for one in self.trainings() if one.id == job), None) or _unknown("job")

    def models(self) -> dict[str, Training]:
        """The trained models by label: of several trainings with one label, the newest that has succeeded."""
        return {one.about().label: one for one in self.trainings() if one.status() == SUCCEEDED}

    def model(self, label: str) -> Training:
        """The model of this label. Raises: RequestError, there is none."""
        return self.models().get(label) or _unknown("trained model")

    def bundles(self) -> dict[str, Path]:
        """The bundle of each deployment."""
        deployed: dict[str, Json] = self.about()["deployments"]
        return {name: self.bundle(one) for name, one in deployed.items()}

    def bundle(self, deployed: Json) -> Path:
        """The bundle that one of the `deployments` serves."""
        return Training(self.path / TRAININGS / deployed["training"]).bundle

    def described(self) -> Json:
        """What the API says about the project."""
        about = self.about()
        found: Json = about["settings"] | {"projectName": self.name}
        times = {"createdDateTime": about["created"], "lastModifiedDateTime": about["modified"]}
        times["lastTrainedDateTime"] = max((one.updated for one in self.models().values()), default=None)
        times["lastDeployedDateTime"] = max((one["deployed"] for one in about["deployments"].values()), default=None)
        return found | {name: date(value) for name, value in times.items() if value is not None}

    def described_model(self, model: Training) -> Json:
        """What the API says about a trained model."""
        about = model.about()
        seconds = model.updated - (about.started or model.updated)
        return {
            "label": about.label,
            "modelId": model.id,
            "lastTrainedDateTime": date(model.updated),
            "lastTrainingDurationInSeconds": round(seconds),
            "modelExpirationDate": NEVER,
            "modelTrainingConfigVersion": about.version,
            "hasSnapshot": False,
        }

    def described_deployment(self, name: str) -> Json:
        """What the API says about a deployment. Raises: RequestError, there is none."""
        one = self.about()["deployments"].get(name) or _unknown("deployment")
        model = Training(self.path / TRAININGS / one["training"])
        return {
            "deploymentName": name,
            "modelId": model.id,
            "lastTrainedDateTime": date(model.updated),
            "lastDeployedDateTime": date(one["deployed"]),
            "deploymentExpirationDate": NEVER,
            "modelTrainingConfigVersion": one.get("version", "latest"),
            "assignedResources": [],
        }

    def summary(self, model: Training) -> Json:
        """The figures of the evaluation of a model."""
        evaluation = read_json(model.run.evaluation, json_object, "an evaluation", REMEDY)
        return summary(self.about()["settings"]["projectKind"], model.about().options, evaluation)

    def results(self, model: Training, texts: TextFiles) -> list[Json]:
        """The evaluation of a model, document by document."""
        settings = self.about()["settings"]
        documents = read_json(model.path / LABELS, json_object, "a labels file", REMEDY)["assets"]["documents"]
        lines = read_json_lines(model.run.predictions, REMEDY)
        return results(settings["projectKind"], documents, texts, settings["language"], lines)

    def require_idle(self) -> None:
        """Raises: RequestError, a training has not ended."""
        if any(one.status() in UNFINISHED for one in self.trainings()):
            raise RequestError(409, "A training of the project has not ended; cancel it first.")

    def delete_model(self, label: str) -> None:
        """Remove the trainings of a label that have ended. Raises: RequestError, there is none, or it is deployed."""
        self.model(label)
        deployed = {one["training"]: name for name, one in self.about()["deployments"].items()}
        same = [one for one in self.trainings() if one.about().label == label]
        if used := [deployed[one.id] for one in same if one.id in deployed]:
            raise RequestError(409, f"The model is deployed as {', '.join(used)}; delete the deployment first.")
        for one in same:
            if one.status() not in UNFINISHED:
                shutil.rmtree(one.path)


def _unknown(kind: str) -> NoReturn:
    raise RequestError(404, f"Unknown {kind}.")


class Projects:
    """All projects, which one service has at a time.

    Args:
        folder: of the projects; it is made.
        texts: a folder for each container of texts.
        hours: after which a training is ended.

    Raises:
        SettingsError: a folder does not exist, or cannot be written.
        TryAgainLater: another service has the folder.
    """

    def __init__(self, folder: Path, texts: Path, hours: float):
        self.folder, self.texts = folder.resolve(), texts.resolve()
        if not texts.is_dir():
            raise SettingsError(f"serve.authoring_texts={texts}: expected a folder, found none; make it first.")
        try:
            (self.folder / JOBS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"serve.authoring={folder}: cannot be written: {error.strerror}.") from error
        self._lock = (self.folder / JOBS / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise TryAgainLater(f"serve.authoring={folder}: another service uses this folder.") from None
        self.queue = Queue(self.folder, hours)

    def close(self) -> None:
        """Leave the folder to another service; a training goes on."""
        self._lock.close()

    def all(self) -> Iterator[Project]:
        """The projects by name."""
        for path in sorted(self.folder.glob(f"*/{FILE}")):
            if not path.parent.name.startswith("."):
                yield Project(path.parent)

    def get(self, name: str) -> Project:
        """The project of this name. Raises: RequestError, there is none."""
        return next((one for one in self.all() if one.name == name), None) or _unknown("project")

    def bundles(self) -> dict[str, Path]:
        """The bundles of all deployments, by PROJECT/DEPLOYMENT."""
        return {f"{one.name}/{name}": bundle for one in self.all() for name, bundle in one.bundles().items()}

    def texts_of(self, project: Project) -> TextFiles:
        """The texts of a project."""
        container = project.about()["settings"]["storageInputContainerName"]
        return TextFiles(self.texts / container, container)

    def put(self, name: str, settings: Json) -> Project:
        """Make a project, or change it. Raises: RequestError, it has no texts, or is of another kind."""
        if not (self.texts / (container := settings["storageInputContainerName"])).is_dir():
            message = f"Unknown container {container}; the service has no folder of this name."
            raise RequestError(400, message, "storageInputContainerName")
        project, now = Project(self.folder / name), time.time()
        if not (project.path / FILE).is_file():
            project.path.mkdir(exist_ok=True)
            about = {"settings": settings, "created": now, "modified": now, "deployments": {}}
            write_json(project.path / FILE, about)
        elif (kind := project.about()["settings"]["projectKind"]) != settings["projectKind"]:
            raise RequestError(409, f"The project is of the kind {kind}.", "projectKind")
        else:
            project.note(settings=project.about()["settings"] | settings)
        return project

    def import_(self, name: str, content: Json) -> list[Json]:
        """Make a project of what was exported, or give an existing one other labels; returns warnings."""
        settings = content["metadata"] | {"projectName": name}
        project = self.put(name, settings)
        project.note(settings=settings)
        write_json(project.path / LABELS, content)
        return without_text(content["assets"]["documents"], self.texts_of(project))

    def train(self, project: Project, asked: TrainingRequest) -> Training:
        """Begin a training, or let it wait. Raises: RequestError, there are no labels, or one of this label runs."""
        if (labels := project.labels()) is None:
            raise RequestError(400, "The project has no documents; import it first.")
        if any(one.about().label == asked.modelLabel and one.status() in UNFINISHED for one in project.trainings()):
            raise RequestError(409, "A training with this label has not ended.", "modelLabel")
        words = self.folder / WORDS
        extra = words.read_text(encoding="utf-8").splitlines() if words.is_file() else []
        return new_training(
            project.path / TRAININGS,
            asked,
            labels,
            self.texts_of(project),
            [one.strip() for one in extra if one.strip()],
        )

    def delete(self, project: Project) -> None:
        """Remove a project."""
        gone = self.folder / JOBS / f"deleted-{uuid.uuid4()}"
        project.path.rename(gone)
        shutil.rmtree(gone)

    def ended_job(
        self,
        kind: str,
        project: str,
        error: str | None = None,
        result: Json | None = None,
        warnings: Sequence[Json] = (),
    ) -> str:
        """Keep a job that has ended for a week; returns its id."""
        now, job = time.time(), str(uuid.uuid4())
        for path in (self.folder / JOBS).glob("*.json"):
            if path.stat().st_mtime < now - JOB_SECONDS:
                path.unlink()
        about = {"kind": kind, "project": project, "created": now, "error": error, "result": result}
        about["warnings"] = list(warnings)
        write_json(self.folder / JOBS / f"{job}.json", about)
        return job

    def job(self, kind: str, project: str, job: str) -> Json:
        """The content of a job's file. Raises: RequestError, there is none."""
        path = self.folder / JOBS / f"{job}.json"
        if re.fullmatch(r"[0-9a-f-]{36}", job) and path.is_file():
            about = read_json(path, json_object, "a job", "delete it")
            if (about["kind"], about["project"]) == (kind, project):
                return about
        raise RequestError(404, "Unknown job; it may have expired.")


def state_of(job: str, about: Json) -> Json:
    """The state of a job that is no training."""
    errors = [{"code": "InvalidRequest", "message": about["error"]}] if about["error"] else []
    return job_state(
        job, FAILED if errors else SUCCEEDED, about["created"], about["created"], errors, about.get("warnings", ())
    )
