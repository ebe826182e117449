"""From a run to what a person should do next: tags to look at again, documents to tag, and what that would bring."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import ImproveRun, Recipe
from tagsmith.core.errors import SettingsError, counted, listing
from tagsmith.core.files import replace_folder, write_json, write_lines
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, indicators
from tagsmith.data.check import same_text
from tagsmith.data.dataset_folders import load_documents
from tagsmith.data.tagged import refuse_to_overwrite_tags
from tagsmith.decision.calibration import temperature
from tagsmith.decision.metrics import probabilities
from tagsmith.evaluate.evaluate_run import rule_of_run
from tagsmith.improve.acquisition import choose
from tagsmith.improve.lines import next_lines, suggested_lines, suspected_lines
from tagsmith.improve.pool import Pool, read_pool
from tagsmith.improve.queues import NEXT, SUGGESTED, SUSPECTED, Line
from tagsmith.improve.repair import expected_gain
from tagsmith.improve.scores import Scored, by_model, by_regression, kept_out_of_fold
from tagsmith.improve.suspicion import (
    PROBE_C,
    count_wrong,
    doubts,
    require_cleanlab,
    suspicions,
    with_near_copies,
)
from tagsmith.model.pretrained_vectors import PretrainedEncoder, folds_of, out_of_fold
from tagsmith.model.processes import start_accelerator
from tagsmith.tokens.encoding_spec import EncodingSpec

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Improvement:
    """The lines of each queue by the name of its file, and the summary."""

    summary: dict[str, Any]
    queues: dict[str, list[Line]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Training:
    """The training documents of the run: vectors [documents, hidden], tags [documents, classes], and logits of
    regressions that have not seen them."""

    part: datasets.Dataset
    vectors: Floats
    truth: NDArray[np.int8]
    folds: NDArray[np.int64]
    logits: Floats


def improve_run(settings: ImproveRun, run: RunFolder) -> Improvement:
    """Write `improve/` of a run: suspected tags, and with a pool what to tag next and suggested tags.

    Raises:
        InputMissing: no run, no pool, or the run's encoder is no longer where it was.
        SettingsError: cleanlab is not installed, or the folder holds tags of a person.
        DataError: a file of the run is damaged, or the pool holds no document.
    """
    require_cleanlab()
    run.require()
    schema = Schema.load(run.schema)
    splits = load_documents(run.data, schema)
    if len(splits["train"]) < settings.folds:
        raise SettingsError(
            f"folds={settings.folds}: the run has {counted(len(splits['train']), 'training document')}."
        )
    if not settings.overwrite:
        refuse_to_overwrite_tags(
            run.improve,
            "Train with data.tagged= and improve that run, move the files, or replace them with overwrite=true.",
        )
    rule = rule_of_run(run, schema, EncodingSpec.load(run.model / "reading.json").threshold)
    pool = _read_pool(settings, splits) if settings.pool is not None else None
    accelerator = start_accelerator(settings.cpu)
    encoder = PretrainedEncoder(run, settings.batch_tokens, settings.cache, accelerator)
    training = _training(splits["train"], encoder, schema, settings)
    found = Improvement({"seed": settings.seed, "training_documents": len(training.truth)})
    _suspect(found, training, splits, run, schema, settings)
    if pool is not None:
        candidates = [candidate.text for candidate in pool.candidates]
        vectors = encoder.vectors("the pool", candidates) if candidates else np.zeros((0, 1), dtype=np.float32)
        if rule.calibrated and candidates:
            scored = by_model(run, schema, rule, candidates, settings.batch_tokens, settings.cache, accelerator)
        elif candidates:
            heat = temperature(training.logits, training.truth, schema.multi_label)
            scored = by_regression(
                vectors, training.vectors, training.truth, heat, rule.thresholds[0], schema.multi_label
            )
        else:
            scored = Scored(
                np.zeros((0, len(schema.classes)), np.float32), np.zeros(len(schema.classes), np.float32), "nothing"
            )
        _queue(found, pool, vectors, scored, training.truth, schema, settings)
    if accelerator.is_main_process:

        def write(folder: Path) -> None:
            for name, lines in found.queues.items():
                write_lines(folder / name, lines)
            write_json(folder / "summary.json", found.summary)

        replace_folder(run.improve, write)
    return found


def _read_pool(settings: ImproveRun, splits: datasets.DatasetDict) -> Pool:
    texts = {same_text(text) for part in splits.values() for text in part["text"][:]}
    ids = {name for part in splits.values() for name in part["id"][:]}
    pool = read_pool(
        Path(str(settings.pool)), settings.text_field, settings.delimiter, settings.encoding, settings.candidates,
        settings.seed, texts, ids,
    )  # fmt: skip
    if pool.bad:
        problems = [*pool.problems, *[f"and {pool.bad - len(pool.problems):,} more"] * (pool.bad > len(pool.problems))]
        log.warning(listing(f"Rows of the pool that cannot be used: {pool.bad:,} of {pool.rows:,}:", problems))
    if pool.known:
        log.info(f"the pool: {counted(pool.known, 'document')} of the run passed over")
    if pool.renamed:
        log.warning(f"the pool: {counted(pool.renamed, 'id')} taken by another document; named by place instead")
    left = pool.rows - pool.bad - pool.known
    if left > len(pool.candidates):
        drawn = f"{len(pool.candidates):,} of {left:,}"
        log.info(f"the pool: {drawn} documents are looked at, drawn at random, equal texts once (candidates=)")
    return pool


def _training(part: datasets.Dataset, encoder: PretrainedEncoder, schema: Schema, settings: ImproveRun) -> _Training:
    vectors = encoder.vectors_of_split("train", part)
    truth = indicators(part["labels"][:], len(schema.classes))
    folds = folds_of(part, schema, settings.folds, settings.seed)
    logits = out_of_fold(vectors, truth, folds, schema.multi_label, PROBE_C)
    return _Training(part, vectors, truth, folds, logits)


def _suspect(
    found: Improvement, training: _Training, splits: datasets.DatasetDict, run: RunFolder, schema: Schema,
    settings: ImproveRun,
) -> None:  # fmt: skip
    """The queue of suspected tags, and what correcting them would bring."""
    logits, truth, part = training.logits, training.truth, training.part
    by = "regressions out of fold"
    if (fine_tuned := kept_out_of_fold(run, part, schema)) is not None:
        # Each in the units in which it says most: fine-tuned models are far surer than regressions. Turned tags of
        # nlupp_hotels in the first 12 %: regressions 0.674, fine-tuned models 0.663, both 0.730.
        heats = [temperature(each, truth, schema.multi_label) for each in (logits, fine_tuned)]
        logits = np.asarray((logits / heats[0] + fine_tuned / heats[1]) / 2, dtype=np.float32)
        by += " and fine-tuned models out of fold, in equal parts"
    doubt = doubts(logits, truth, schema.multi_label)
    texts = part["text"][:]
    suspected = with_near_copies(suspicions(doubt, truth, schema.multi_label), training.vectors, texts, truth)
    order = sorted(range(len(suspected)), key=lambda i: (-suspected[i].odds, i))
    wrong = count_wrong(logits, truth, schema.multi_label)
    shown = order if settings.suspected is None else order[: settings.suspected]
    scores = probabilities(logits, schema.multi_label)
    lines = suspected_lines(suspected, shown, wrong, scores, truth, part["id"][:], texts, schema)
    found.queues[SUSPECTED] = lines
    found.summary["suspected"] = {
        "documents": wrong,
        "lines": len(lines),
        "near_copies_tagged_differently": sum(one.near is not None for one in suspected),
        "by": by,
    }
    repaired, is_suspected = truth.copy(), np.zeros(len(truth), dtype=np.bool_)
    for i in order[:wrong]:
        is_suspected[i] = True
        repaired[i] = 0
        repaired[i, list(suspected[i].suggested)] = 1
    recipe = run.read_record()["settings"].get("train.recipe")
    test_documents = len(splits["test"]) if "test" in splits else len(truth)
    found.summary["gain"] = expected_gain(
        training.vectors, truth, repaired, is_suspected, training.folds, schema.multi_label,
        recipe == Recipe.probe.value, test_documents, settings.seed,
    )  # fmt: skip


def _queue(
    found: Improvement, pool: Pool, vectors: Floats, scored: Scored, truth: NDArray[np.int8], schema: Schema,
    settings: ImproveRun,
) -> None:  # fmt: skip
    """The queue of documents to tag next, and suggestions for the other candidates."""
    queue = choose(
        scored.scores, vectors, truth.sum(axis=0), settings.budget, settings.audit_share,
        schema.multi_label, settings.seed,
    )  # fmt: skip
    taken = {chosen.position for chosen in queue}
    left = [i for i in range(len(pool.candidates)) if i not in taken]
    given = (scored.scores, scored.thresholds, pool.candidates, schema)
    found.queues[NEXT] = next_lines(queue, *given)
    found.queues[SUGGESTED] = suggested_lines(left, *given)
    found.summary["pool"] = {
        "rows": pool.rows,
        "bad_rows": pool.bad,
        "already_in_run": pool.known,
        "candidates": len(pool.candidates),
        "scores_by": scored.by,
    }
    reasons = Counter(chosen.reason.value for chosen in queue)
    found.summary["tag_next"] = {"documents": len(queue), "reasons": dict(sorted(reasons.items()))}
    found.summary["suggested"] = {"documents": len(left)}
