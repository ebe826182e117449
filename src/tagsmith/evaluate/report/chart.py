"""A chart of the page: plotly's figure, the sentence that says what it shows, and its numbers as a table.

plotly, of which the page needs lines, bars and heat maps, is MIT, well kept and drawn as SVG, so that it prints;
it is built and checked in Python. bokeh is a third of its size, but draws on a canvas, which no print and no zoom
keeps sharp; Vega evaluates its expressions as code, which the page's content policy forbids. What plotly weighs is
packed in the page (`assets`) and unpacked when the first chart comes into sight.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LONGEST_NAME = 32
GREY = "#868e96"
BAND = "rgba(59, 130, 196, 0.18)"


@dataclass(frozen=True)
class Chart:
    """What the page's template draws.

    Args:
        summary: what one sees, in a sentence; screen readers read it in place of the picture.
        header, rows: the numbers behind it; no header: they stand in a table of their own beside it.
        width, most_width: least and most width in pixels, 0 for any; a screen that is narrower scrolls.
    """

    id: str
    title: str
    summary: str
    figure: go.Figure
    header: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = field(default_factory=list)
    width: int = 0
    most_width: int = 0


def safe(text: str) -> str:
    """Text as plotly shows it literally: it takes some HTML tags for its own."""
    return html.escape(text, quote=False)


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """A class name that fits beside an axis, safe for plotly."""
    return safe(name if len(name) <= longest else f"{name[: longest - 1]}…")


def _template(ink: str, faint: str, line: str, colours: list[str]) -> dict[str, Any]:
    axis = {
        "gridcolor": faint,
        "linecolor": line,
        "zerolinecolor": faint,
        "tickcolor": line,
        "ticks": "",
        "automargin": True,
        "fixedrange": True,
        "title": {"standoff": 10, "font": {"size": 12}},
    }
    return {
        "layout": {
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": FONT, "size": 12, "color": ink},
            "colorway": colours,
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 56, "r": 28, "t": 8, "b": 44},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
            "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
            "dragmode": False,
            "hovermode": "closest",
            "bargap": 0.15,
        },
        "data": {"heatmap": [{"textfont": {"color": ink}}]},
    }


TEMPLATES = {
    "light": _template("#343a40", "#e9ecef", "#ced4da", ["#1f6fb2", "#c4601d", "#3a7d44", "#7c5295", "#6c757d"]),
    "dark": _template("#ced4da", "#2b3138", "#495057", ["#6cb2eb", "#f0a060", "#83c48d", "#bfa0d8", "#adb5bd"]),
}
"""plotly's own means to theme a figure: the page's script gives each figure the one of the screen."""
