"""The charts of training, of scores and of data."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tagsmith.core.errors import counted
from tagsmith.decision.intervals import proportion
from tagsmith.evaluate.report.chart import BAND, GREY, Chart, safe, short
from tagsmith.evaluate.report.wording import FIGURES, percent

LABELLED = 40
"""Most classes whose names fit below an axis."""
LINE_FROM = 200
"""Documents from which coverage and precision are a line: with fewer, one document is half a point or more."""


def training(lines: Sequence[Mapping[str, Any]]) -> Chart | None:
    """The training loss and, if there is a validation split, its figures, by step."""
    losses = [line for line in lines if line.get("loss") is not None]
    found = {
        name: [line for line in lines if line.get(f"validation/{name}") is not None]
        for name in ("macro_f1", "accuracy", "log_loss")
    }
    if not losses:
        return None
    validated = bool(found["macro_f1"])
    figure = make_subplots(rows=1 + validated, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    curves = [("training loss", losses, "loss", 1)]
    curves += [
        (f"validation {FIGURES[name]}", found[name], f"validation/{name}", 1 + (name != "log_loss"))
        for name in found
        if found[name]
    ]
    for title, points, key, row in curves:
        steps, values = [line["step"] for line in points], [line[key] for line in points]
        mode = "lines" if key == "loss" else "lines+markers"
        figure.add_scatter(x=steps, y=values, mode=mode, name=title, row=row, col=1)
    figure.update_xaxes(title_text="optimiser steps", tickformat=",", row=1 + validated, col=1)
    figure.update_yaxes(title_text="loss", rangemode="tozero", row=1, col=1)
    if validated:
        figure.update_yaxes(title_text="share", tickformat=".0%", row=2, col=1)
    figure.update_layout(height=420 if validated else 280)
    first, last = losses[0], losses[-1]
    summary = f"In {last['step']:,} steps, the training loss went from {first['loss']:.3f} to {last['loss']:.3f}."
    if validated:
        best = max(found["macro_f1"], key=lambda line: line["validation/macro_f1"])
        share = percent(best["validation/macro_f1"])
        summary += f" Macro F1 on the validation split was best at step {best['step']:,}: {share}."
    header = ["step", *(title for title, *_ in curves)]
    steps = sorted({line["step"] for _, points, _, _ in curves for line in points})
    by_step = [{line["step"]: line[key] for line in points} for _, points, key, _ in curves]
    rows = [[step, *(f"{column[step]:.4f}" if step in column else "" for column in by_step)] for step in steps]
    return Chart("training", "Training curves", summary, figure, header, _thinned(rows))


def _thinned(rows: list[list[Any]], most: int = 100) -> list[list[Any]]:
    """At most `most` rows at even distances, including the last."""
    return rows if len(rows) <= most else [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def reliability(scores: Mapping[str, Any], multi_label: bool) -> Chart:
    """The share that is right by score, and how many documents (multi-label: pairs of document and class) have it."""
    noun = "pair" if multi_label else "document"
    bins = [one for one in scores["reliability"] if one["documents"]]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.75, 0.25], vertical_spacing=0.06)
    figure.add_scatter(
        x=[one["confidence"] for one in bins],
        y=[one["accuracy"] for one in bins],
        customdata=[one["documents"] for one in bins],
        mode="lines+markers",
        name="found",
        hovertemplate="score %{x:.1%}<br>right %{y:.1%}<br>%{customdata:,} " + noun + "s<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="perfectly calibrated",
        line={"color": GREY, "dash": "dot", "width": 1},
        hoverinfo="skip",
        row=1,
        col=1,
    )
    figure.add_bar(
        x=[(one["low"] + one["high"]) / 2 for one in bins],
        y=[one["documents"] for one in bins],
        width=[one["high"] - one["low"] for one in bins],
        marker_color=GREY,
        showlegend=False,
        hovertemplate="%{y:,} " + noun + "s<extra></extra>",
        row=2,
        col=1,
    )
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_xaxes(title_text="score", row=2, col=1)
    figure.update_yaxes(title_text="right", range=[0, 1.02], tickformat=".0%", row=1, col=1)
    figure.update_yaxes(title_text=f"{noun}s", row=2, col=1)
    figure.update_layout(height=420)
    worst = max(bins, key=lambda one: one["documents"] * abs(one["confidence"] - one["accuracy"]), default=None)
    summary = (
        "There are no scores."
        if worst is None
        else (
            f"The largest part of the calibration error: {counted(worst['documents'], noun)} with a mean score of "
            f"{percent(worst['confidence'])}, of which {percent(worst['accuracy'])} are right."
        )
    )
    rows = [
        [
            f"{percent(one['low'])} to {percent(one['high'])}",
            f"{one['documents']:,}",
            percent(one["confidence"]),
            percent(one["accuracy"]),
        ]
        for one in bins
    ]
    return Chart("reliability", "Reliability", summary, figure, ["score", f"{noun}s", "mean score", "right"], rows)


def coverage(
    points: Sequence[Mapping[str, Any]], operating_point: Mapping[str, Any] | None, documents: int, missed: str = ""
) -> Chart:
    """Precision of the documents that the model handles alone, by their share.

    Args:
        documents: that the shares are of; fewer than `LINE_FROM` are points, not a line.
        missed: why there is no operating point although one was looked for, in a sentence.
    """
    points = [point for point in points if point["precision"] is not None]
    precisions = [point["precision"] for point in points]
    figure = go.Figure()
    figure.add_scatter(
        x=[point["coverage"] for point in points],
        y=precisions,
        customdata=[point["threshold"] for point in points],
        mode="lines" if documents >= LINE_FROM else "markers",
        name="by threshold",
        hovertemplate="handles %{x:.1%}<br>precision %{y:.1%}<br>threshold %{customdata:.3f}<extra></extra>",
    )
    if operating_point and operating_point["precision"] is None:
        operating_point = None  # The model handles no document.
    if operating_point:
        figure.add_scatter(
            x=[operating_point["coverage"]],
            y=[operating_point["precision"]],
            mode="markers",
            marker={"size": 13, "symbol": "diamond"},
            name="operating point",
            hovertemplate="handles %{x:.1%} at %{y:.1%} precision<extra></extra>",
        )
        figure.add_hline(operating_point["target_precision"], line={"color": GREY, "dash": "dot", "width": 1})
    figure.update_xaxes(title_text="share handled without a person", range=[0, 1.01], tickformat=".0%")
    figure.update_yaxes(title_text="precision", tickformat=".1%")
    figure.update_layout(height=420)
    whole = max(points, key=lambda point: point["coverage"], default=None)
    summary = f"Precision over all documents is {percent(whole['precision'])}. " if whole else ""
    if documents < LINE_FROM and whole:
        # An axis of a few points of precision would turn one mistake into a cliff.
        bounds = proportion(round(whole["precision"] * documents), documents) or [0.0]
        lowest = min([bounds[0], *precisions])
        figure.update_yaxes(range=[lowest - 0.01, 1.01])
        summary += f"With {counted(documents, 'document')}, one more mistake is {percent(1 / documents)}. "
    summary += (
        f"At the operating point, the model handles {percent(operating_point['coverage'])} alone, "
        f"with {percent(operating_point['precision'])} precision."
        if operating_point
        else missed
        or "No operating point was chosen; target_precision= (multi-label: target_exact=) of calibrate.py does."
    )
    rows = [[f"{p['threshold']:.3f}", percent(p["coverage"]), percent(p["precision"])] for p in points]
    header = ["threshold", "handled without a person", "precision"]
    return Chart("coverage", "Coverage and precision", summary, figure, header, _thinned(rows))


def learning_curve(curve: Mapping[str, Any]) -> Chart:
    """Macro F1 of the probe by training documents, with its interval."""
    points = curve["points"]
    documents = [point["documents"] for point in points]
    figure = go.Figure()
    figure.add_scatter(
        x=[*documents, *documents[::-1]],
        y=[*(point["high"] for point in points), *(point["low"] for point in points[::-1])],
        fill="toself",
        fillcolor=BAND,
        line={"width": 0},
        mode="lines",
        name="95% interval",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=documents,
        y=[point["macro_f1"] for point in points],
        mode="lines+markers",
        name="macro F1",
        line={"color": "#3b82c4"},
        hovertemplate="%{x:,} documents<br>macro F1 %{y:.1%}<extra></extra>",
    )
    figure.update_xaxes(title_text="training documents", rangemode="tozero", tickformat=",")
    figure.update_yaxes(title_text="macro F1", tickformat=".0%")
    figure.update_layout(height=340)
    first, last = points[0], points[-1]
    summary = (
        f"With {first['documents']:,} training documents, the macro F1 of the probe is {percent(first['macro_f1'])}, "
        f"with {last['documents']:,} it is {percent(last['macro_f1'])}."
    )
    if len(points) > 1:
        gain = last["macro_f1"] - points[-2]["macro_f1"]
        summary += f" The last {last['documents'] - points[-2]['documents']:,} brought {100 * gain:.1f} points."
    if more := curve["gain"]:
        summary += (
            f" {more['documents']:,} more in the same mix are likely to bring {100 * more['macro_f1']:.1f} (95% "
            f"interval {100 * more['low']:.1f} to {100 * more['high']:.1f})."
        )
    rows = [
        [
            percent(p["share"]),
            f"{p['documents']:,}",
            percent(p["macro_f1"]),
            f"{percent(p['low'])} to {percent(p['high'])}",
        ]
        for p in points
    ]
    header = ["share", "documents", "macro F1", "95% interval"]
    return Chart("learning-curve", "Learning curve", summary, figure, header, rows)


def distribution(classes: Mapping[str, Mapping[str, int]], documents: Mapping[str, int]) -> Chart:
    """The share of each class in each split, the most common class in train first."""
    splits = list(documents)
    first = splits[0]
    names = sorted(classes, key=lambda name: -classes[name].get(first, 0))
    figure = go.Figure()
    for split in splits:
        counts = [classes[name].get(split, 0) for name in names]
        shares = [count / max(documents[split], 1) for count in counts]
        style: dict[str, Any] = {
            "x": list(range(len(names))),
            "y": shares,
            "customdata": [[safe(name), count] for name, count in zip(names, counts, strict=True)],
            "name": split,
            "hovertemplate": "%{customdata[0]}<br>" + split + ": %{y:.2%}, %{customdata[1]:,} documents<extra></extra>",
        }
        if split == first:
            figure.add_bar(**style)
        else:
            figure.add_scatter(mode="markers", marker={"size": 7 if len(names) <= LABELLED else 5}, **style)
    ticks = list(range(len(names))) if len(names) <= LABELLED else []
    figure.update_xaxes(tickvals=ticks, ticktext=[short(names[i], 24) for i in ticks])
    if not ticks:
        figure.update_xaxes(title_text=f"{len(names)} classes, the most common in {first} first")
    figure.update_yaxes(title_text="share of the split", tickformat=".1%")
    figure.update_layout(height=320 if not ticks else 380)
    most, least = names[0], names[-1]
    summary = (
        f"In {first}, the largest class is {most} with {counted(classes[most].get(first, 0), 'document')}, the "
        f"smallest {least} with {classes[least].get(first, 0):,}."
    )
    return Chart("distribution", "Classes by split", summary, figure)


def lengths(tokens: Mapping[str, Mapping[str, Any]]) -> Chart:
    """The lengths of the documents of each split."""
    figure = go.Figure()
    for split, found in tokens.items():
        edges, counts = found["edges"], found["counts"]
        total = max(sum(counts), 1)
        figure.add_scatter(
            x=[edges[0], *edges],
            y=[0, *(count / total for count in counts), 0],
            customdata=[0, *counts, 0],
            mode="lines",
            line={"shape": "hv"},
            name=split,
            hovertemplate="from %{x:,} tokens: %{customdata:,} documents, %{y:.1%}<extra>" + split + "</extra>",
        )
    figure.update_xaxes(title_text="tokens per document", rangemode="tozero", tickformat=",")
    figure.update_yaxes(title_text="share of the split", tickformat=".0%", rangemode="tozero")
    figure.update_layout(height=320)
    summary = " ".join(
        f"{split}: half of the documents have at most {found['p50']:,.0f} tokens, 95% at most {found['p95']:,.0f}, the "
        f"longest {found['max']:,.0f}; the model does not read the whole of {counted(found['cut'], 'document')}."
        for split, found in tokens.items()
    )
    header = ["split", "median", "95th percentile", "longest", "documents cut"]
    rows = [
        [split, f"{found['p50']:,.0f}", f"{found['p95']:,.0f}", f"{found['max']:,.0f}", f"{found['cut']:,}"]
        for split, found in tokens.items()
    ]
    return Chart("lengths", "Lengths", summary, figure, header, rows)
