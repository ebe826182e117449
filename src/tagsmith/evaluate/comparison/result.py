"""The result of a comparison, ready for JSON."""

from math import isfinite
from typing import Any

from tagsmith.config.settings import CompareRuns
from tagsmith.decision.bootstrap import CONFIDENCE, OF_A_CLASS, OVERALL
from tagsmith.evaluate.comparison.changes import changed
from tagsmith.evaluate.comparison.paired import Compared, Differences
from tagsmith.evaluate.comparison.pairs import Pair, Side
from tagsmith.evaluate.comparison.recorded import other_settings, size_and_time
from tagsmith.evaluate.comparison.verdict import Verdict

Json = dict[str, Any]

FORMAT = 1
"""Version of `comparison.json`; a field that is added does not change it."""

DECISIONS = ("coverage", "precision")


def names(pair: Pair) -> tuple[str, str]:
    """Names of the runs: those of their folders or, if these are the same, their paths."""
    sides = (pair.first, pair.second)
    first, second = (side.files.name for side in sides)
    return (first, second) if first != second else (str(pair.first.run.path), str(pair.second.run.path))


def result(settings: CompareRuns, pair: Pair, found: Compared, verdict: Verdict) -> Json:
    """The content of `comparison.json`, see README.md; shares are from 0 to 1, unknown values are null."""
    called = names(pair)
    overall = {name: _figure(found.overall, i) for i, name in enumerate(OVERALL)}
    decisions = {name: overall.pop(name) for name in DECISIONS}
    return {
        "format": FORMAT,
        "runs": {
            place: {"name": name, **_about(side)}
            for place, name, side in zip(("first", "second"), called, (pair.first, pair.second), strict=True)
        },
        "settings": other_settings(pair.first.files, pair.second.files),
        "split": pair.split,
        "multi_label": pair.multi_label,
        "documents": len(pair.ids),
        "left_out": {
            "first_alone": pair.first.alone,
            "second_alone": pair.second.alone,
            "other_text": pair.other_text,
            "other_classes": pair.other_classes,
        },
        "confidence": CONFIDENCE,
        "resamples": settings.resamples,
        "seed": settings.seed,
        "verdict": {
            "by": settings.by.value,
            "outcome": verdict.outcome.value,
            "better": None if verdict.better is None else called[verdict.better],
            "smallest": settings.smallest,
            "documents_needed": verdict.needed,
            "gains": verdict.gains,
            "losses": verdict.losses,
            "margin": verdict.margin.value,
            "margin_sentence": verdict.margin.sentence,
            "not_worse": verdict.not_worse,
            "fail_if": None if settings.fail_if is None else settings.fail_if.value,
            "fails": verdict.fails,
            "sentences": verdict.sentences,
        },
        "figures": overall,
        "mcnemar": {"gained": found.only_second, "lost": found.only_first, "p_value": found.mcnemar},
        "operating_point": decisions if _have_operating_points(pair) else None,
        "classes": {
            name: {
                "support": int(pair.truth[:, i].sum()),
                **{figure: _figure(found.classes, (i, j)) for j, figure in enumerate(OF_A_CLASS)},
                "p_value": _number(found.corrected[i]),
            }
            for i, name in enumerate(pair.classes)
        },
        "changed": changed(pair),
        "retagged": {
            "judged": settings.retagged.value,
            "documents": [vars(document) for document in pair.retagged],
        },
    }


def _about(side: Side) -> Json:
    started = side.files.record["started"]
    rule = _rule(side.files.evaluation)
    return {"path": str(side.run.path), "started": started, "rule": rule, **size_and_time(side.files, side.run)}


def _rule(evaluation: Json) -> str:
    """The decision rule that the run was evaluated with, in words."""
    scores = "calibrated scores" if evaluation.get("scores", {}).get("calibrated") else "uncalibrated scores"
    if not evaluation.get("thresholds"):
        return scores
    one = evaluation.get("threshold")
    return f"{scores}, {'a threshold per class' if one is None else f'a threshold of {one:g}'}"


def _have_operating_points(pair: Pair) -> bool:
    sides = (pair.first, pair.second)
    return all(side.handled is not None and side.files.evaluation.get("operating_point") for side in sides)


def _figure(found: Differences, place: int | tuple[int, int]) -> Json:
    one = {name: _number(value) for name, value in found[place].items()}
    interval = [one["low"], one["high"]]
    return {
        "first": one["first"],
        "second": one["second"],
        "difference": one["difference"],
        "interval": None if None in interval else interval,
        "standard_error": one["error"],
        "p_value": one["chance"],
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if isfinite(value) else None
