"""Simulations of an annotator: how many documents have to be tagged, and how many wrong tags are found.

The documents go through the encoder once; a regression on their vectors learns from the tags.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from tagsmith import data
from tagsmith.bench.tagging.strategies import Situation, strategies
from tagsmith.config.settings import STRATEGIES, BenchCurveRun, BenchImproveRun
from tagsmith.core.errors import SettingsError, counted
from tagsmith.core.schema import indicators
from tagsmith.decision.intervals import overall
from tagsmith.decision.metrics import decide, probabilities
from tagsmith.improve.suspicion import PROBE_C, require_cleanlab, suspicions, with_near_copies, wrong_odds
from tagsmith.model.loaded_model import load_pretrained
from tagsmith.model.pretrained_vectors import folds_of, out_of_fold
from tagsmith.model.probe import fit_head, probe_c
from tagsmith.model.processes import start_accelerator
from tagsmith.model.score import score

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Tags = NDArray[np.int8]


@dataclass(frozen=True)
class Curve:
    """Figures of one strategy on the test documents by number of tagged documents, means over the seeds.

    Attributes:
        judged_by: the figure that `enough` uses: accuracy; multi-label: micro_f1.
        documents: numbers of tagged documents, ascending.
        accuracy, micro_f1, macro_f1: one value per number of documents.
        enough: number of tagged documents that reaches the final figure of random choice; None where it is never
            reached, or random choice was not measured.
    """

    strategy: str
    seeds: int
    judged_by: str
    documents: list[int]
    accuracy: list[float]
    micro_f1: list[float]
    macro_f1: list[float]
    enough: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "what to tag next", **asdict(self)}


@dataclass(frozen=True)
class Found:
    """How many tags were made wrong, and the share of them among the first 1.2 times as many lines of the queue."""

    documents: int
    turned: int
    looked_at: int
    recall: float

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "suspected tags", **asdict(self)}


@dataclass(frozen=True)
class Vectors:
    """Documents as vectors by the encoder before training: float32 [documents, hidden], int8 [documents, classes]."""

    train: Floats
    truth: Tags
    test: Floats
    test_truth: Tags
    folds: Ints
    texts: list[str]


def measure(settings: BenchImproveRun) -> Iterator[Curve | Found]:
    """Simulate each strategy, then look for wrong tags; yields results as they are computed.

    Raises:
        SettingsError: there is no test split, or too few training documents.
        InputMissing, DataError: see `data.load` and `loaded_model.load_pretrained`.
    """
    require_cleanlab()
    tagged = data.load(settings.data, settings.task, settings.seed)
    multi_label = tagged.schema.multi_label
    if "test" not in tagged.splits:
        raise SettingsError(
            "data.test_share=0: there is no test split to evaluate on; set data.test_share or a test file."
        )
    most = len(tagged.splits["train"])
    start = settings.start if settings.start is not None else 3 * len(tagged.schema.classes)
    if not start < settings.documents <= most:
        raise SettingsError(
            f"start, documents: expected start < documents <= {most:,} training documents, found {start:,} and "
            f"{settings.documents:,}."
        )
    vectors = embed(tagged, settings)
    known = strategies(settings.audit_share)
    named = settings.strategies if settings.strategies is not None else list(STRATEGIES)
    goal = None
    for name in sorted(named, key=lambda each: each != "random"):
        runs = [
            _simulate(vectors, name, known, start, settings.batch, settings.documents, settings.seed + i, multi_label)
            for i in range(settings.seeds)
        ]
        sizes, means = runs[0][0], np.mean([figures for _, figures in runs], axis=0)
        by = "micro_f1" if multi_label else "accuracy"
        judged = means[:, 1 if multi_label else 0]
        goal = float(judged[-1]) if name == "random" else goal
        enough = next((size for size, figure in zip(sizes, judged, strict=True) if goal and figure >= goal), None)
        accuracy, micro_f1, macro_f1 = ([round(float(value), 4) for value in column] for column in means.T)
        yield Curve(name, settings.seeds, by, sizes, accuracy, micro_f1, macro_f1, enough)
    if settings.wrong_share:
        yield find_turned(
            vectors.train, vectors.truth, vectors.texts, vectors.folds, settings.wrong_share, multi_label, settings.seed
        )


def embed(tagged: data.TaggedData, settings: BenchImproveRun | BenchCurveRun) -> Vectors:
    """Compute the vectors of the training and test documents."""
    model = load_pretrained(settings.model, settings.data, tagged.schema, settings.evaluate.threshold)
    accelerator = start_accelerator(settings.cpu)
    classifier = model.classifier.to(accelerator.device).eval()

    def encoded_split(name: str) -> tuple[Floats, Tags]:
        part = tagged.splits[name]
        encoded = model.encode_cached(settings.cache, name, part["text"])
        tokens, what = settings.evaluate.batch_tokens, f"embedding {name}"
        tags = indicators(part["labels"][:], len(tagged.schema.classes))
        return score(classifier.features, encoded, tokens, accelerator, what), tags

    train = tagged.splits["train"]
    folds = folds_of(train, tagged.schema, 5, settings.seed)
    return Vectors(*encoded_split("train"), *encoded_split("test"), folds, train["text"][:])


def _simulate(
    vectors: Vectors, name: str, known: Any, start: int, batch: int, end: int, seed: int, multi_label: bool
) -> tuple[list[int], list[tuple[float, float, float]]]:
    """Numbers of tagged documents, and accuracy, micro F1 and macro F1 on the test documents for each."""
    tagged = np.random.default_rng(seed).permutation(len(vectors.train))[:start]
    sizes: list[int] = []
    found: list[tuple[float, float, float]] = []
    while True:
        weights, bias = fit_head(vectors.train[tagged], vectors.truth[tagged], multi_label, probe_c(multi_label))
        logits = np.asarray(vectors.test @ weights.T + bias, dtype=np.float32)
        predicted = decide(probabilities(logits, multi_label), multi_label, 0.5)
        sizes.append(len(tagged))
        figures = overall(vectors.test_truth, predicted)
        found.append((figures["accuracy"], figures["micro_f1"], figures["macro_f1"]))
        if len(tagged) >= end:
            return sizes, found
        left = np.setdiff1d(np.arange(len(vectors.train)), tagged)
        scores = probabilities(np.asarray(vectors.train[left] @ weights.T + bias, dtype=np.float32), multi_label)
        now = Situation(vectors.train, tagged, left, scores, vectors.truth[tagged].sum(axis=0), multi_label)
        chosen = known[name](now, min(batch, end - len(tagged)), seed * 1_000_003 + len(tagged))
        tagged = np.concatenate([tagged, left[chosen]])


def turn_tags(truth: Tags, share: float, multi_label: bool, seed: int) -> tuple[Tags, Ints]:
    """Tags that are wrong for a share of the documents, and the positions of these documents, ascending.

    Single-label: another class, at random. Multi-label: one class dropped or added, with equal probability where there
    is one to drop.
    """
    random = np.random.default_rng(seed)
    turned = np.sort(random.permutation(len(truth))[: round(share * len(truth))])
    wrong = truth.copy()
    for i in turned:
        has, lacks = np.flatnonzero(truth[i] == 1), np.flatnonzero(truth[i] == 0)
        if not multi_label:
            wrong[i, has[0]] = 0
            wrong[i, random.choice(lacks)] = 1
        elif len(has) and (random.random() < 0.5 or not len(lacks)):
            wrong[i, random.choice(has)] = 0
        else:
            wrong[i, random.choice(lacks)] = 1
    return wrong, turned


def find_turned(
    vectors: Floats, truth: Tags, texts: Sequence[str], folds: Ints, share: float, multi_label: bool, seed: int
) -> Found:
    """Make tags wrong, and look for them at the beginning of the queue of `scripts/improve.py`."""
    wrong, turned = turn_tags(truth, share, multi_label, seed)
    odds = wrong_odds(out_of_fold(vectors, wrong, folds, multi_label, PROBE_C), wrong, multi_label)
    found = with_near_copies(suspicions(odds, wrong, multi_label), vectors, texts, wrong)
    order = sorted(range(len(found)), key=lambda i: (-found[i].odds, i))[: round(1.2 * share * len(truth))]
    return Found(len(truth), len(turned), len(order), round(float(np.isin(turned, order).mean()), 4))


def tagging_table(results: Sequence[Curve | Found], columns: int = 6) -> Table:
    """One row per strategy: its figure at some numbers of tagged documents, and the number that is enough."""
    curves = [result for result in results if isinstance(result, Curve)]
    notes = [
        f"suspected tags: {result.turned:,} of {counted(result.documents, 'document')} tagged wrongly, "
        f"{result.recall:.1%} of them in the first {result.looked_at:,} lines"
        for result in results
        if isinstance(result, Found)
    ]
    title = f"what to tag next: {curves[0].judged_by} by number of tagged documents"
    table = Table(title=title, title_justify="left", title_style="bold", caption="\n".join(notes))
    sizes = curves[0].documents
    shown = sorted({round(i) for i in np.linspace(0, len(sizes) - 1, columns)})
    for name in ("strategy", *(f"{sizes[i]:,}" for i in shown), "enough"):
        table.add_column(name, justify="left" if name == "strategy" else "right", no_wrap=True)
    for curve in curves:
        judged = curve.micro_f1 if curve.judged_by == "micro_f1" else curve.accuracy
        figures = [f"{judged[i]:.4f}" for i in shown]
        table.add_row(curve.strategy, *figures, f"{curve.enough:,}" if curve.enough is not None else "-")
    return table
