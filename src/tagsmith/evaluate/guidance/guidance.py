"""All lines of guidance for an evaluated run, the most important first."""

from collections.abc import Mapping, Sequence
from typing import Any

from tagsmith.evaluate.guidance import documents, figures
from tagsmith.evaluate.guidance.collision_lines import collisions
from tagsmith.evaluate.guidance.lines import Facts, in_order

__all__ = ["Facts", "guidance"]


def guidance(
    evaluation: Mapping[str, Any], analysis: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], facts: Facts
) -> list[dict[str, Any]]:
    """What to do next, ready for JSON.

    Args:
        evaluation, analysis: as of `evaluation.json` and `analysis.json`.
        rows: as of `predictions.jsonl`.
    """
    lines = [
        *figures.trained_on(analysis),
        *documents.few_documents(analysis, facts),
        *documents.absent_from_test(analysis, facts),
        *documents.imbalance(analysis, evaluation, facts),
        *documents.other_mix(analysis, facts),
        *documents.near_duplicates(analysis, evaluation),
        *documents.differently_tagged(analysis),
        *documents.documents_cut(analysis, facts),
        *collisions(analysis, rows, facts),
        *figures.wide_interval(analysis, evaluation, facts),
        *figures.behind_baseline(analysis, evaluation, facts),
        *figures.more_documents(analysis, facts),
        *figures.not_calibrated(evaluation, facts),
    ]
    return [line.as_dict() for line in in_order(lines)]
