"""The files of a run that pages are made from: read, rejected if damaged, or listed as missing."""

from dataclasses import dataclass, field
from typing import Any

from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.files import digest, json_array, json_object, read_json, read_json_lines
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema

Json = dict[str, Any]

RESTORE = "restore it, or delete it"


@dataclass(frozen=True)
class RunFiles:
    """The content of a run's files.

    Args:
        analysis, guidance: empty if the run has none for its evaluation.
        training: the lines of `metrics.jsonl`; empty if there are none.
        decision: a decision rule chosen after the evaluation, which does not know it; empty if there is none.
        missing: file name -> why it is missing.
    """

    name: str
    schema: Schema
    record: Json
    evaluation: Json
    predictions: list[Json]
    analysis: Json = field(default_factory=dict)
    guidance: list[Json] = field(default_factory=list)
    training: list[Json] = field(default_factory=list)
    decision: Json = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.schema.classes


def read_run(run: RunFolder) -> RunFiles:
    """Read the files of evaluation, analysis and training.

    Raises:
        InputMissing: no run, or it was never evaluated.
        DataError: a file is damaged, or the predictions do not belong to the evaluation.
    """
    record, schema = run.read_record(), Schema.load(run.schema)
    if gone := [str(path) for path in (run.evaluation, run.predictions) if not path.is_file()]:
        raise InputMissing(f"expected {' and '.join(gone)}; scripts/evaluate.py run={run.path} writes them.")
    evaluation = read_json(run.evaluation, json_object, "a JSON object", RESTORE)
    predictions = list(read_json_lines(run.predictions, RESTORE))
    if tuple(evaluation.get("classes", ())) != schema.classes or len(predictions) != evaluation.get("documents"):
        raise DataError(
            f"{run.evaluation}, {run.predictions}: expected the classes of {run.schema} and as many predictions as "
            f"documents, found others; scripts/evaluate.py run={run.path} writes both again."
        )
    missing = {}
    remedy = f"scripts/evaluate.py run={run.path} split={evaluation['split']} writes it."
    analysis: Json = {}
    if not run.analysis.is_file():
        missing[run.analysis.name] = f"The run has no {run.analysis.name}: {remedy}"
    else:
        analysis = read_json(run.analysis, json_object, "a JSON object", RESTORE)
        if analysis.get("split") != evaluation["split"]:
            missing[run.analysis.name] = f"{run.analysis.name} is about another split: {remedy}"
            analysis = {}
    if not run.guidance.is_file():
        missing[run.guidance.name] = f"The run has no {run.guidance.name}: {remedy}"
    training = list(read_json_lines(run.metrics, RESTORE)) if run.metrics.is_file() else []
    if not training:
        missing[run.metrics.name] = (
            f"The run has no {run.metrics.name}: only a training with optimiser steps, such as "
            "train=finetune, writes one."
        )
    return RunFiles(
        name=run.path.resolve().name,
        schema=schema,
        record=record,
        evaluation=evaluation,
        predictions=predictions,
        analysis=analysis,
        guidance=read_json(run.guidance, json_array, "a JSON array", RESTORE) if run.guidance.is_file() else [],
        training=training,
        decision=_newer_decision(run, evaluation),
        missing=missing,
    )


def _newer_decision(run: RunFolder, evaluation: Json) -> Json:
    """The decision rule of the run, if the evaluation used another one or none."""
    if not run.decision.is_file():
        return {}
    # Evaluations of earlier versions do not say which rule they used.
    known = evaluation.get("decision_sha256", evaluation.get("scores", {}).get("calibrated"))
    if known is True or known == digest(run.decision):
        return {}
    return read_json(run.decision, json_object, "a decision rule", RESTORE)
