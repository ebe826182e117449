"""The recorded answers of Azure, in the form in which the evaluation of a run is compared."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tagsmith.azure.exit_folder import TAKE_AGAIN, ExitFolder, Json, kept
from tagsmith.azure.project import predicted_classes
from tagsmith.azure.take import ALSO, TESTED, locations_of
from tagsmith.core.errors import DataError, SettingsError
from tagsmith.core.files import read_json_lines
from tagsmith.core.locations import BadLocation, TextFiles
from tagsmith.core.schema import Schema, normal_name
from tagsmith.evaluate.report.inputs import RunFiles


@dataclass(frozen=True)
class Answer:
    """Azure's answer to a document; `scores`: the confidence of each class that it named, or None without any."""

    text: str | None
    scores: dict[str, float] | None
    error: str | None = None


@dataclass(frozen=True)
class Recorded:
    """Azure's side of a comparison.

    Attributes:
        files: as those of an evaluated run; documents without an answer are left out.
        confident: whether the answers have confidences; an evaluation alone has none.
        without: documents without an answer, by reason.
        not_evaluated: answered documents on which the run was not evaluated.
    """

    files: RunFiles
    confident: bool
    without: dict[str, int]
    not_evaluated: int


def read_answers(folder: ExitFolder, name: str) -> dict[str, Answer]:
    """The recorded answers by id; empty where none were taken.

    Raises:
        DataError: the file is damaged.
    """
    path, found = folder.answers(name), {}
    for line in read_json_lines(path, TAKE_AGAIN) if path.is_file() else ():
        try:
            scores = {normal_name(one["category"]): float(one["confidenceScore"]) for one in line.get("classes", ())}
            found[str(line["id"])] = Answer(line["text"], None if "error" in line else scores, line.get("error"))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: expected id, text and classes or error, found {error!r}; {TAKE_AGAIN}."
            ) from error
    return found


def read_evaluation(folder: ExitFolder, model: str | None) -> dict[str, Answer]:
    """What a model predicted in Azure's evaluation, by id, without confidences: what is left without a deployment."""
    if model is None:
        return {}
    pages = kept(folder.model(model) / "results.json", partial(list, ()))
    texts = TextFiles(folder.data, locations_of(folder.export)[1])
    found = {}
    for location, names in predicted_classes(pages or []).items():
        try:
            name = texts.find(location).as_posix()
        except BadLocation:
            continue
        found[name] = Answer(None, dict.fromkeys(map(normal_name, names), 1.0))
    return found


def recorded(folder: ExitFolder, run: RunFiles) -> Recorded:
    """Azure's answers to the documents that a run was evaluated on, those of the further file included.

    Raises:
        InputMissing: nothing was taken into the folder.
        SettingsError: there are no answers, none to documents of the run, or of classes that it does not have.
    """
    taken = folder.read_taken()
    answers = read_answers(folder, TESTED)
    confident = any(answer.scores for answer in answers.values())
    if not confident:
        answers = read_evaluation(folder, taken.get("model"))
    ids = {row["text"]: row["id"] for row in run.predictions}
    for answer in read_answers(folder, ALSO).values():  # Those that were tagged since.
        if answer.text in ids:
            answers.setdefault(ids[answer.text], answer)
    if not answers:
        raise SettingsError(f"out={folder.path}: has neither answers of a deployment nor an evaluation of a model.")
    name = f"Azure ({taken.get('deployment') if confident else taken.get('model')})"
    remedy = (
        f"train it with data=azure data.path={folder.labels}, which action=import writes, so that its test documents "
        "are the same"
    )
    return beside(run, answers, name, str(taken.get("deployed") or "not recorded"), remedy, confident)


def beside(
    run: RunFiles, answers: dict[str, Answer], service: str, started: str, remedy: str, confident: bool = True
) -> Recorded:
    """The answers of a service to the documents that a run was evaluated on.

    Args:
        answers: by id, or by text.
        started: when the service was deployed.
        remedy: what to do where the run was evaluated on none of the documents.

    Raises:
        SettingsError: there are none, or of classes that the run does not have.
    """
    rows = {row["text"]: row for row in run.predictions} | {row["id"]: row for row in run.predictions}
    shared = {name: answer for name, answer in answers.items() if name in rows}
    if not shared:
        raise SettingsError(f"run={run.name}: was not evaluated on documents that {service} has answered; {remedy}.")
    names = class_names({name for one in shared.values() for name in one.scores or ()}, run.schema)
    lines, without = [], Counter[str]()
    for name, answer in shared.items():
        if why := reason(answer, run.schema):
            without[why] += 1
        else:
            lines.append(_line(rows[name], answer, names, run.schema))
    about = {"settings": {}, "started": started}
    files = RunFiles(service, run.schema, about, {"split": run.evaluation["split"]}, lines)
    return Recorded(files, confident, dict(without), len(answers) - len(shared))


def reason(answer: Answer, schema: Schema) -> str | None:
    """Why an answer cannot be compared; None: it can."""
    if answer.scores is None:
        # Sizes differ from document to document.
        return (answer.error or "no answer").partition(": ")[0].rstrip(".")
    return "no class" if not answer.scores and not schema.multi_label else None


def class_names(answered: set[str], schema: Schema) -> dict[str, str]:
    """The class of the schema for each name that Azure answered with; case may differ.

    Raises:
        SettingsError: the schema lacks a class.
    """
    folded = {name.casefold(): name for name in schema.classes}
    found = {name: name if name in schema.classes else folded.get(name.casefold()) for name in answered}
    if absent := sorted(name for name, known in found.items() if known is None):
        raise SettingsError(
            f"run: expected the classes with which Azure answered, found none called {', '.join(absent)}; the deployed "
            "model is older than the classes of the export, or the run was trained on other data."
        )
    return {name: known for name, known in found.items() if known is not None}


def _line(row: Mapping[str, Any], answer: Answer, names: Mapping[str, str], schema: Schema) -> Json:
    """A line as of `predictions.jsonl`; classes that Azure did not name have the score 0."""
    scores = {names[name]: score for name, score in (answer.scores or {}).items()}
    predicted = list(scores) if schema.multi_label else [max(scores, key=lambda name: scores[name])]
    text = row["text"] if answer.text is None else answer.text
    return {
        "id": row["id"],
        "text": text,
        "labels": row["labels"],
        "predicted": predicted,
        "scores": {name: scores.get(name, 0.0) for name in schema.classes},
    }
