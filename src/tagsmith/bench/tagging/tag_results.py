"""What `scripts/bench_tag.py` has measured, as JSON and as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from tagsmith.bench.tagging.many_people import Waited


@dataclass(frozen=True)
class Cold:
    """Share of documents whose first suggestion is right, and any of the first five, before a document is tagged.

    Attributes:
        named_by: what describes the classes: `names`, or `guidelines`, names with them.
        similar, similar_in_5: by the similarity to the classes alone.
        shared, shared_in_5: with what similar documents share, as the page does it.
    """

    named_by: str
    documents: int
    similar: float
    similar_in_5: float
    shared: float
    shared_in_5: float

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "before the first tag", **asdict(self)}


@dataclass(frozen=True)
class Tagged:
    """A person who tagged in an order.

    Attributes:
        wrong_share: share of the documents that the person tags wrongly.
        tags: numbers of tagged documents, ascending.
        figures: accuracy (multi-label: micro F1) on the test documents of a regression on so many tags.
        enough: tags at which it reaches `goal`; None where it does not, or there is no goal.
        first, listed: share of the first 100 documents, of those with a tag, whose first suggestion is right, and any
            of those listed.
        keys, keys_from_list: keys a document, and by choosing from the list.
        accepted: share of all documents whose tags were those that Enter takes.
    """

    order: str
    named_by: str
    wrong_share: float
    tags: list[int]
    figures: list[float]
    enough: int | None
    first: float
    listed: float
    accepted: float
    keys: float
    keys_from_list: float

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "tagged", **asdict(self)}


def bench_table(results: Sequence[Cold | Tagged | Waited], columns: int = 6) -> Table:
    """One row per simulation; what the names alone achieve stands below."""
    runs = [one for one in results if isinstance(one, Tagged)]
    notes = [
        f"before the first tag, by {one.named_by}: first suggestion right {one.shared:.1%} (similarity alone "
        f"{one.similar:.1%}), one of five {one.shared_in_5:.1%} ({one.similar_in_5:.1%})"
        for one in results
        if isinstance(one, Cold)
    ]
    notes += [
        f"{one.people} people, {one.documents:,} documents, {one.decisions:,} decisions: decision median "
        f"{one.decision_p50} ms, 95th percentile {one.decision_p95} ms; next documents {one.next_p50} and "
        f"{one.next_p95} ms"
        for one in results
        if isinstance(one, Waited)
    ]
    table = Table(title="tagging by number of tags", title_justify="left", title_style="bold", caption="\n".join(notes))
    sizes = max((one.tags for one in runs), key=len, default=[])
    shown = sorted({round(i) for i in np.linspace(0, len(sizes) - 1, columns)}) if sizes else []
    heads = ["order", "by", "wrong", *(f"{sizes[i]:,}" for i in shown), "enough", "first 100", "keys", "from list"]
    for name in heads:
        table.add_column(name, justify="left" if name == "order" else "right", no_wrap=True)
    for one in runs:
        by_size = dict(zip(one.tags, one.figures, strict=True))
        figures = [f"{by_size[sizes[i]]:.3f}" if sizes[i] in by_size else "-" for i in shown]
        enough = f"{one.enough:,}" if one.enough is not None else "-"
        first = f"{one.first:.0%}" if one.order == "page" else "-"
        ends = [enough, first, f"{one.keys:.2f}", f"{one.keys_from_list:.2f}"]
        table.add_row(one.order, one.named_by, f"{one.wrong_share:.0%}", *figures, *ends)
    return table
