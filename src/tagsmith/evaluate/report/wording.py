"""Figures in words: the headline of the page, and what stands out about a class."""

from collections.abc import Mapping, Sequence
from typing import Any

from tagsmith.core.errors import counted
from tagsmith.evaluate.class_limits import FEW, RECOMMENDED, is_imbalanced, is_uncertain

FIGURES = {"accuracy": "accuracy", "micro_f1": "micro F1", "macro_f1": "macro F1", "log_loss": "log loss"}
"""Names of the figures of an evaluation."""
TAKEN_FOR = 0.05
"""Share of a class's documents from which a confusion is named."""
LEANING = 0.15
"""Difference of precision and recall from which a class is predicted too often, or too seldom."""

LEAST_CHANCE = 0.0001
"""Smaller p-values are not shown exactly."""


def percent(share: float) -> str:
    """A share as text: 0.9751 is 97.5%."""
    return f"{100 * share:.1f}%"


def interval(bounds: Sequence[float] | None) -> str:
    """A 95% interval of shares as text; empty if there is none."""
    return "" if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"


def points(share: float) -> str:
    """A difference of shares in percentage points, without a negative zero."""
    return f"{round(100 * share, 1) + 0.0:.1f}"


def figure(value: Any, most: int = 20) -> str:
    """A figure of any type, or figures by class, as text."""
    if isinstance(value, Mapping):
        shown = [f"{name} {figure(one)}" for name, one in [*value.items()][:most]]
        return ", ".join(shown) + (f" and {len(value) - most} more" if len(value) > most else "")
    if isinstance(value, list | tuple):
        return ", ".join(map(figure, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def against(value: float, baseline: float | None) -> str:
    """The distance of a share to a baseline, in percentage points: `2.5 points above`."""
    if baseline is None:
        return ""
    distance = points(abs(value - baseline))
    return "level with" if distance == "0.0" else f"{distance} points {'above' if value > baseline else 'below'}"


def headline(evaluation: Mapping[str, Any], analysis: Mapping[str, Any]) -> list[str]:
    """The run in a few sentences: how many documents are right, how certain that is, how it compares with baselines."""
    multi_label = "confusion_matrices" in evaluation
    documents, classes = evaluation["documents"], len(evaluation["classes"])
    found = analysis.get("intervals", {})
    right = round(evaluation["accuracy"] * documents)
    certain = f" (95% interval {interval(found['accuracy'])})" if "accuracy" in found else ""
    what = "get exactly their classes" if multi_label else "are classified correctly"
    sentences = [
        f"Of {counted(documents, 'document')} in the {evaluation['split']} split, with {counted(classes, 'class')}, "
        f"{right:,} {what}: {percent(evaluation['accuracy'])}{certain}."
    ]
    macro = evaluation["macro"]["f1"]
    certain = f" (95% interval {interval(found['macro_f1'])})" if "macro_f1" in found else ""
    sentences.append(f"Macro F1, in which every class counts the same, is {percent(macro)}{certain}.")
    names = {"probe": "a regression on the encoder before training", "tfidf": "TF-IDF"}
    compared = [
        f"{against(macro, figures['macro_f1'])} {names[name]} ({percent(figures['macro_f1'])})"
        for name, figures in analysis.get("baselines", {}).items()
        if figures and name in names
    ]
    if compared:
        sentences.append(f"That is {' and '.join(compared)}, trained on the same documents.")
    if (point := evaluation.get("operating_point")) and point["precision"] is not None:
        rest = f"the other {percent(1 - point['coverage'])} go to a person"
        sentences.append(
            f"The model handles {percent(point['coverage'])} of the documents alone, with "
            f"{percent(point['precision'])} precision (target {percent(point['target_precision'])}); {rest}."
        )
    return sentences


def meaning(
    row: Mapping[str, Any],
    train: int | None,
    largest: tuple[str, int] | None,
    bounds: Sequence[float] | None,
    taken_for: tuple[str, int] | None,
    taken_from: tuple[str, int] | None,
) -> list[str]:
    """What stands out about one class, most important first; never empty.

    Args:
        row: its figures, as `evaluation.json` has them.
        train: its training documents.
        largest: the class with the most training documents, and how many it has.
        bounds: the 95% interval of its F1.
        taken_for: the class that its documents are most often taken for, and how many of them are.
        taken_from: the class whose documents are most often taken for this one, and how many of them are.
    """
    found, support = [], row["support"]
    if not support:
        found.append("no evaluated document, so no figures")
    if train is not None and train < RECOMMENDED:
        found.append(
            f"only {counted(train, 'training document')}: "
            + (f"a class with fewer than {FEW} is seldom learned" if train < FEW else f"{RECOMMENDED} are recommended")
        )
    if train is not None and largest is not None and is_imbalanced(train, largest[1]):
        found.append(f"imbalanced: {largest[0]} has {largest[1]:,} training documents")
    if taken_for and taken_for[1] > 1 and taken_for[1] >= TAKEN_FOR * support:
        found.append(f"often predicted as {taken_for[0]} ({taken_for[1]:,} of {support:,})")
    if taken_from and taken_from[1] > 1 and taken_from[1] >= TAKEN_FOR * max(support, 1):
        found.append(f"{taken_from[0]} is predicted as this class ({taken_from[1]:,})")
    leaning = row["precision"] - row["recall"]
    if support and leaning > LEANING:
        found.append("predicted too seldom: predictions are mostly right, but many documents are missed")
    elif support and leaning < -LEANING:
        found.append("predicted too often: few documents are missed, but many predictions are wrong")
    if is_uncertain(support, bounds):
        found.append(f"its F1 is uncertain: {interval(bounds)}, from {counted(support, 'document')}")
    return found or ["nothing stands out"]


def signed_points(value: float) -> str:
    """A difference of two shares in points; zero has no sign."""
    shown = points(value)
    return shown if value < 0 or shown == "0.0" else f"+{shown}"


def signed_nats(value: float) -> str:
    """A difference of two losses; zero has no sign."""
    shown = f"{value:+.4f}"
    return shown if float(shown) else "0.0000"


def chance(value: float) -> str:
    """A p-value with its sign: `= 0.0021`, `< 0.0001`."""
    return f"= {value:.2g}" if value >= LEAST_CHANCE else f"< {LEAST_CHANCE:.4f}"
