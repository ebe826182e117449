"""The wrongly classified documents, as rows of the page's table."""

from collections.abc import Mapping, Sequence
from typing import Any

MOST_ROWS = 10_000
MOST_CHARACTERS = 12_000_000
"""Of all texts together: browsers open a page of that size without delay."""
SCORES = 5
"""Scores shown in addition to those of the true and the predicted classes."""


def wrong_documents(
    predictions: Sequence[Mapping[str, Any]], classes: Sequence[str], explanations: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """A row for each wrongly classified document, the most confident mistakes first, at most `MOST_ROWS`.

    Classes are ids; offsets are in characters (code points) of the text. Texts are cut if together they are too long
    for a page.

    Args:
        explanations: from `analysis.json`; None: there are none.
    """
    marks, explained = ((explanations or {}).get(name, {}) for name in ("documents", "classes"))
    ids = {name: i for i, name in enumerate(classes)}
    wrong = [line for line in predictions if set(line["labels"]) != set(line["predicted"])]
    wrong.sort(key=lambda line: (-_confidence(line), line["id"]))
    wrong = wrong[:MOST_ROWS]
    longest = longest_text([len(line["text"]) for line in wrong])
    rows = [_row(line, ids, marks.get(line["id"], ()), longest) for line in wrong]
    for row in rows:
        if "marks" in row and (name := explained.get(row["id"])) in ids:
            row["explained"] = ids[name]
    return rows


def _confidence(line: Mapping[str, Any]) -> float:
    """The highest score of an invented class; if there is none, 1 minus the lowest score of a missed class."""
    invented, missed = set(line["predicted"]) - set(line["labels"]), set(line["labels"]) - set(line["predicted"])
    scores = [line["scores"][name] for name in invented] or [1 - line["scores"][name] for name in missed]
    return float(max(scores))


def longest_text(lengths: Sequence[int]) -> int:
    """The most characters of one text with which all texts together have at most `MOST_CHARACTERS`."""
    room, left = MOST_CHARACTERS, len(lengths)
    for length in sorted(lengths):
        if length * left > room:
            return room // left
        room, left = room - length, left - 1
    return max(lengths, default=0)


def _row(
    line: Mapping[str, Any], ids: Mapping[str, int], marks: Sequence[Mapping[str, Any]], longest: int
) -> dict[str, Any]:
    tagged, predicted = [ids[name] for name in line["labels"]], [ids[name] for name in line["predicted"]]
    ranked = sorted(line["scores"].items(), key=lambda pair: -pair[1])
    shown = {ids[name]: score for name, score in ranked[:SCORES]}
    shown |= {ids[name]: line["scores"][name] for name in (*line["labels"], *line["predicted"])}
    row = {
        "id": line["id"],
        "text": line["text"][:longest],
        "tagged": tagged,
        "predicted": predicted,
        "scores": sorted(([i, round(score, 3)] for i, score in shown.items()), key=lambda pair: -pair[1]),
        "confidence": round(_confidence(line), 3),
    }
    if len(line["text"]) > longest:
        row["more"] = len(line["text"]) - longest
    if inside := [[m["start"], m["end"], round(m["weight"], 3)] for m in marks if m["end"] <= longest]:
        row["marks"] = sorted(inside)
    if line.get("to_person") is not None:
        row["to_person"] = line["to_person"]
    if line.get("out_of_scope") is not None:
        row["out_of_scope"] = round(line["out_of_scope"], 3)
    return row
