"""All guidance for an evaluated run, the most important line first."""

from collections.abc import Mapping, Sequence
from typing import Any

from tagsmith.evaluate.guidance import document_lines, figure_lines
from tagsmith.evaluate.guidance.collision_lines import collisions
from tagsmith.evaluate.guidance.lines import Facts, in_order

__all__ = ["Facts", "guidance"]


def guidance(
    evaluation: Mapping[str, Any], analysis: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], facts: Facts
) -> list[dict[str, Any]]:
    """What to do next, ready for JSON.

    Args:
        evaluation, analysis: the content of `evaluation.json` and `analysis.json`.
        rows: the lines of `predictions.jsonl`.
    """
    lines = [
        *figure_lines.trained_on(analysis),
        *document_lines.few_documents(analysis, facts),
        *document_lines.absent_from_test(analysis, facts),
        *document_lines.imbalance(analysis, evaluation, facts),
        *document_lines.other_mix(analysis, facts),
        *document_lines.near_duplicates(analysis, evaluation),
        *document_lines.contradictions(analysis),
        *document_lines.differently_tagged(analysis),
        *document_lines.documents_cut(analysis, facts),
        *collisions(analysis, rows, facts),
        *figure_lines.wide_interval(analysis, evaluation, facts),
        *figure_lines.behind_baseline(analysis, evaluation, facts),
        *figure_lines.more_documents(analysis, facts),
        *figure_lines.not_calibrated(evaluation, facts),
    ]
    return [line.as_dict() for line in in_order(lines)]
