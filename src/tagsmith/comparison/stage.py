"""From two runs to `comparison.json` and `comparison.html`."""

from pathlib import Path
from typing import Any

import numpy as np

from tagsmith.comparison.differences import compare, losses
from tagsmith.comparison.page import comparison_page
from tagsmith.comparison.pairs import Pair, read_pair
from tagsmith.errors import counted
from tagsmith.files import whole_file, write_json
from tagsmith.run import RunFolder
from tagsmith.schema_changes import SchemaChanges
from tagsmith.settings import CompareRuns

SHOWN = 4
"""Scores of a changed document that are kept, the highest of either run."""


def compare_runs(settings: CompareRuns) -> tuple[dict[str, Any], Path]:
    """Compare two runs; returns what was found, and the folder in which it was written.

    Raises:
        InputMissing, SettingsError, DataError: see `pairs.read_pair`.
    """
    first, second = (RunFolder(Path(name)) for name in settings.runs)
    changes = SchemaChanges.read(Path(settings.schema_changes)) if settings.schema_changes is not None else None
    pair = read_pair(first, second, changes)
    found = comparison_of(pair, settings.resamples, settings.seed)
    folder = Path(settings.out) if settings.out is not None else second.path / "compared" / first.path.resolve().name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "comparison.json", found)
    with whole_file(folder / "comparison.html") as file:
        file.write(comparison_page(found))
    return found, folder


def comparison_of(pair: Pair, resamples: int, seed: int) -> dict[str, Any]:
    """All that is said of a pair of runs, ready for JSON."""
    sides = (pair.first, pair.second)
    predicted = (pair.first.predicted, pair.second.predicted)
    by_document = tuple(losses(side.scores, pair.truth, pair.multi_label) for side in sides)
    found = compare(pair.truth, predicted, (by_document[0], by_document[1]), pair.classes, resamples, seed)
    return {
        "runs": {"first": pair.first.name, "second": pair.second.name},
        "split": pair.split,
        "multi_label": pair.multi_label,
        "documents": len(pair.ids),
        "left_out": {"first_alone": pair.first.alone, "second_alone": pair.second.alone, "other_classes": pair.untold},
        "retagged": pair.retagged,
        "verdict": verdict(found["figures"], len(pair.ids)),
        **found,
        "changed": changed(pair),
    }


def verdict(figures: dict[str, Any], documents: int) -> str:
    """In words, whether the second run is better by its macro F1, or how many documents would tell."""
    macro = figures["macro_f1"]
    low, high = (100 * edge for edge in macro["interval"])
    difference = 100 * macro["difference"]
    if low > 0 or high < 0:
        return (
            f"The second run is {'better' if low > 0 else 'worse'} by {abs(difference):.1f} points of macro F1 "
            f"(95 % interval {low:+.1f} to {high:+.1f})."
        )
    told = f"No difference can be told: macro F1 {difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})."
    half = (high - low) / 2
    if half > 1:
        # An interval narrows with the square root of the documents.
        needed = int(np.ceil(documents * half**2))
        told += (
            f" To tell one point, about {counted(needed, 'test document')} would be needed; there are {documents:,}."
        )
    return told


def changed(pair: Pair) -> list[dict[str, Any]]:
    """Documents on which the two do not say the same: lost first, then gained, then differently wrong."""
    right = [(side.predicted == pair.truth).all(axis=1) for side in (pair.first, pair.second)]
    kind = np.where(right[0], "lost", np.where(right[1], "gained", "still_wrong"))
    differ = np.flatnonzero((pair.first.predicted != pair.second.predicted).any(axis=1))
    order = {"lost": 0, "gained": 1, "still_wrong": 2}

    def names(row: Any) -> list[str]:
        return [pair.classes[i] for i in np.flatnonzero(row)]

    def line(i: int) -> dict[str, Any]:
        best = np.argsort(-np.maximum(pair.first.scores[i], pair.second.scores[i]), kind="stable")[:SHOWN]
        return {
            "id": pair.ids[i],
            "text": pair.texts[i],
            "labels": names(pair.truth[i]),
            "first": names(pair.first.predicted[i]),
            "second": names(pair.second.predicted[i]),
            "change": str(kind[i]),
            "scores": {
                pair.classes[k]: [round(float(side.scores[i, k]), 4) for side in (pair.first, pair.second)]
                for k in best
            },
        }

    return [line(i) for i in sorted(differ.tolist(), key=lambda i: (order[str(kind[i])], i))]
