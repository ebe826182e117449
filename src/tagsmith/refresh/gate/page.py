"""The page of a decision: the comparison of two versions, in the form of that of two runs."""

from pathlib import Path

from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import CompareRuns, RefreshRun
from tagsmith.core.files import whole_file
from tagsmith.evaluate.comparison import pairs
from tagsmith.evaluate.comparison.page import comparison_page
from tagsmith.evaluate.comparison.paired import Compared
from tagsmith.evaluate.comparison.result import result
from tagsmith.evaluate.comparison.verdict import verdict
from tagsmith.evaluate.report.inputs import RunFiles
from tagsmith.refresh.gate.answers import Documents
from tagsmith.refresh.gate.shared import RESAMPLES, Match, Side
from tagsmith.refresh.store import Version

NAME = "comparison.html"


def write_page(
    settings: RefreshRun,
    documents: Documents,
    versions: tuple[Version, Version],
    classifiers: tuple[Classifier, Classifier],
    both: Match,
    compared: Compared,
) -> Path | None:
    """Write `comparison.html` into the folder of the challenger; None where a version has no record of its training.

    Args:
        versions, classifiers: the champion and the challenger.
    """
    if not all(version.run.holds_run for version in versions):
        return None
    texts = dict(zip(documents.ids, documents.texts, strict=True))
    sides = [
        _side(version, classifier, side)
        for version, classifier, side in zip(versions, classifiers, (both.first, both.second), strict=True)
    ]
    pair = pairs.Pair(
        classes=both.classes.names,
        multi_label=both.multi_label,
        split="test",
        ids=both.ids,
        texts=[texts[name] for name in both.ids],
        truth=both.truth,
        first=sides[0],
        second=sides[1],
        retagged=[],
        other_classes=len(documents) - len(both.ids),
        other_text=0,
    )
    names = [version.name for version in versions]
    as_runs = CompareRuns(runs=names, by=settings.by, margin=settings.margin, resamples=RESAMPLES, seed=settings.seed)
    found = result(as_runs, pair, compared, verdict(pair, compared, names, as_runs))
    path = versions[1].path / NAME
    with whole_file(path) as file:
        file.write(comparison_page(found))
    return path


def _side(version: Version, classifier: Classifier, side: Side) -> pairs.Side:
    """A version as a run that was evaluated on these documents."""
    rule = classifier.decision.rule
    evaluation = {
        "scores": {"calibrated": rule.calibrated},
        "thresholds": rule.thresholds if rule.multi_label else None,
        "operating_point": rule.abstain_below,
    }
    record = version.run.read_record()
    files = RunFiles(version.name, classifier.schema, record, evaluation, predictions=[])
    return pairs.Side(version.run, files, side.predicted, side.scores, ~side.to_person, alone=0)
