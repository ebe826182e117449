"""Measure every contender in turn, each in a fresh interpreter, on the same documents."""

import logging
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from tagsmith.bench.classifiers.contenders import BACKENDS, Task, missing
from tagsmith.bench.classifiers.measure import Figures, measure
from tagsmith.bench.own_process import in_own_process
from tagsmith.classify.bundle import contents as layout
from tagsmith.classify.files.inputs import open_input
from tagsmith.config.settings import CLASSIFIERS, BenchClassifyRun
from tagsmith.config.settings.fields import names
from tagsmith.core.errors import DataError
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.rows.table import Reading

log = logging.getLogger("tagsmith")

SHORT = 20
"""The number of different short texts."""


@dataclass(frozen=True)
class Measurement:
    """One turn of a contender; figures are None where it was skipped.

    Attributes:
        first_answer: seconds from before the imports to the first answer.
        p50, p99: milliseconds per call with one short text.
        documents_per_second: with all documents in one call.
        processor_seconds: of that call, over all threads; the figure that a busy machine distorts least.
        peak_memory: MiB of the process.
        agreement: share of the documents whose most likely class is that of the first contender; None where the head
            is untrained.
        skipped: why there is no measurement.
    """

    contender: str
    repetition: int
    documents: int
    first_answer: float | None = None
    p50: float | None = None
    p99: float | None = None
    documents_per_second: float | None = None
    processor_seconds: float | None = None
    peak_memory: float | None = None
    agreement: float | None = None
    skipped: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(settings: BenchClassifyRun) -> Iterator[Measurement]:
    """Yield measurements as they are made: all contenders in turn, then all again.

    Raises:
        InputMissing, DataError: no bundle, no documents or no short ones; or what `inputs.open_input` raises.
    """
    folder, source = Path(settings.bundle), settings.input
    manifest = layout.check(folder)
    decision = layout.Decision.load(folder, Schema.load(folder / layout.SCHEMA))
    given = open_input([source], names(settings.text_field or manifest.get("text_fields", "text")), Reading())
    all_texts = [row.text for row in given.rows if row.error is None]
    short = [text for text in all_texts if len(text) <= settings.short_characters]
    if not short:
        shortest = min(map(len, all_texts), default=0)
        raise DataError(
            f"input={source}: expected a text of at most short_characters={settings.short_characters}; "
            f"of {len(all_texts):,} documents the shortest has {shortest}."
        )
    draw = random.Random(settings.seed)
    texts = draw.sample(all_texts, min(settings.documents, len(all_texts)))
    short = draw.sample(short, min(SHORT, len(short)))
    with tempfile.TemporaryDirectory(prefix="tagsmith_bench_") as name:
        scratch = Path(name)
        stock, encoder = settings.stock or "", ""
        if settings.run is not None:
            log.info(f"converting the encoder of {settings.run} for other libraries")
            in_own_process(_write_library_models, settings.run, scratch)
            stock, encoder = stock or str(scratch / "stock"), str(scratch / "encoder")
        task = Task(str(folder), stock, encoder, decision.window_rule.max_tokens, settings.threads)
        chosen = settings.contenders or CLASSIFIERS
        for contender, backend in BACKENDS.items():
            if contender in chosen and not missing(contender, task):
                in_own_process(_write_backend, encoder, backend)
        first: list[int] = []
        for repetition in range(1, settings.repetitions + 1):
            for contender in chosen:
                about = Measurement(contender, repetition, len(texts))
                if reason := missing(contender, task):
                    yield replace(about, skipped=reason)
                    continue
                log.info(f"{repetition} of {settings.repetitions}: {contender}, {len(texts):,} documents")
                found = in_own_process(measure, contender, task, texts, short, settings.calls)
                first = first or found.classes
                trained = contender != "pipeline" or settings.stock is not None
                yield _measurement(about, found, first if trained else None)


def _write_library_models(run: str, folder: Path) -> None:
    from tagsmith.bench.classifiers.library_models import write_library_models

    write_library_models(RunFolder(Path(run)), folder)


def _write_backend(encoder: str, backend: str) -> None:
    from tagsmith.bench.classifiers.library_models import write_backend

    write_backend(encoder, backend)


def _measurement(about: Measurement, found: Figures, first: list[int] | None) -> Measurement:
    singles = [1000 * seconds for seconds in found.singles]
    same = None if first is None else sum(a == b for a, b in zip(found.classes, first, strict=True)) / len(first)
    return replace(
        about,
        first_answer=round(found.first_answer, 3),
        p50=round(percentile(singles, 50), 2),
        p99=round(percentile(singles, 99), 2),
        documents_per_second=round(about.documents / found.seconds, 1),
        processor_seconds=round(found.processor_seconds, 3),
        peak_memory=round(found.peak_memory, 1),
        agreement=None if same is None else round(same, 4),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` percent of the values do not exceed."""
    place = -(-len(values) * share // 100)
    return sorted(values)[max(0, int(place) - 1)]


COLUMNS = {
    "first answer, s": ("first_answer", ".2f"),
    "p50, ms": ("p50", ".2f"),
    "p99, ms": ("p99", ".2f"),
    "documents/s": ("documents_per_second", ",.0f"),
    "processor s": ("processor_seconds", ".1f"),
    "MiB": ("peak_memory", ",.0f"),
    "same class": ("agreement", ".1%"),
}


def table(measurements: Sequence[Measurement]) -> Table:
    """One row per contender, with the medians of its turns."""
    reasons = {f"{row.contender}: skipped: {row.skipped}" for row in measurements if row.skipped}
    caption = Text("\n".join(sorted(reasons))) if reasons else None
    title = f"{measurements[0].documents:,} documents"
    shown = Table(title=title, title_justify="left", title_style="bold", caption=caption, caption_justify="left")
    shown.add_column("contender", no_wrap=True)
    for name in COLUMNS:
        shown.add_column(name, justify="right", no_wrap=True)
    for contender in dict.fromkeys(row.contender for row in measurements):
        cells = []
        for attribute, form in COLUMNS.values():
            values = [getattr(row, attribute) for row in measurements if row.contender == contender]
            known = [value for value in values if value is not None]
            cells.append(format(statistics.median(known), form) if known else "-")
        shown.add_row(contender, *cells)
    return shown
