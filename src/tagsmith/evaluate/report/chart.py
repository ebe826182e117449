"""A chart of the page: a plotly figure, a sentence that summarizes it, and its numbers as a table.

plotly draws SVG, which prints and zooms well, and validates figures in Python. Its size is packed into the page
(`assets`) and unpacked when the first chart comes into view. README.md says why not bokeh or Vega.
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
    """A chart as the template of the page needs it.

    Args:
        summary: what the chart shows, in a sentence; screen readers read it instead.
        header, rows: the numbers behind it; no header: the page has them in a separate table.
        width, most_width: least and most width in pixels, 0 for any; narrower screens scroll.
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
    """Text that plotly shows literally, as it interprets some HTML tags."""
    return html.escape(text, quote=False)


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """A class name that fits next to an axis, safe for plotly."""
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
"""Themes of figures; the script of the page applies the one that fits the screen."""
