"""`scripts/bench_tag.py`: a simulated person tags on the page from nothing; how good, and by how many keys."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith import data
from tagsmith.bench.tagging.keystrokes import Keys
from tagsmith.bench.tagging.many_people import Waited, measure_waiting
from tagsmith.bench.tagging.simulated_person import opened_page
from tagsmith.bench.tagging.simulation import turn_tags
from tagsmith.bench.tagging.strategies import Situation, margin
from tagsmith.bench.tagging.tag_results import Cold, Tagged
from tagsmith.config.settings import TAG_ORDERS, BenchTagRun, TagRun
from tagsmith.core.errors import DataError, SettingsError
from tagsmith.core.schema import Schema, indicators
from tagsmith.decision.intervals import overall
from tagsmith.decision.metrics import decide, probabilities
from tagsmith.improve.acquisition import centred_unit_rows
from tagsmith.model.probe import fit_head, probe_c
from tagsmith.rows.json_rows import json_lines
from tagsmith.rows.table import BadRow
from tagsmith.tag.cold_start import class_texts, cold_scores
from tagsmith.tag.documents import fill
from tagsmith.tag.store import Store
from tagsmith.tag.suggestions import EVERY
from tagsmith.tag.vectors import CLASSES, FILE, compute_vectors, kept_class_vectors, kept_vectors

Floats = NDArray[np.float32]
Tags = NDArray[np.int8]

FIRST = 100
"""Documents of which the suggestions at the beginning are judged."""


@dataclass(frozen=True)
class Material:
    """What all simulations use: vectors float32 [documents, hidden] and truth int8 [documents, classes], by id."""

    schema: Schema
    folder: Path
    ids: list[str]
    vectors: Floats
    truth: Tags
    test: Floats
    test_truth: Tags


def measure(settings: BenchTagRun) -> Iterator[Cold | Tagged | Waited]:
    """Yields results as they are computed.

    Raises:
        SettingsError: there is no test split.
        InputMissing, DataError: see `data.load`, `read_guidelines` and `loaded_model.load_pretrained`.
    """
    tagged = data.load(settings.data, settings.task, settings.seed)
    if "test" not in tagged.splits:
        raise SettingsError("data.test_share=0: there is no test split; set data.test_share or a test file.")
    schema = tagged.schema
    named = {"names": dict.fromkeys(schema.classes, "")}
    if settings.guidelines is not None:
        named["guidelines"] = read_guidelines(Path(settings.guidelines), schema)
    with TemporaryDirectory() as name:
        folder = Path(name)
        material = _prepare(settings, tagged, folder, [text for one in named.values() for text in class_texts(one)])
        if settings.people:
            yield _many_people(settings, material, list(named.values())[-1])
            return
        known = kept_class_vectors(folder / "train", _page(settings, schema, folder / "train", {}))
        for by, guidelines in named.items():
            yield _cold(by, material, np.stack([known[text] for text in class_texts(guidelines)]), settings.seed)
        *fewer, by = named
        for alone in fewer:  # For the suggestions at the beginning.
            most = min(FIRST, settings.documents)
            yield _on_page(settings, material, material.truth, 0.0, "page", alone, named[alone], most)
        for wrong_share in dict.fromkeys((0.0, settings.wrong_share)):
            given, _ = turn_tags(material.truth, wrong_share, schema.multi_label, settings.seed)
            for order in settings.orders if settings.orders is not None else TAG_ORDERS:
                if order == "uncertain":
                    yield _by_margin(settings, material, given, wrong_share)
                else:
                    yield _on_page(settings, material, given, wrong_share, order, by, named[by], settings.documents)


def read_guidelines(path: Path, schema: Schema) -> dict[str, str]:
    """The guideline of each class, of a file with lines of JSON: `class` and `guideline`.

    Raises:
        DataError: a line is not one of these, or classes are missing.
    """
    found = dict[str, str]()
    for number, line in json_lines(path):
        if isinstance(line, BadRow) or not {"class", "guideline"} <= line.keys():
            raise DataError(f'{path}:{number}: expected {{"class": ..., "guideline": ...}}, found something else.')
        found[line["class"]] = line["guideline"]
    if missing := [name for name in schema.classes if name not in found]:
        raise DataError(f"{path}: expected a guideline for each class, found none for {', '.join(missing[:5])}.")
    return {name: found[name] for name in schema.classes}


def _page(settings: BenchTagRun, schema: Schema, folder: Path, guidelines: dict[str, str], **changes: Any) -> TagRun:
    texts = guidelines or dict.fromkeys(schema.classes, "")
    more: dict[str, Any] = {"model": settings.model, "cache": settings.cache, "cpu": settings.cpu, "port": 0, **changes}
    return TagRun(project=str(folder), task=schema.task, classes=texts, seed=settings.seed, **more)


def _prepare(settings: BenchTagRun, tagged: data.TaggedData, folder: Path, texts: Sequence[str]) -> Material:
    """The documents as pools, each text once, and their vectors, computed as the page does."""
    found = dict[str, tuple[list[str], Floats, Tags]]()
    for split in ("train", "test"):
        part, pool = tagged.splits[split], folder / f"{split}.jsonl"
        with pool.open("w", encoding="utf-8") as file:
            for number, text in enumerate(part["text"]):
                file.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")
        page = _page(settings, tagged.schema, folder / split, {}, pool=str(pool))
        store = Store(folder / split)
        fill(store, page)
        ids = [one.id for one in store.outline()]
        store.close()
        compute_vectors(page, texts)
        truth = indicators(part["labels"][:], len(tagged.schema.classes))
        found[split] = (ids, kept_vectors(folder / split, page).astype(np.float32), truth[[*map(int, ids)]])
    ids, vectors, truth = found["train"]
    return Material(tagged.schema, folder, ids, vectors, truth, *found["test"][1:])


def _cold(by: str, material: Material, classes: Floats, seed: int) -> Cold:
    similar = centred_unit_rows(material.vectors) @ centred_unit_rows(classes).T
    shared = cold_scores(material.vectors, classes, material.schema.multi_label, seed)
    shares = [round(share, 4) for scores in (similar, shared) for share in _right(scores, material.truth)]
    return Cold(by, len(material.ids), *shares)


def _right(scores: Floats, truth: Tags) -> tuple[float, float]:
    """Share of documents with tags whose best class is one of these, and any of the best five."""
    best = np.take_along_axis(truth, np.argsort(-scores, axis=1, kind="stable")[:, :5], axis=1)[truth.any(axis=1)]
    return float(best[:, 0].mean()), float(best.any(axis=1).mean())


def _on_page(
    settings: BenchTagRun,
    material: Material,
    given: Tags,
    wrong_share: float,
    order: str,
    by: str,
    texts: dict[str, str],
    most: int,
) -> Tagged:
    schema = material.schema
    several, folder = schema.multi_label, material.folder / f"{order}_{by}_{wrong_share}"
    page = _page(settings, schema, folder, texts, pool=str(material.folder / "train.jsonl"), suggest=order == "page")
    _with_vectors(material, folder)
    rows = {name: row for row, name in enumerate(material.ids)}
    keys, done = Keys(schema.classes, several), list[int]()
    first, listed, accepted, pressed, by_list = (list[float]() for _ in range(5))
    with opened_page(page) as opened:
        for shown in opened.documents():
            row = rows[shown.document]
            tags = tuple(schema.classes[i] for i in np.flatnonzero(given[row]))
            opened.tag(shown, tags, several)
            done.append(row)
            if tags and len(done) <= FIRST:
                first.append(bool({*shown.suggestions[:1]} & {*tags}))
                listed.append(bool({*shown.suggestions} & {*tags}))
            accepted.append({*shown.taken} == {*tags} and bool(shown.taken))
            pressed.append(keys.with_suggestions(tags, shown.suggestions, shown.taken))
            by_list.append(keys.from_list(tags))
            if len(done) >= most:
                break
    sizes, figures, enough = _figures(settings, material, given, done)
    means = [round(float(np.mean(values)), 4) for values in (first, listed, accepted, pressed, by_list)]
    return Tagged(order, by if order == "page" else "-", wrong_share, sizes, figures, enough, *means)


def _many_people(settings: BenchTagRun, material: Material, texts: dict[str, str]) -> Waited:
    schema, folder = material.schema, material.folder / "many"
    names = [tuple(schema.classes[i] for i in np.flatnonzero(row)) for row in material.truth]
    page = _page(settings, schema, _with_vectors(material, folder), texts, pool=str(material.folder / "train.jsonl"))
    tags = dict(zip(material.ids, names, strict=True))
    return measure_waiting(page, tags, settings.people, schema.multi_label, settings.seed)


def _with_vectors(material: Material, folder: Path) -> Path:
    """A new project that has the vectors already."""
    folder.mkdir()
    for name in (FILE, CLASSES):
        shutil.copy(material.folder / "train" / name, folder / name)
    return folder


def _by_margin(settings: BenchTagRun, material: Material, given: Tags, wrong_share: float) -> Tagged:
    """After random documents, one a class, those with the least margin, chosen as often as the page does."""
    several = material.schema.multi_label
    start = min(len(material.schema.classes), settings.documents)
    done = [*map(int, np.random.default_rng(settings.seed + 1).permutation(len(material.ids))[:start])]
    while len(done) < settings.documents:
        tagged = np.asarray(done, dtype=np.int64)
        left = np.setdiff1d(np.arange(len(material.ids)), tagged)
        weights, bias = fit_head(material.vectors[tagged], given[tagged], several, probe_c(several))
        scores = probabilities(np.asarray(material.vectors[left] @ weights.T + bias, dtype=np.float32), several)
        now = Situation(material.vectors, tagged, left, scores, given[tagged].sum(axis=0), several)
        done += [int(left[i]) for i in margin(now, min(EVERY, settings.documents - len(done)), settings.seed)]
    keys = Keys(material.schema.classes, several)
    names = [[material.schema.classes[i] for i in np.flatnonzero(given[row])] for row in done]
    by_list = round(float(np.mean([keys.from_list(tags) for tags in names])), 4)
    sizes, figures, enough = _figures(settings, material, given, done)
    return Tagged("uncertain", "-", wrong_share, sizes, figures, enough, 0.0, 0.0, 0.0, by_list, by_list)


def _figures(
    settings: BenchTagRun, material: Material, given: Tags, done: Sequence[int]
) -> tuple[list[int], list[float], int | None]:
    """Sizes, and the figure on the test documents of a regression on the first tags of each size; and `enough`."""
    several = material.schema.multi_label
    sizes, figures = [], []
    for size in range(settings.step, len(done) + 1, settings.step):
        rows = np.asarray(done[:size], dtype=np.int64)
        if len(np.unique(given[rows], axis=0)) < 2:
            continue
        weights, bias = fit_head(material.vectors[rows], given[rows], several, probe_c(several))
        logits = np.asarray(material.test @ weights.T + bias, dtype=np.float32)
        found = overall(material.test_truth, decide(probabilities(logits, several), several, 0.5))
        sizes.append(size)
        figures.append(round(found["micro_f1" if several else "accuracy"], 4))
    goal = settings.goal
    enough = next((size for size, one in zip(sizes, figures, strict=True) if goal is not None and one >= goal), None)
    return sizes, figures, enough
