"""The confusion matrix as a picture that can be read at 5 and at 150 classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tagsmith.core.errors import counted
from tagsmith.evaluate.report.chart import Chart, safe, short
from tagsmith.evaluate.report.confusion import Counts, most_errors, order_of_classes

READABLE = 25
"""Classes up to which every cell shows its count."""
LOWEST = 0.005
"""Row share from which colour begins."""
# Clear at one end, so that one scale suits a light and a dark page.
RIGHT = [[0, "rgba(70, 140, 205, 0.06)"], [1, "rgba(70, 140, 205, 0.5)"]]
WRONG = [[0, "rgba(238, 150, 50, 0.2)"], [0.5, "rgba(232, 112, 40, 0.6)"], [1, "rgba(222, 66, 56, 0.85)"]]


def matrices(
    errors: Counts, right: Counts, support: Counts, names: Sequence[str], multi_label: bool, documents: int
) -> list[Chart]:
    """Of many classes first those with most errors, then all; of few, all.

    Args:
        errors: [classes + 1, classes + 1], as `missed_and_invented` gives them.
        right: documents of each class that are right [classes].
        support: documents of each class [classes].
        documents: all of them: the row of what was invented where nothing was missed is a share of these.
    """
    order = order_of_classes(errors[:-1, :-1], support)
    charts = []
    if len(names) > READABLE and (worst := set(most_errors(errors, READABLE))):
        chosen = [i for i in order if i in worst]
        title = f"The {len(chosen)} classes with most mistakes"
        charts.append(_matrix("matrix-worst", title, errors, right, support, names, chosen, multi_label, documents))
    title = "All classes" if charts else "What was taken for what"
    charts.append(_matrix("matrix", title, errors, right, support, names, order, multi_label, documents))
    return charts


def _matrix(
    id: str, title: str, errors: Counts, right: Counts, support: Counts, names: Sequence[str], order: list[int],
    multi_label: bool, documents: int,
) -> Chart:  # fmt: skip
    nothing = len(names)
    # Of a multi-label run a class may be missed with nothing in its place, and the other way round.
    drawn = [*order, nothing] if multi_label else order
    cells = errors[np.ix_(drawn, drawn)].astype(float)
    here = np.arange(len(order))
    rows = np.array([*support[order], *[documents] * multi_label], dtype=float)
    shares = cells / np.maximum(rows, 1)[:, None]
    labels = [names[i] for i in order] + ["nothing"] * multi_label
    counts = cells.copy()
    counts[here, here] = right[order]
    size = len(drawn)
    wide = size <= READABLE + 1
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
            "title": {"text": "share of the row", "side": "right"}, "thickness": 10, "lenmode": "pixels", "len": 170,
            "outlinewidth": 0, "yanchor": "top", "y": 1,
            "tickvals": [float(np.log10(tick)) for tick in ticks], "ticktext": [f"{tick:.0%}" for tick in ticks],
        }),
    ):  # fmt: skip
        figure.add_heatmap(
            z=values.tolist(), zmin=low, zmax=high, colorscale=scale, showscale=bar is not None, colorbar=bar or {},
            customdata=_told(values, shown, drawn, counts, rows),
            text=np.where(np.isfinite(values), counts.astype(int).astype(str), "").tolist() if wide else None,
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
    cell = 36 if size <= 12 else 26 if size <= 30 else 12 if size <= 90 else 10
    edge = 190
    room = 4 if size <= 8 else 2 if size <= 12 else 1.4 if size <= 30 else 1
    figure.update_layout(
        height=max(320, cell * size + edge + 20), margin={"l": 20, "r": 10, "t": 20, "b": 12},
        dragmode=False if size <= READABLE + 1 else "zoom",
    )  # fmt: skip
    least, most = max(400, cell * size + edge + 90), int(cell * room * size) + edge + 90
    return Chart(id, title, _summary(errors, names, multi_label), figure, width=least, most_width=max(least, most))


def _told(values: Any, names: list[str], ids: list[int], counts: Any, rows: Any) -> list[list[Any]]:
    """What a cell says on hover: both names, its count, that of its row, their share; and both ids, for a click.

    None where nothing is drawn.
    """
    told, shares = np.isfinite(values), np.round(counts / np.maximum(rows, 1)[:, None], 4)
    return [
        [
            [
                names[i],
                names[j],
                int(counts[i, j]),
                int(rows[i]),
                float(shares[i, j]),
                ids[i],
                ids[j],
            ]
            if told[i, j]
            else None
            for j in range(len(names))
        ]
        for i in range(len(names))
    ]


def _summary(errors: Counts, names: Sequence[str], multi_label: bool) -> str:
    inner = errors[:-1, :-1]
    if not inner.any():
        return "No class was taken for another one."
    i, j = divmod(int(inner.argmax()), len(names))
    missed, invented = names[i], names[j]
    what = f"{invented} was predicted where {missed} was missed" if multi_label else f"{missed} is taken for {invented}"
    return f"Most often, {what} ({counted(int(inner[i, j]), 'document')}). All pairs stand as text in the table below."
