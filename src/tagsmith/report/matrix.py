"""The confusion matrix as a picture that can be read at 5 and at 150 classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tagsmith.report.chart import Chart, safe, short
from tagsmith.report.confusion import Counts, most_errors, order_of_classes

READABLE = 25
"""Classes up to which every cell shows its count."""
LOWEST = 0.005
"""Row share from which colour begins."""
# Clear at one end, so that one scale suits a light and a dark page.
RIGHT = [[0, "rgba(56, 122, 184, 0.12)"], [1, "rgba(56, 122, 184, 0.85)"]]
WRONG = [[0, "rgba(232, 138, 40, 0.16)"], [0.5, "rgba(222, 100, 32, 0.75)"], [1, "rgba(190, 40, 40, 1)"]]


def matrices(errors: Counts, right: Counts, support: Counts, names: Sequence[str], multi_label: bool) -> list[Chart]:
    """Of many classes first those with most errors, then all; of few, all.

    Args:
        errors: [classes + 1, classes + 1], as `missed_and_invented` gives them.
        right: documents of each class that are right [classes].
        support: documents of each class [classes].
    """
    order = order_of_classes(errors[:-1, :-1], support)
    charts = []
    if len(names) > READABLE and (worst := set(most_errors(errors[:-1, :-1], READABLE))):
        chosen = [i for i in order if i in worst]
        title = f"The {len(chosen)} classes with most confusions"
        charts.append(_matrix("matrix-worst", title, errors, right, support, names, chosen, multi_label))
    title = "All classes" if charts else "What was taken for what"
    charts.append(_matrix("matrix", title, errors, right, support, names, order, multi_label))
    return charts


def _matrix(
    id: str, title: str, errors: Counts, right: Counts, support: Counts, names: Sequence[str], order: list[int],
    multi_label: bool,
) -> Chart:  # fmt: skip
    nothing = len(names)
    # Of a multi-label run a class may be missed with nothing in its place, and the other way round.
    drawn = [*order, nothing] if multi_label else order
    cells = errors[np.ix_(drawn, drawn)].astype(float)
    here = np.arange(len(order))
    rows = np.array([*support[order], *[max(int(errors[nothing].sum()), 1)] * multi_label], dtype=float)
    shares = cells / np.maximum(rows, 1)[:, None]
    labels = [names[i] for i in order] + ["nothing"] * multi_label
    counts = cells.copy()
    counts[here, here] = right[order]
    size = len(drawn)
    wide = size <= READABLE + 1
    text = np.where(counts > 0, counts.astype(int).astype(str), "") if wide else None
    shown = [safe(name) for name in labels]
    figure = go.Figure()
    diagonal = np.full(cells.shape, np.nan)
    diagonal[here, here] = counts[here, here] / np.maximum(rows[: len(order)], 1)
    wrong = np.where(cells > 0, np.log10(np.clip(shares, LOWEST, 1)), np.nan)
    if not multi_label:
        wrong[here, here] = np.nan
    verbs = ("missed", "invented") if multi_label else ("true", "predicted")
    ticks = [0.01, 0.03, 0.1, 0.3, 1.0]
    for values, scale, low, high, bar in (
        (diagonal, RIGHT, 0.0, 1.0, None),
        (wrong, WRONG, float(np.log10(LOWEST)), 0.0, {
            "title": {"text": "share of the row", "side": "right"}, "thickness": 10, "len": 0.6, "outlinewidth": 0,
            "tickvals": [float(np.log10(tick)) for tick in ticks], "ticktext": [f"{tick:.0%}" for tick in ticks],
        }),
    ):  # fmt: skip
        figure.add_heatmap(
            z=values.tolist(), zmin=low, zmax=high, colorscale=scale, showscale=bar is not None, colorbar=bar or {},
            customdata=_told(values, shown, counts, rows), text=None if text is None else text.tolist(),
            texttemplate="%{text}" if wide else None,
            hovertemplate=f"{verbs[0]}: %{{customdata[0]}}<br>{verbs[1]}: %{{customdata[1]}}<br>"
            "%{customdata[2]:,} of %{customdata[3]:,}, %{customdata[4]:.1%}<extra></extra>",
            xgap=1 if size <= 60 else 0, ygap=1 if size <= 60 else 0, hoverongaps=False,
        )  # fmt: skip
    font = 12 if size <= 30 else 9 if size <= 90 else 8
    axis = {
        "tickvals": list(range(size)),
        "ticktext": [short(name, 28) for name in labels],
        "tickfont": {"size": font},
        "showgrid": False,
        "zeroline": False,
        "fixedrange": size <= READABLE + 1,
    }
    figure.update_xaxes(side="top", tickangle=-90 if size > 8 else -40, **axis)
    figure.update_yaxes(autorange="reversed", **axis)
    cell = 34 if size <= 12 else 26 if size <= 30 else 12 if size <= 90 else 10
    edge = 190
    figure.update_layout(
        height=max(320, cell * size + edge + 20), margin={"l": 20, "r": 10, "t": 20, "b": 12},
        dragmode=False if size <= READABLE + 1 else "zoom",
    )  # fmt: skip
    return Chart(id, title, _summary(errors, names, multi_label), figure, width=max(480, cell * size + edge + 90))


def _told(values: Any, names: list[str], counts: Any, rows: Any) -> list[list[Any]]:
    """What a cell says on hover: both names, its count, that of its row, their share; None where nothing is drawn."""
    drawn = np.isfinite(values)
    return [
        [
            [names[i], names[j], int(counts[i, j]), int(rows[i]), round(counts[i, j] / max(rows[i], 1), 4)]
            if drawn[i, j]
            else None
            for j in range(len(names))
        ]
        for i in range(len(names))
    ]


def _summary(errors: Counts, names: Sequence[str], multi_label: bool) -> str:
    inner = errors[:-1, :-1]
    if not inner.any():
        return "No class was taken for another one."
    i, j = np.unravel_index(int(inner.argmax()), inner.shape)
    what = f"{names[j]} was predicted where {names[i]} was missed" if multi_label else f"{names[i]} is taken for {names[j]}"
    return f"Most often, {what}: {int(inner[i, j]):,} times. The pairs stand as text in the table of confused pairs."
