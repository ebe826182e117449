"""The comparison on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from tagsmith.core.errors import counted
from tagsmith.evaluate.report.wording import FIGURES, chance, signed_nats, signed_points

TITLES = FIGURES | {"coverage": "handled alone", "precision": "of these, right"}
MOST_CLASSES = 10


def comparison_table(found: Mapping[str, Any]) -> Table:
    """The figures of a `comparison.json`, and the classes that changed most; differences of shares in points."""
    documents = counted(found["documents"], "document")
    table = Table(title=f"{found['split']}: {documents} in both runs", title_justify="left", title_style="bold")
    table.add_column("figure", overflow="fold")
    for run in found["runs"].values():
        table.add_column(Text(run["name"]), justify="right", overflow="fold")
    for name in ("difference", "95% interval", "p"):
        table.add_column(name, justify="right")
    for name, row in (found["figures"] | (found["operating_point"] or {})).items():
        table.add_row(title(name, found["multi_label"]), *_cells(row, name == "log_loss"), _chance(row["p_value"]))
    table.add_section()
    moved = [(name, row) for name, row in found["classes"].items() if row["f1"]["difference"]]
    moved.sort(key=lambda pair: (pair[1]["p_value"], -abs(pair[1]["f1"]["difference"])))
    for name, row in moved[:MOST_CLASSES]:
        table.add_row(Text(f"F1 of {name}"), *_cells(row["f1"], False), f"{_chance(row['p_value'])} corrected")
    if len(moved) > MOST_CLASSES:
        table.caption = f"and {counted(len(moved) - MOST_CLASSES, 'more class')}"
    return table


def title(name: str, multi_label: bool) -> str:
    """The name of a figure, by its key."""
    return "exact match" if name == "accuracy" and multi_label else TITLES[name]


def comparison_text(found: Mapping[str, Any]) -> str:
    """The verdict, and what was not compared, one sentence per line."""
    return "\n".join([*found["verdict"]["sentences"], *left_out(found)])


def left_out(found: Mapping[str, Any]) -> list[str]:
    """What was not compared, or only with a reservation, in sentences."""
    first, second = (run["name"] for run in found["runs"].values())
    out, retagged, sentences = found["left_out"], len(found["retagged"]["documents"]), []
    if out["first_alone"] or out["second_alone"]:
        other = f"; {counted(out['other_text'], 'id')} with different texts in the two" if out["other_text"] else ""
        sentences.append(
            f"Not compared: {counted(out['first_alone'], 'document')} that only {first} was evaluated on, "
            f"{out['second_alone']:,} that only {second} was{other}."
        )
    if out["other_classes"]:
        sentences.append(
            f"Not compared: {counted(out['other_classes'], 'document')} of classes that only one of the runs has."
        )
    rules = [run["rule"] for run in found["runs"].values()]
    if rules[0] != rules[1]:
        sentences.append(
            f"Their decision rules differ ({first}: {rules[0]}; {second}: {rules[1]}), which may explain a part of the "
            "differences; scripts/calibrate.py, then scripts/evaluate.py, makes them the same."
        )
    if retagged:
        what = f"judged by the tags of {second}" if found["retagged"]["judged"] == "later_run" else "left out"
        sentences.append(f"{counted(retagged, 'document')} tagged differently in the two runs: {what}.")
    return sentences


def _cells(row: Mapping[str, Any], nats: bool) -> list[str]:
    values = ["-" if row[place] is None else f"{row[place]:.4f}" for place in ("first", "second")]
    if row["difference"] is None:
        return [*values, "-", "-"]
    edges = [row["difference"], *(row["interval"] or ())]
    shown = [signed_nats(edge) if nats else signed_points(edge) for edge in edges]
    return [*values, shown[0], " to ".join(shown[1:]) or "-"]


def _chance(value: float | None) -> str:
    return "-" if value is None else chance(value).removeprefix("= ")
