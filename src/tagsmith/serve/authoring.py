"""The JSON of Azure's authoring API: bodies of requests, states of jobs, models, evaluations."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from tagsmith.config.settings.leave_azure import AUTHORING
from tagsmith.core.errors import counted
from tagsmith.core.locations import BadLocation, TextFiles
from tagsmith.serve.azure import VERSIONS

Json = dict[str, Any]

AUTHORING_VERSIONS = tuple(dict.fromkeys((*VERSIONS, *AUTHORING)))

JOB_SECONDS = 7 * 24 * 3600
"""How long Azure keeps jobs, and so do we."""

NEVER = "9999-12-31"
"""When models and deployments expire: clients expect a date."""

MOST_NAMED = 1_000
"""Documents that a warning names."""

Kind = Literal["CustomSingleLabelClassification", "CustomMultiLabelClassification"]
SHORT = {"CustomSingleLabelClassification": "SingleLabel", "CustomMultiLabelClassification": "MultiLabel"}

COUNTS = {
    "true_positives": "truePositiveCount",
    "true_negatives": "trueNegativeCount",
    "false_positives": "falsePositiveCount",
    "false_negatives": "falseNegativeCount",
}

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Label = Annotated[str, Field(pattern=r"^[^/]{1,100}$")]


class ProjectSettings(BaseModel):
    """What a project is; other fields of Azure's are accepted, and kept."""

    projectKind: Kind
    storageInputContainerName: Name
    language: str
    projectName: str | None = None
    multilingual: bool = False


class Category(BaseModel):
    """A class, or the tag of a document."""

    category: str


class LabelledDocument(BaseModel):
    """A document; its text lies in the container."""

    location: Annotated[str, Field(min_length=1)]


class Assets(BaseModel):
    """The classes and the documents."""

    projectKind: Kind | None = None
    classes: Annotated[list[Category], Field(min_length=1)]
    documents: list[LabelledDocument]


class ImportedProject(BaseModel):
    """A project as it is imported and exported."""

    metadata: ProjectSettings
    assets: Assets


class EvaluationOptions(BaseModel):
    """Which documents test: a share of all, drawn by training, or those whose `dataset` says so."""

    kind: Literal["percentage", "manual"] = "percentage"
    trainingSplitPercentage: Annotated[int, Field(ge=1, le=99)] = 80
    testingSplitPercentage: Annotated[int, Field(ge=1, le=90)] = 20

    @model_validator(mode="after")
    def _whole(self) -> "EvaluationOptions":
        if self.kind == "percentage" and self.trainingSplitPercentage + self.testingSplitPercentage != 100:
            raise ValueError("expected trainingSplitPercentage and testingSplitPercentage that add up to 100")
        return self


class TrainingRequest(BaseModel):
    """A training."""

    modelLabel: Label
    trainingConfigVersion: str = "latest"
    evaluationOptions: EvaluationOptions = EvaluationOptions()


class DeploymentRequest(BaseModel):
    """Deploy a model."""

    trainedModelLabel: str


class Swap(BaseModel):
    """Exchange the models of two deployments."""

    firstDeploymentName: str
    secondDeploymentName: str


def date(seconds: float) -> str:
    """A time in ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def job_state(
    job: str, status: str, created: float, updated: float, errors: Sequence[Json] = (), warnings: Sequence[Json] = ()
) -> Json:
    """The state of a job of any kind."""
    return {
        "jobId": job,
        "createdDateTime": date(created),
        "lastUpdatedDateTime": date(updated),
        "expirationDateTime": date(created + JOB_SECONDS),
        "status": status,
        "warnings": list(warnings),
        "errors": list(errors),
    }


def summary(kind: str, options: Json, evaluation: Json) -> Json:
    """The figures of a trained model.

    Args:
        evaluation: the content of `evaluation.json` of its run.
    """
    classes: dict[str, Json] = evaluation["classes"]
    found = {
        f"{average}{figure.capitalize()}": evaluation[average][figure]
        for average in ("micro", "macro")
        for figure in ("f1", "precision", "recall")
    }
    found["classes"] = {
        label: {name: figures[name] for name in ("f1", "precision", "recall")}
        | {azure: figures[name] for name, azure in COUNTS.items()}
        for label, figures in classes.items()
    }
    if "confusion_matrix" in evaluation:
        found["confusionMatrix"] = {
            label: {
                predicted: {"normalizedValue": 100 * value / max(1, sum(row)), "rawValue": value}
                for predicted, value in zip(classes, row, strict=True)
            }
            for label, row in zip(classes, evaluation["confusion_matrix"], strict=True)
        }
    name = f"custom{SHORT[kind]}ClassificationEvaluation"
    return {"projectKind": kind, "evaluationOptions": options, name: found}


def without_text(documents: Sequence[Json], texts: TextFiles) -> list[Json]:
    """The warning that documents have no text in their container, which names all of them; none: all have one."""
    absent = [one["location"] for one in documents if not _is_there(one["location"], texts)]
    if not absent:
        return []
    more = f" and {len(absent) - MOST_NAMED:,} more" if len(absent) > MOST_NAMED else ""
    share = f"{len(absent):,} of {counted(len(documents), 'document')}"
    names = ", ".join(absent[:MOST_NAMED])
    where = f"the container {texts.folder.name}"
    return [{"code": "Warning", "message": f"{share} cannot be found in {where}: {names}{more}"}]


def _is_there(location: str, texts: TextFiles) -> bool:
    try:
        texts.find(location)
    except BadLocation:
        return False
    return True


def results(
    kind: str, documents: Sequence[Json], texts: TextFiles, default: str, predictions: Iterator[Json]
) -> list[Json]:
    """The expected and the predicted classes of each test document, under its location as it was imported.

    Args:
        documents: as imported.
        default: the language of documents that have none.
        predictions: lines of `predictions.jsonl`, whose ids are the paths of the texts.
    """
    imported = {}
    for document in documents:
        with suppress(BadLocation):  # A text that was removed since.
            imported[texts.find(document["location"]).as_posix()] = document
    found = []
    for one in predictions:
        if kind == "CustomSingleLabelClassification":
            result: Json = {"expectedClass": one["labels"][0], "predictedClass": next(iter(one["predicted"]), None)}
        else:
            result = {"expectedClasses": one["labels"], "predictedClasses": one["predicted"]}
        document = imported.get(one["id"], {})
        about = {
            "projectKind": kind,
            "location": document.get("location", one["id"]),
            "language": document.get("language") or default,
        }
        found.append(about | {f"custom{SHORT[kind]}ClassificationResult": result})
    return found
