"""The confusion matrix as a chart that is readable with 5 and with 150 classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tagsmith.core.errors import counted
from tagsmith.evaluate.report.chart import Chart, safe, short
from tagsmith.evaluate.report.confusion import Counts, most_errors, order_of_classes

READABLE = 25
"""Most classes with which every cell shows its count."""
LOWEST = 0.005
"""Share of a row at which the colour scale begins."""
# Transparent at one end, so that one scale works on a light and a dark page.
RIGHT = [[0, "rgba(70, 140, 205, 0.06)"], [1, "rgba(70, 140, 205, 0.5)"]]
WRONG = [[0, "rgba(238, 150, 50, 0.2)"], [0.5, "rgba(232, 112, 40, 0.6)"], [1, "rgba(222, 66, 56, 0.85)"]]


@dataclass(frozen=True)
class Confusions:
    """The counts behind the matrix.

    Attributes:
        errors: [classes + 1, classes + 1], from `missed_and_invented`.
        right: correct documents of each class [classes].
        support: documents of each class [classes].
        documents: all; the row of documents without a missed class is a share of these.
    """

    names: Sequence[str]
    multi_label: bool
    errors: Counts
    right: Counts
    support: Counts
    documents: int


def matrices(of: Confusions) -> list[Chart]:
    """The matrix of all classes, in the order of the page's tables; if they are many, first those with most errors.

    The few of many have their confused classes next to each other instead: so many classes are not looked up by name.
    """
    charts = []
    if len(of.names) > READABLE and (worst := set(most_errors(of.errors, READABLE))):
        chosen = [i for i in order_of_classes(of.errors[:-1, :-1], of.support) if i in worst]
        title = f"The {len(chosen)} classes with the most mistakes, confused classes next to each other"
        charts.append(_matrix("matrix-worst", title, of, chosen))
    everything = list(range(len(of.names)))
    charts.append(_matrix("matrix", "All classes" if charts else "Confusion matrix", of, everything))
    return charts


def _matrix(id: str, title: str, of: Confusions, order: list[int]) -> Chart:
    names, multi_label = of.names, of.multi_label
    nothing = len(names)
    # In a multi-label run, a class may be missed with none predicted instead, and the other way round.
    drawn = [*order, nothing] if multi_label else order
    cells = of.errors[np.ix_(drawn, drawn)].astype(float)
    here = np.arange(len(order))
    rows = np.array([*of.support[order], *[of.documents] * multi_label], dtype=float)
    shares = cells / np.maximum(rows, 1)[:, None]
    labels = [names[i] for i in order] + ["nothing"] * multi_label
    counts = cells.copy()
    counts[here, here] = of.right[order]
    size = len(drawn)
    wide = size <= READABLE + 1
    shown = [safe(name) for name in labels]
    figure = go.Figure()
    diagonal = np.full(cells.shape, np.nan)
    diagonal[here, here] = counts[here, here] / np.maximum(rows[: len(order)], 1)
    wrong = np.where(cells > 0, np.log10(np.clip(shares, LOWEST, 1)), np.nan)
    if not multi_label:
        wrong[here, here] = np.nan
    verbs = ("missed", "wrongly predicted") if multi_label else ("true", "predicted")
    ticks = [0.01, 0.03, 0.1, 0.3, 1.0]
    for values, scale, low, high, bar in (
        (diagonal, RIGHT, 0.0, 1.0, None),
        (
            wrong,
            WRONG,
            float(np.log10(LOWEST)),
            0.0,
            {
                "title": {"text": "share of the row", "side": "right"},
                "thickness": 10,
                "lenmode": "pixels",
                "len": 170,
                "outlinewidth": 0,
                "yanchor": "top",
                "y": 1,
                "tickvals": [float(np.log10(tick)) for tick in ticks],
                "ticktext": [f"{tick:.0%}" for tick in ticks],
            },
        ),
    ):
        figure.add_heatmap(
            z=values.tolist(),
            zmin=low,
            zmax=high,
            colorscale=scale,
            showscale=bar is not None,
            colorbar=bar or {},
            customdata=_hover(values, shown, drawn, counts, rows),
            text=np.where(np.isfinite(values), counts.astype(int).astype(str), "").tolist() if wide else None,
            texttemplate="%{text}" if wide else None,
            hovertemplate=f"{verbs[0]}: %{{customdata[0]}}<br>{verbs[1]}: %{{customdata[1]}}<br>"
            "%{customdata[2]:,} of %{customdata[3]:,}, %{customdata[4]:.1%}<extra></extra>",
            xgap=1 if size <= 60 else 0,
            ygap=1 if size <= 60 else 0,
            hoverongaps=False,
        )
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
        height=max(320, cell * size + edge + 20),
        margin={"l": 20, "r": 10, "t": 20, "b": 12},
        dragmode=False if size <= READABLE + 1 else "zoom",
    )
    least, most = max(400, cell * size + edge + 90), int(cell * room * size) + edge + 90
    return Chart(id, title, _summary(of.errors, names, multi_label), figure, width=least, most_width=max(least, most))


def _hover(values: Any, names: list[str], ids: list[int], counts: Any, rows: Any) -> list[list[Any]]:
    """Data of each cell for the hover text and a click: both names, its count, that of its row, their share, both ids.

    None where nothing is drawn.
    """
    drawn, shares = np.isfinite(values), np.round(counts / np.maximum(rows, 1)[:, None], 4)
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
            if drawn[i, j]
            else None
            for j in range(len(names))
        ]
        for i in range(len(names))
    ]


def _summary(errors: Counts, names: Sequence[str], multi_label: bool) -> str:
    inner = errors[:-1, :-1]
    if not inner.any():
        return "No class was confused with another."
    i, j = divmod(int(inner.argmax()), len(names))
    missed, invented = names[i], names[j]
    what = f"{invented} was predicted instead of {missed}" if multi_label else f"{missed} was predicted as {invented}"
    return f"Most often, {what} ({counted(int(inner[i, j]), 'document')}). The table below lists all pairs as text."
