"""From a run to what to do next: tags to check, documents to tag, and what correcting the tags is expected to gain."""

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import ImproveRun, Recipe
from tagsmith.core.errors import SettingsError, counted, listing
from tagsmith.core.files import replace_folder, write_json, write_lines
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.data.check import same_text
from tagsmith.data.dataset_folders import load_documents
from tagsmith.data.tagged import refuse_to_overwrite_tags
from tagsmith.decision.calibration import temperature
from tagsmith.decision.metrics import probabilities
from tagsmith.evaluate.evaluate_run import rule_of_run
from tagsmith.improve.acquisition import choose
from tagsmith.improve.pool import Pool, read_pool
from tagsmith.improve.queue_lines import next_lines, suggested_lines, suspected_lines
from tagsmith.improve.queue_tables import NEXT, SUGGESTED, SUSPECTED, Line
from tagsmith.improve.repair import Repair, expected_gain
from tagsmith.improve.run_scores import Scored, by_model, by_regression, stored_out_of_fold
from tagsmith.improve.suspicion import (
    PROBE_C,
    count_wrong,
    in_order,
    require_cleanlab,
    suspicions,
    with_near_copies,
    wrong_odds,
)
from tagsmith.improve.training_documents import TrainingDocuments
from tagsmith.model.pretrained_vectors import PretrainedEncoder, out_of_fold
from tagsmith.model.processes import start_accelerator
from tagsmith.model.recorded_settings import recorded_settings
from tagsmith.tokens.encoding_spec import EncodingSpec

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Improvement:
    """The summary, and the lines of each queue by the name of its file."""

    summary: dict[str, Any]
    queues: dict[str, list[Line]] = field(default_factory=dict)


def improve_run(settings: ImproveRun, run: RunFolder) -> Improvement:
    """Write `improve/` of a run: suspected tags, and with a pool also what to tag next and suggested tags.

    Raises:
        InputMissing: the run or the pool does not exist, or the run's encoder is no longer where it was.
        SettingsError: cleanlab is not installed, or the folder holds tags that were filled in.
        DataError: a file of the run is damaged, or the pool holds no usable documents.
    """
    require_cleanlab()
    run.require()
    schema = Schema.load(run.schema)
    splits = load_documents(run.data, schema)
    documents = len(splits["train"])
    if documents < settings.folds:
        raise SettingsError(f"folds={settings.folds}: expected at most {documents:,}, one per training document.")
    if not settings.overwrite:
        refuse_to_overwrite_tags(
            run.improve,
            "Train a run with data.tagged= and improve that one, move the files, or replace them with overwrite=true.",
        )
    rule = rule_of_run(run, schema, EncodingSpec.load(run.model / "reading.json").threshold)
    if settings.text_field is None:
        settings = replace(settings, text_field=run.read_record()["text_fields"])
    pool = _read_pool(settings, splits) if settings.pool is not None else None
    accelerator = start_accelerator(settings.cpu)
    encoder = PretrainedEncoder(run, settings.batch_tokens, settings.cache, accelerator)
    training = TrainingDocuments.load(splits["train"], encoder, schema, settings.folds, settings.seed)
    logits = out_of_fold(training.vectors, training.truth, training.folds, schema.multi_label, PROBE_C)
    found = Improvement({"seed": settings.seed, "training_documents": documents})
    _add_suspected_tags(found, training, logits, run, len(splits.get("test", ())) or documents, settings)
    if pool is not None:
        texts = [candidate.text for candidate in pool.candidates]
        vectors = encoder.vectors("the pool", texts) if texts else np.zeros((0, 1), dtype=np.float32)
        if rule.calibrated and texts:
            scored = by_model(run, schema, rule, texts, settings, accelerator)
        elif texts:
            scored = by_regression(vectors, training, temperature(logits, training.truth, schema.multi_label), rule)
        else:
            classes = len(schema.classes)
            scored = Scored(np.zeros((0, classes), np.float32), np.zeros(classes, np.float32), "nothing")
        _add_pool(found, pool, vectors, scored, training, settings)
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
    pool = read_pool(settings, texts, ids)
    if pool.bad:
        problems = [*pool.problems, *[f"and {pool.bad - len(pool.problems):,} more"] * (pool.bad > len(pool.problems))]
        log.warning(listing(f"pool: skipped {pool.bad:,} of {counted(pool.rows, 'row')}:", problems))
    if pool.known:
        log.info(f"pool: skipped {counted(pool.known, 'document')} that the run has already")
    if pool.renamed:
        log.warning(f"pool: replaced {counted(pool.renamed, 'id')} that another document has by file and row")
    left = pool.rows - pool.bad - pool.known
    if left > len(pool.candidates):
        log.info(f"pool: drew {len(pool.candidates):,} of {left:,} documents at random, equal texts once (candidates=)")
    return pool


def _add_suspected_tags(
    found: Improvement,
    training: TrainingDocuments,
    logits: Floats,
    run: RunFolder,
    test_documents: int,
    settings: ImproveRun,
) -> None:
    """Add the queue of suspected tags, and what correcting them is expected to gain."""
    truth, multi_label = training.truth, training.schema.multi_label
    by = "regressions out of fold"
    if (fine_tuned := stored_out_of_fold(run, training)) is not None:
        # Scaled to equal confidence: fine-tuned models are far more confident than regressions. Together they find
        # more wrong tags than either alone (README: Decisions and measurements).
        temperatures = [temperature(each, truth, multi_label) for each in (logits, fine_tuned)]
        logits = np.asarray((logits / temperatures[0] + fine_tuned / temperatures[1]) / 2, dtype=np.float32)
        by += " and fine-tuned models out of fold, averaged"
    odds = wrong_odds(logits, truth, multi_label)
    suspected = with_near_copies(suspicions(odds, truth, multi_label), training.vectors, training.texts, truth)
    order = in_order(suspected)
    wrong = max(count_wrong(logits, truth, multi_label), sum(one.same_text for one in suspected))
    shown = order if settings.suspected is None else order[: settings.suspected]
    found.queues[SUSPECTED] = suspected_lines(training, suspected, shown, wrong, probabilities(logits, multi_label))
    found.summary["suspected"] = {
        "documents": wrong,
        "lines": len(shown),
        "same_texts_tagged_differently": sum(one.same_text for one in suspected),
        "near_copies_tagged_differently": sum(one.near is not None for one in suspected),
        "by": by,
    }
    repaired, is_suspected = truth.copy(), np.zeros(len(truth), dtype=np.bool_)
    for i in order[:wrong]:
        is_suspected[i] = True
        repaired[i] = 0
        repaired[i, list(suspected[i].suggested)] = 1
    recipe = recorded_settings(run).train.recipe
    repair = Repair(training.vectors, truth, repaired, is_suspected, training.folds, multi_label)
    found.summary["gain"] = expected_gain(repair, recipe is Recipe.probe, test_documents, settings.seed)


def _add_pool(
    found: Improvement,
    pool: Pool,
    vectors: Floats,
    scored: Scored,
    training: TrainingDocuments,
    settings: ImproveRun,
) -> None:
    """Add the queue of documents to tag next, and suggestions for the other candidates."""
    schema = training.schema
    queue = choose(
        scored.scores,
        vectors,
        training.truth.sum(axis=0),
        settings.budget,
        settings.audit_share,
        schema.multi_label,
        settings.seed,
    )
    taken = {chosen.position for chosen in queue}
    left = [i for i in range(len(pool.candidates)) if i not in taken]
    found.queues[NEXT] = next_lines(queue, scored, pool.candidates, schema)
    found.queues[SUGGESTED] = suggested_lines(left, scored, pool.candidates, schema)
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
