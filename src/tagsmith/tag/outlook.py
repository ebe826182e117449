"""How good the suggestions are on documents that nobody chose, and what more tags are likely to bring."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import counted
from tagsmith.core.schema import Schema
from tagsmith.data.split import draw_folds
from tagsmith.decision.intervals import class_intervals, overall, overall_intervals, proportion
from tagsmith.decision.metrics import decide, probabilities
from tagsmith.evaluate.analysis.learning_curve import GROWTH, LEAST, Drawn, learning_curve, predictions_by_share
from tagsmith.model.probe import fit_head, probe_c

Floats = NDArray[np.float32]
Indicators = NDArray[np.int8]
Bools = NDArray[np.bool_]

MORE = 50
"""Tags whose gain is predicted, where the project has at least twice as many."""

FEWEST = 20
"""Documents of the audit below which its figures are left out: their interval would be wider than 40 points."""

PARTS = 10
"""Parts of the audit; the regression that is judged on one of them has learned from all tags but its own."""

MOST = 2000
"""Tagged documents, drawn at random, from which the learning curve is computed."""

RESAMPLES, DRAWS = 500, 2
"""Of the documents, and of the regressions of each size."""


@dataclass(frozen=True)
class Tagged:
    """The tagged documents of a project.

    Attributes:
        vectors: float32 [documents, hidden].
        truth: int8 [documents, classes].
        groups: None: a document of its own.
        audit: bool [documents], those of the random sample.
        helped: bool [documents], whether suggestions were in view.
    """

    vectors: Floats
    truth: Indicators
    groups: Sequence[str | None]
    audit: Bools
    helped: Bools


def predicted(vectors: Floats, truth: Indicators, new: Floats, multi_label: bool) -> Indicators:
    """What the regression of the suggestions predicts for new documents, int8 [documents, classes]."""
    if len(np.unique(truth, axis=0)) < 2:
        return np.repeat(truth[:1], len(new), axis=0)
    weights, bias = fit_head(vectors, truth, multi_label, probe_c(multi_label))
    logits = np.asarray(new @ weights.T + bias, dtype=np.float32)
    return decide(probabilities(logits, multi_label), multi_label, 0.5)


def on_the_audit(tagged: Tagged, multi_label: bool, seed: int) -> Indicators:
    """Predictions for the documents of the audit, each by a regression that has not seen it or its group."""
    rows = [int(row) for row in np.flatnonzero(tagged.audit)]
    groups = [tagged.groups[row] for row in rows]
    parts = draw_folds([str(row) for row in rows], groups, tagged.truth[rows], PARTS, seed)
    found = np.zeros((len(rows), tagged.truth.shape[1]), dtype=np.int8)
    for part in np.unique(parts):
        out = [row for row, own in zip(rows, parts, strict=True) if own == part]
        kin = {tagged.groups[row] for row in out} - {None}
        inside = np.asarray([group not in kin for group in tagged.groups])
        inside[out] = False
        found[parts == part] = predicted(tagged.vectors[inside], tagged.truth[inside], tagged.vectors[out], multi_label)
    return found


def audit_figures(
    truth: Indicators, found: Indicators, helped: Bools, classes: Sequence[str], seed: int
) -> dict[str, Any]:
    """Accuracy, micro and macro F1 with their intervals [low, high], for all documents and by class; ready for JSON.

    Macro F1 is None with fewer documents than classes, where it is far too low and its interval does not hold (README:
    Decisions and measurements).

    Args:
        truth, found: int8 [documents, classes].
        helped: bool [documents]; the accuracy where suggestions were in view, and where not, is reported apart.
    """
    right = (truth == found).all(axis=1)
    figures, intervals = overall(truth, found), overall_intervals(truth, found, RESAMPLES, seed)
    result: dict[str, Any] = {"documents": len(truth)}
    for name, value in figures.items():
        result[name] = {"value": value, "interval": intervals[name]}
    if len(truth) < len(classes):
        result["macro_f1"] = None
    for name, some in (("suggestions_in_view", helped), ("suggestions_hidden", ~helped)):
        share = float(right[some].mean()) if some.any() else None
        interval = proportion(int(right[some].sum()), int(some.sum()))
        result[name] = {"documents": int(some.sum()), "accuracy": share, "interval": interval}
    result["classes"] = {}
    for i, name in enumerate(classes):
        both = int((found[:, i] & truth[:, i]).sum())
        only, missed = int(found[:, i].sum()) - both, int(truth[:, i].sum()) - both
        if both + only + missed:
            f1 = 2 * both / (2 * both + only + missed)
            interval = class_intervals(both, only, missed)["f1"]
            result["classes"][name] = {"documents": both + missed, "f1": f1, "interval": interval}
    return result


def likely_gain(
    tagged: Tagged, classes: Sequence[str], multi_label: bool, seed: int, level: float | None
) -> dict[str, Any] | None:
    """What more tags of the same kind are likely to bring, by the learning curve of all tagged documents.

    Each document is predicted by regressions on the others, in fifths. The tagged documents were chosen for being
    difficult; the rate at which their errors fall is therefore applied to the errors on the audit.

    Args:
        level: macro F1 on the audit; None: unknown.

    Returns:
        As `learning_curve`; None with too few documents for fifths.
    """
    rows = np.random.default_rng(seed).permutation(len(tagged.truth))[:MOST]
    vectors, truth = tagged.vectors[rows], tagged.truth[rows]
    folds = draw_folds([str(row) for row in rows], [tagged.groups[row] for row in rows], truth, 5, seed)
    if len(np.unique(folds)) < 5:
        return None
    parts: list[list[Drawn]] = []
    order = []
    for fold in range(5):
        inside = np.flatnonzero(folds != fold)
        out = np.flatnonzero(folds == fold)

        def predict(chosen: Bools, inside: Any = inside, out: Any = out) -> Indicators:
            some = inside[chosen]
            return predicted(vectors[some], truth[some], vectors[out], multi_label)

        whole = predict(np.ones(len(inside), dtype=bool))
        fourths = np.searchsorted(np.unique(folds[inside]), folds[inside])
        parts.append(predictions_by_share(fourths, predict, whole, DRAWS))
        order.append(out)
    joined = [
        Drawn(some[0].share, np.concatenate([one.predicted for one in some])) for some in zip(*parts, strict=True)
    ]
    tags = len(tagged.truth)
    growth = min(GROWTH, 1 + MORE / tags)
    counts = tagged.truth.sum(axis=0, dtype=int)
    # Four fifths of the drawn documents teach a regression.
    trained = [int(count) for count in truth.sum(axis=0, dtype=int) * 4 // 5]
    sizes = (len(rows) * 4 // 5, tags)
    curve = learning_curve(
        joined, truth[np.concatenate(order)], sizes, trained, counts.tolist(), classes, RESAMPLES, seed, growth
    )
    easier = 1.0 if level is None else min(1.0, (1 - level) / max(1e-9, 1 - curve["points"][-1]["macro_f1"]))
    for one in (curve["gain"], *curve["classes"].values()):
        if one is not None:
            one |= {key: easier * one[key] for key in ("macro_f1", "gain", "low", "high", "chance") if key in one}
    return curve


def outlook(tagged: Tagged, known: Indicators | None, schema: Schema, seed: int) -> dict[str, Any]:
    """The figures, and what they mean in a few sentences; ready for JSON.

    Args:
        known: int8 [documents of the audit, classes], what a run has suggested for them; None: there is no run, and
            the regressions of `on_the_audit` and `likely_gain` are judged.

    Returns:
        tags; audit: see `audit_figures`, None with fewer than `FEWEST` documents; gain: of macro F1, see `likely_gain`;
        classes: name -> tags, audit, gain; sentences.
    """
    classes, several, rows = schema.classes, schema.multi_label, np.flatnonzero(tagged.audit)
    audit, curve = None, None
    if len(rows) >= FEWEST:
        found = on_the_audit(tagged, several, seed) if known is None else known
        audit = audit_figures(tagged.truth[rows], found, tagged.helped[rows], classes, seed)
    if known is None and len(tagged.truth) >= FEWEST:
        level = None if audit is None or audit["macro_f1"] is None else audit["macro_f1"]["value"]
        curve = likely_gain(tagged, classes, several, seed, level)
    counts = tagged.truth.sum(axis=0, dtype=int)
    of_classes = {
        name: {
            "tags": int(counts[i]),
            "audit": None if audit is None else audit["classes"].get(name),
            "gain": _gain_of(curve, name),
        }
        for i, name in enumerate(classes)
    }
    sample = None if audit is None else {key: value for key, value in audit.items() if key != "classes"}
    gain = None if curve is None else curve["gain"]
    few = [name for i, name in enumerate(classes) if counts[i] * 4 // 5 < LEAST]
    words = [*_audit_words(sample, len(rows)), *(_gain_words(gain, few, len(classes)) if known is None else ())]
    return {"tags": len(tagged.truth), "audit": sample, "gain": gain, "classes": of_classes, "sentences": words}


def _gain_of(curve: Mapping[str, Any] | None, name: str) -> dict[str, float] | None:
    if curve is None or (found := curve["classes"].get(name)) is None:
        return None
    return {key: found[key] for key in ("gain", "low", "high")}


def _audit_words(audit: Mapping[str, Any] | None, documents: int) -> Iterator[str]:
    if audit is None:
        yield (
            f"Of the random sample, {counted(documents, 'document')} {'is' if documents == 1 else 'are'} tagged; from "
            f"{FEWEST} on, accuracy is estimated."
        )
        return
    yield (
        f"On {counted(documents, 'document')} drawn at random, the suggestions have an accuracy of "
        f"{_percent(audit['accuracy']['value'])} (95% interval {_between(audit['accuracy']['interval'])})."
    )
    if audit["macro_f1"] is not None:
        yield (
            f"Macro F1, in which every class counts the same, is {_percent(audit['macro_f1']['value'])} "
            f"({_between(audit['macro_f1']['interval'])}); of few documents a class, it reads low."
        )
    shown, hidden = audit["suggestions_in_view"], audit["suggestions_hidden"]
    if shown["documents"] >= FEWEST and hidden["documents"] >= FEWEST:
        yield (
            f"With the suggestions in view, {_percent(shown['accuracy'])} are right, without, "
            f"{_percent(hidden['accuracy'])} ({_between(hidden['interval'])}): the second is not biased by them."
        )
    elif shown["documents"] > hidden["documents"]:
        yield "People saw the suggestions, and agree with what they see: accuracy may be lower (blind=true hides them)."


def _gain_words(gain: Mapping[str, Any] | None, few: Sequence[str], classes: int) -> Iterator[str]:
    if gain is None:
        if few:
            yield (
                f"{len(few):,} of {counted(classes, 'class')} {'has' if len(few) == 1 else 'have'} fewer "
                f"than {LEAST * 5 // 4} tags: too few for a learning curve, and reason to go on."
            )
        return
    likely = f"{counted(gain['documents'], 'more tag')} of this kind are likely to bring {_points(gain['macro_f1'])} "
    likely += f"points of macro F1 (95% interval {_points(gain['low'])} to {_points(gain['high'])})"
    if gain["macro_f1"] <= gain["chance"]:
        yield (
            f"{likely}: less than chance moves it from one training to the next ({100 * gain['chance']:.1f} points). "
            "More tags hardly pay: train, and look at confused classes, suspected tags and disagreements instead."
        )
    else:
        yield f"{likely}.{'' if gain['low'] > 0 else ' That they help is not certain.'}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _between(interval: Sequence[float]) -> str:
    return f"{_percent(interval[0])} to {_percent(interval[1])}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
