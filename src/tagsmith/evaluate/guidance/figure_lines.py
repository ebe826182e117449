"""Guidance about the figures: how certain they are, how they compare with baselines, what would raise them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tagsmith.core.errors import counted
from tagsmith.evaluate.class_limits import WIDE, is_uncertain
from tagsmith.evaluate.guidance.lines import Facts, Line, Severity, named

WORTH_IT = 0.01
"""Gain of F1 from 50% more documents that is worth a mention."""

NO_ROOM = 5
"""Mistakes of a baseline up to which no model could be shown to be better: with 5 documents that only one of two has
right, McNemar's exact test gives p = 0.06, with 6 it gives 0.03."""

MOST_CLASSES = 10

IN_THE_MIX = (
    "Tag them in the mix in which they come in, and at most half as many again of any single class: a class that is "
    "more common in training than in practice is predicted too often. "
)


def trained_on(analysis: Mapping[str, Any]) -> Iterator[Line]:
    """Figures on documents that the model was trained on."""
    if analysis["split"] == "train":
        yield Line(
            "trained_on",
            Severity.problem,
            "These figures are on documents that the model was trained on.",
            "The model may have memorized them: figures on new documents are lower, and no baseline can be compared.",
            "Evaluate a held-out split (split=test); if there is none, train with data.test_share=0.2.",
        )


def wide_interval(analysis: Mapping[str, Any], evaluation: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Classes whose F1 is too uncertain, and how many documents would settle it."""
    wide = {}
    for name in facts.classes:
        support, f1 = evaluation["classes"][name]["support"], analysis["intervals"]["classes"][name]["f1"]
        if not is_uncertain(support, f1):
            continue
        # The width of an interval is proportional to one over the root of the number of documents.
        needed = math.ceil(support * ((f1[1] - f1[0]) / WIDE) ** 2)
        wide[name] = {"low": f1[0], "high": f1[1], "support": support, "needed": needed}
    if wide:
        names = sorted(wide, key=lambda name: (wide[name]["low"] - wide[name]["high"], name))
        worst, split = wide[names[0]], analysis["split"]
        more = sum(row["needed"] - row["support"] for row in wide.values())
        yield Line(
            "wide_interval",
            Severity.advice,
            f"The F1 of {counted(len(names), 'class')} is uncertain (95% interval wider than {WIDE}): {named(names)}.",
            f"{names[0]}: {worst['low']:.2f} to {worst['high']:.2f}, from {counted(worst['support'], 'document')} in "
            f"{split}. Such a figure cannot tell two models apart.",
            f"Tag about {counted(more, 'more document')} for {split} ({names[0]}: "
            f"{worst['needed'] - worst['support']:,}), or do not judge by single classes.",
            names,
            {"classes": len(names), "more_documents": more, "by_class": wide},
            size=len(names),
        )


def behind_baseline(analysis: Mapping[str, Any], evaluation: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Simpler classifiers that reach as much."""
    about = {
        "probe": ("the probe (a regression on the encoder before training)", "train=probe"),
        "tfidf": ("TF-IDF with a linear support vector machine", None),
    }
    for name, (what, recipe) in about.items():
        found = analysis["baselines"].get(name)
        # A run of the probe would be compared with itself.
        if found is None or (name == "probe" and facts.recipe == "probe"):
            continue
        leads = [found["lead"][figure] for figure in ("macro_f1", "micro_f1")]
        if any(lead["interval"][0] > 0 for lead in leads):
            continue
        documents = evaluation["documents"]
        wrong = round((1 - found["accuracy"]) * documents)
        worse = any(lead["interval"][1] < 0 for lead in leads)
        behind = all(lead["found"] <= 0 for lead in leads)
        if wrong <= NO_ROOM and not worse:
            severity, title, remedy = _no_room(what, wrong, documents, recipe)
        else:
            severity = Severity.problem if behind else Severity.advice
            title = f"The model is {'no better than' if behind else 'not clearly better than'} {what}."
            simpler = (
                f"Until then, {recipe} is as good and trains in a fraction of the time."
                if recipe
                else "A larger encoder may do better."
            )
            remedy = f"Check the tags first, then try train=auto, which compares recipes by cross-validation. {simpler}"
        lead, f1 = leads[0], found["macro_f1"]
        low, high = lead["interval"]
        yield Line(
            "behind_baseline",
            severity,
            title,
            f"{_two_figures(f1 + lead['found'], f1)} (95% interval {low:+.4f} to {high:+.4f}, paired bootstrap on the "
            "same documents).",
            remedy,
            (),
            {
                "macro_f1": f1 + lead["found"],
                "baseline_macro_f1": f1,
                "difference": lead["found"],
                "low": low,
                "high": high,
                "baseline_accuracy": found["accuracy"],
            },
            size=-lead["found"],
        )


def _no_room(what: str, wrong: int, documents: int, recipe: str | None) -> tuple[Severity, str, str]:
    """Severity, title and remedy where the baseline makes so few mistakes that nothing could be shown to be better."""
    count = counted(wrong, "mistake") if wrong else "no mistake"
    return (
        Severity.note,
        f"{what[0].upper()}{what[1:]} makes {count} on {counted(documents, 'document')}: no model could be shown to be "
        "better.",
        f"None is needed. {f'{recipe} may do, and trains in a fraction of the time. ' if recipe else ''}If the last "
        "mistakes matter, compare on more test documents.",
    )


def _two_figures(ours: float, theirs: float) -> str:
    if f"{ours:.4f}" == f"{theirs:.4f}":
        return f"Macro F1 is the same, {ours:.4f}"
    return f"Macro F1 is {ours:.4f}, compared with {theirs:.4f}: a difference of {ours - theirs:+.4f}"


def not_calibrated(evaluation: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """Scores that are not probabilities of being right."""
    if not (evaluation.get("scores") or {}).get("calibrated"):
        yield Line(
            "not_calibrated",
            Severity.note,
            "The scores are not calibrated.",
            "A score of 0.9 need not mean that 9 of 10 such documents are right, so scores cannot decide which "
            "documents the model may handle alone.",
            f"python scripts/calibrate.py run={facts.run}",
        )


def more_documents(analysis: Mapping[str, Any], facts: Facts) -> Iterator[Line]:
    """How much more documents are likely to help, and which classes most."""
    curve = analysis["learning_curve"]
    if not curve or not curve["gain"]:
        return
    gain, points, gains = curve["gain"], curve["points"], curve["classes"]
    likely = [name for name in gains if gains[name]["gain"] >= WORTH_IT]
    names = sorted(likely, key=lambda name: (-gains[name]["gain"], name))[:MOST_CLASSES]
    reason = (
        f"Macro F1 of the probe: {_points(points)}. By this learning curve, half as many again ({gain['documents']:,} "
        f"in the same mix) bring {gain['macro_f1']:+.3f} (95% interval {gain['low']:+.3f} to {gain['high']:+.3f})."
    )
    more = {"more_documents": gain["documents"], "gain": gain["macro_f1"], "low": gain["low"], "high": gain["high"]}
    figure = {"macro_f1": points[-1]["macro_f1"], **more}
    if gain["macro_f1"] < WORTH_IT:
        yield Line(
            "learning_curve",
            Severity.note,
            f"Half as many documents again are likely to bring less than {WORTH_IT} of macro F1.",
            reason,
            "Correct tags and classes instead (see the lines on confused classes and on documents tagged differently).",
            figure=figure,
        )
        return
    certain = gain["low"] > 0
    yield Line(
        "learning_curve",
        Severity.advice if certain else Severity.note,
        f"More documents are likely to help{f', most in {named(names)}' if names else ''}.",
        f"{reason}{'' if certain else ' That they help is not certain.'}",
        f"{'' if facts.multi_label else IN_THE_MIX}"
        f"python scripts/improve.py run={facts.run} pool=untagged.jsonl ranks untagged documents by how much "
        "they help.",
        names,
        {**figure, "by_class": {name: {key: gains[name][key] for key in ("gain", "low", "high")} for name in names}},
    )


def _points(points: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{point['macro_f1']:.3f} with {point['documents']:,}" for point in points) + " documents"
