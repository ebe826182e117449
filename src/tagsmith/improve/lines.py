"""What the lines of the queues say, from arrays to records; `tag` is null until a person fills it in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.schema import Schema
from tagsmith.decision.metrics import decide
from tagsmith.improve.acquisition import Chosen, Reason, uncertainty
from tagsmith.improve.pool import Candidate
from tagsmith.improve.queues import Line, tag_of
from tagsmith.improve.suspicion import Suspicion

Floats = NDArray[np.float32]

MOST_SCORES = 5
"""Classes that a line gives the scores of: the best ones."""


def suspected_lines(
    found: Sequence[Suspicion], order: Sequence[int], wrong: int, scores: Floats, truth: NDArray[np.int8],
    ids: Sequence[str], texts: Sequence[str], schema: Schema,
) -> list[Line]:  # fmt: skip
    """Lines of training documents in this order; the first `wrong` of them are suspected and get a suggestion.

    What is not suspected has its own tags as `suggested`: who accepts all suggestions changes nothing there.

    Args:
        scores: float32 [documents, classes], of models that have not seen the documents.
    """
    lines = []
    for rank, i in enumerate(order):
        one, suspected = found[i], rank < wrong
        tags = [int(label) for label in np.flatnonzero(truth[i])]
        suggested = list(one.suggested) if suspected else tags
        why = _why(tags, list(one.suggested), scores[i], schema)
        line = {
            "id": ids[i],
            "text": texts[i],
            "score": round(one.score, 6),
            "labels": schema.names(tags),
            "suggested": tag_of(schema.names(suggested), schema.multi_label),
            "suspected": suspected,
            "why": why,
        }
        if one.near is not None:
            other, share = one.near
            line["near_copy"] = {
                "id": ids[other],
                "text": texts[other],
                "labels": schema.names(np.flatnonzero(truth[other])),
                "similarity": share,
            }
            line["why"] += (
                f"; {ids[other]} is nearly the same and tagged {_named(np.flatnonzero(truth[other]), schema)}"
            )
        lines.append({**line, "tag": None})
    return lines


def _why(tags: list[int], suggested: list[int], scores: Floats, schema: Schema) -> str:
    if not schema.multi_label:
        other, tag = suggested[0], tags[0]
        return (
            f"models that have not seen it give {schema.classes[other]} {scores[other]:.3f}, "
            f"{schema.classes[tag]} {scores[tag]:.3f}"
        )
    changed = sorted(set(tags) ^ set(suggested), key=lambda label: -abs(scores[label] - (label in tags)))
    said = [
        f"{schema.classes[label]} {scores[label]:.3f}, and it is {'tagged' if label in tags else 'not tagged'} so"
        for label in changed
    ]
    return "models that have not seen it give " + "; ".join(said)


def _named(ids: Sequence[int] | NDArray[np.int64], schema: Schema) -> str:
    return ", ".join(schema.names(ids)) or "with no class"


def next_lines(
    queue: Sequence[Chosen], scores: Floats, thresholds: Floats, candidates: Sequence[Candidate], schema: Schema
) -> list[Line]:
    """Lines of the documents to tag, in the order of the queue; `score` falls evenly from 1."""
    unsure = uncertainty(scores, schema.multi_label)
    lines = []
    for rank, chosen in enumerate(queue):
        line = _line(candidates[chosen.position], round(1 - rank / len(queue), 6))
        line["reason"] = chosen.reason.value
        if chosen.reason is Reason.rare_class and chosen.rare_class is not None:
            line["rare_class"] = schema.classes[chosen.rare_class]
        line["uncertainty"] = round(float(unsure[chosen.position]), 6)
        lines.append({**line, **_suggestion(scores[chosen.position], thresholds, schema), "tag": None})
    return lines


def suggested_lines(
    left: Sequence[int], scores: Floats, thresholds: Floats, candidates: Sequence[Candidate], schema: Schema
) -> list[Line]:
    """Lines of candidates that are not in the queue, the surest suggestion first.

    `score` is how likely the suggestion is right: the score of its class; multi-label: the product over all classes of
    the score, or of its complement where the class is not suggested.
    """
    predicted = _predicted(scores, thresholds, schema)
    right = np.where(predicted == 1, scores, 1 - scores)
    sure = np.exp(np.log(np.maximum(right, 1e-12)).sum(axis=1)) if schema.multi_label else scores.max(axis=1)
    order = sorted(left, key=lambda i: (-float(sure[i]), i))
    return [
        {
            **_line(candidates[i], round(float(sure[i]), 6)),
            **_suggestion(scores[i], thresholds, schema),
            "tag": None,
        }
        for i in order
    ]


def _line(candidate: Candidate, score: float) -> Line:
    line = {"id": candidate.id, "text": candidate.text, "score": score}
    return line if candidate.group is None else {**line, "group": candidate.group}


def _suggestion(scores: Floats, thresholds: Floats, schema: Schema) -> Line:
    names = schema.names(np.flatnonzero(_predicted(scores[None], thresholds, schema)[0]))
    best = np.argsort(-scores, kind="stable")[:MOST_SCORES]
    return {
        "suggested": tag_of(names, schema.multi_label),
        "scores": {schema.classes[i]: round(float(scores[i]), 6) for i in best},
    }


def _predicted(scores: Floats, thresholds: Floats, schema: Schema) -> NDArray[np.int8]:
    if schema.multi_label:
        return (scores >= thresholds).astype(np.int8)
    return decide(scores, False, 0.5)
