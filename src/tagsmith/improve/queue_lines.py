"""The lines of the queues, from arrays to records; `tag` is null until somebody fills it in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.schema import Schema
from tagsmith.decision.metrics import decide
from tagsmith.decision.uncertainty import uncertainty
from tagsmith.improve.acquisition import Chosen, Reason
from tagsmith.improve.pool import Candidate
from tagsmith.improve.queue_tables import Line, tag_of
from tagsmith.improve.run_scores import Scored
from tagsmith.improve.suspicion import Suspicion
from tagsmith.improve.training_documents import TrainingDocuments

Floats = NDArray[np.float32]

MOST_SCORES = 5
"""The number of best classes whose scores a line shows."""


def suspected_lines(
    training: TrainingDocuments, found: Sequence[Suspicion], order: Sequence[int], wrong: int, scores: Floats
) -> list[Line]:
    """Lines of training documents in this order; the first `wrong` of them are suspected and have a suggestion.

    The others have their own tags as `suggested`, so that accepting all suggestions does not change them.

    Args:
        scores: float32 [documents, classes], by models that were not trained on the documents.
    """
    schema = training.schema
    lines = []
    for rank, i in enumerate(order):
        one, suspected = found[i], rank < wrong
        tags = [int(label) for label in np.flatnonzero(training.truth[i])]
        suggested = list(one.suggested) if suspected else tags
        line = {
            "id": training.ids[i],
            "text": training.texts[i],
            "score": round(one.score, 6),
            "labels": schema.names(tags),
            "suggested": tag_of(schema.names(suggested), schema.multi_label),
            "suspected": suspected,
            "why": _why(tags, list(one.suggested), scores[i], schema),
        }
        if one.near is not None:
            other, share = one.near
            labels = schema.names(np.flatnonzero(training.truth[other]))
            line["near_copy"] = {
                "id": training.ids[other],
                "text": training.texts[other],
                "labels": labels,
                "similarity": share,
            }
            copy = "the same text" if one.same_text else "its near copy"
            line["why"] += f"; {copy} {training.ids[other]} is tagged {', '.join(labels) or 'with no class'}"
        lines.append({**line, "tag": None})
    return lines


def _why(tags: list[int], suggested: list[int], scores: Floats, schema: Schema) -> str:
    if schema.multi_label:
        changed = sorted(set(tags) ^ set(suggested), key=lambda label: -abs(scores[label] - (label in tags)))
        shown = ((label, " (tagged)" if label in tags else " (not tagged)") for label in changed)
    else:
        shown = ((label, "") for label in (suggested[0], tags[0]))
    values = (f"{schema.classes[label]} {scores[label]:.3f}{remark}" for label, remark in shown)
    return f"models not trained on it predict {', '.join(values)}"


def next_lines(queue: Sequence[Chosen], scored: Scored, candidates: Sequence[Candidate], schema: Schema) -> list[Line]:
    """Lines of the documents to tag, in the order of the queue; `score` falls evenly from 1."""
    unsure = uncertainty(scored.scores, schema.multi_label)
    lines = []
    for rank, chosen in enumerate(queue):
        line = _line(candidates[chosen.position], round(1 - rank / len(queue), 6))
        line["reason"] = chosen.reason.value
        if chosen.reason is Reason.rare_class and chosen.rare_class is not None:
            line["rare_class"] = schema.classes[chosen.rare_class]
        line["uncertainty"] = round(float(unsure[chosen.position]), 6)
        lines.append({**line, **_suggestion(chosen.position, scored, schema), "tag": None})
    return lines


def suggested_lines(left: Sequence[int], scored: Scored, candidates: Sequence[Candidate], schema: Schema) -> list[Line]:
    """Lines of candidates that are not in the queue, most confident suggestion first.

    `score` is the probability that the suggestion is right: the score of its class; multi-label: the product over all
    classes of the score, or of its complement where the class is not suggested.
    """
    scores = scored.scores
    right = np.where(_predicted(scores, scored, schema) == 1, scores, 1 - scores)
    sure = np.exp(np.log(np.maximum(right, 1e-12)).sum(axis=1)) if schema.multi_label else scores.max(axis=1)
    order = sorted(left, key=lambda i: (-float(sure[i]), i))
    return [
        {**_line(candidates[i], round(float(sure[i]), 6)), **_suggestion(i, scored, schema), "tag": None} for i in order
    ]


def _line(candidate: Candidate, score: float) -> Line:
    line = {"id": candidate.id, "text": candidate.text, "score": score}
    return line if candidate.group is None else {**line, "group": candidate.group}


def _suggestion(position: int, scored: Scored, schema: Schema) -> Line:
    scores = scored.scores[position]
    names = schema.names(np.flatnonzero(_predicted(scores[None], scored, schema)[0]))
    best = np.argsort(-scores, kind="stable")[:MOST_SCORES]
    return {
        "suggested": tag_of(names, schema.multi_label),
        "scores": {schema.classes[i]: round(float(scores[i]), 6) for i in best},
    }


def _predicted(scores: Floats, scored: Scored, schema: Schema) -> NDArray[np.int8]:
    if schema.multi_label:
        return (scores >= scored.thresholds).astype(np.int8)
    return decide(scores, False, 0.5)
