"""From an evaluated run to `analysis.json` and `guidance.json`: the parts of the analysis, one after the other."""

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import EvaluateRun
from tagsmith.core.errors import InputMissing, counted
from tagsmith.core.files import json_object, read_json, write_json
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import indicators
from tagsmith.data.dataset_folders import load_documents
from tagsmith.data.split import draw_folds
from tagsmith.decision.intervals import class_intervals, overall, overall_intervals
from tagsmith.decision.metrics import probabilities
from tagsmith.decision.rule import DecisionRule
from tagsmith.evaluate.analysis.baselines import (
    compare_with_baseline,
    predict_with_rule,
    probe_logits,
    rule_for_baseline,
    tfidf_predictions,
)
from tagsmith.evaluate.analysis.learning_curve import learning_curve, predictions_by_share
from tagsmith.evaluate.analysis.lengths import class_counts, lengths
from tagsmith.evaluate.analysis.near_duplicates import (
    HELD_OUT_FIRST,
    MOST_LISTED,
    Side,
    documents_to_compare,
    near_duplicates,
)
from tagsmith.evaluate.analysis.occlusion import Question, explain, mistakes
from tagsmith.evaluate.analysis.predictions import Predictions, read_predictions
from tagsmith.evaluate.guidance.guidance import Facts, guidance
from tagsmith.model.loaded_model import LoadedModel
from tagsmith.model.pretrained_vectors import PretrainedEncoder, out_of_fold
from tagsmith.model.probe import draw_documents
from tagsmith.model.processes import on_main
from tagsmith.model.recorded_settings import recorded_settings
from tagsmith.model.score import score
from tagsmith.tokens.truncation import ids_as_read
from tagsmith.tokens.windows import EncodedDocuments, encode

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Analysis:
    """The parts of the analysis of an evaluated run; all processes must call the parts that score documents."""

    def __init__(
        self,
        settings: EvaluateRun,
        run: RunFolder,
        evaluation: dict[str, Any],
        rule: DecisionRule | None,
        model: LoadedModel,
        accelerator: Accelerator,
    ):
        """Read the files of the evaluation.

        Raises:
            DataError: a file of the run is damaged.
        """
        schema = model.schema
        self.settings, self.batch_tokens, self.cache = settings.analysis, settings.batch_tokens, settings.cache
        self.run, self.model, self.schema, self.accelerator = run, model, schema, accelerator
        self.evaluation, self.rule, self.split = evaluation, rule, evaluation["split"]
        self.splits = load_documents(run.data, schema)
        self.predictions: Predictions = read_predictions(run.predictions, schema)
        self.truths = {name: indicators(part["labels"][:], len(schema.classes)) for name, part in self.splits.items()}

    def intervals(self) -> dict[str, Any]:
        """The confidence intervals of the figures."""
        truth, predicted = self.predictions.truth, self.predictions.predicted
        pairs = ((truth, predicted), (1 - truth, predicted), (truth, 1 - predicted))
        tp, fp, fn = ((a & b).sum(axis=0, dtype=int) for a, b in pairs)
        found: dict[str, Any] = dict(overall_intervals(truth, predicted, self.settings.resamples, self.settings.seed))
        found["classes"] = {
            name: class_intervals(int(tp[i]), int(fp[i]), int(fn[i])) for i, name in enumerate(self.schema.classes)
        }
        return found

    def data(self) -> dict[str, Any]:
        """The number of documents and their lengths."""
        tokens = {}
        for name, part in self.splits.items():
            encoded = self.model.encode_cached(self.cache, name, part["text"])
            tokens[name] = lengths(encoded.tokens, encoded.unread)
        return {
            "classes": class_counts(self.truths, self.schema.classes),
            "documents": {name: len(part) for name, part in self.splits.items()},
            "tokens": tokens,
        }

    def drawn(self) -> dict[str, Ints]:
        """Positions, by split, of the documents for the baselines and the learning curve."""
        return {
            name: draw_documents(self.splits[name]["labels"][:], self.settings.most_documents, self.settings.seed)
            for name in {"train": 0, self.split: 0}
        }

    def vectors(self, drawn: dict[str, Ints]) -> dict[str, Floats] | None:
        """Vectors of the drawn documents before training; None if the pretrained encoder is gone."""
        try:
            encoder = PretrainedEncoder(self.run, self.batch_tokens, self.cache, self.accelerator)
        except InputMissing as error:
            log.warning(f"analysis: no probe and no learning curve ({error})")
            return None
        found = {}
        for name, places in drawn.items():
            part = self.splits[name]
            whole = len(places) == len(part)
            vectors = (
                encoder.vectors_of_split(name, part) if whole else encoder.vectors(name, part.select(places)["text"])
            )
            # In the precision in which they are stored, so that the next command gets the same.
            found[name] = vectors.astype(np.float16).astype(np.float32)
        return found

    def baselines_and_curve(self, drawn: dict[str, Ints], vectors: dict[str, Floats] | None) -> dict[str, Any]:
        """`baselines` and `learning_curve`; if the split is `train`, a fifth of it is held out for the curve.

        If the thresholds of the run were chosen, those of a baseline are chosen too.
        """
        settings, multi_label, split = self.settings, self.schema.multi_label, self.split
        part = self.splits["train"].select(drawn["train"])
        all_tags = self.truths["train"][drawn["train"]]
        groups = part["group"][:] if "group" in part.column_names else [None] * len(part)
        held_out = split == "train"
        folds = draw_folds(part["text"][:], groups, all_tags, 5 if held_out else 4, settings.seed)
        chosen = self.rule if multi_label and len(np.unique(folds)) >= 4 else None
        baselines: dict[str, Any] = {"probe": None, "tfidf": None}
        if held_out:
            inside = folds < 4
            truth, places = all_tags[~inside], None
        else:
            inside = np.ones(len(all_tags), dtype=bool)
            places = drawn[split]
            truth = self.predictions.truth[places]

        def compare(predicted: NDArray[np.int8]) -> dict[str, Any]:
            ours = self.predictions.predicted[places]
            return compare_with_baseline(truth, ours, predicted, len(all_tags), settings.resamples, settings.seed)

        if places is not None:
            texts = [self.predictions.rows[i]["text"] for i in places]
            found = tfidf_predictions(part["text"][:], all_tags, texts, self.schema, chosen, folds, settings.seed)
            baselines["tfidf"] = compare(found) if found is not None else None
        if vectors is None or not inside.any() or not len(truth):
            return {"baselines": baselines, "learning_curve": None}
        given, tags = vectors["train"][inside], all_tags[inside]
        new = vectors["train"][~inside] if held_out else vectors[split]

        rule = DecisionRule.plain(self.schema, self.evaluation["threshold"] or 0.5)
        if chosen is not None:
            rule = rule_for_baseline(chosen, out_of_fold(given, tags, folds[inside], multi_label), tags, self.schema)

        def predict(chosen: NDArray[np.bool_]) -> NDArray[np.int8]:
            return predict_with_rule(rule, probe_logits(given[chosen], tags[chosen], new, multi_label))

        whole = predict(np.ones(len(given), dtype=bool))
        if not held_out:
            baselines["probe"] = compare(whole)
        curve = None
        if len(np.unique(folds[inside])) == 4:
            by_share = predictions_by_share(folds[inside], predict, whole, settings.curve_draws)
            trained, tagged = (
                [int(count) for count in matrix.sum(axis=0, dtype=int)] for matrix in (tags, self.truths["train"])
            )
            documents = len(tags), len(self.splits["train"])
            curve = learning_curve(
                by_share, truth, documents, trained, tagged, self.schema.classes, settings.resamples // 2, settings.seed
            )
        return {"baselines": baselines, "learning_curve": curve}

    def near_duplicates(self) -> dict[str, Any]:
        """Near-duplicates, and the figures without evaluated documents that nearly repeat a training document."""
        sizes = {name: len(part) for name, part in self.splits.items()}
        chosen = documents_to_compare(sizes, self.split, self.settings.compared_documents, self.settings.seed)
        if (count := sum(map(len, chosen.values()))) < sum(sizes.values()):
            total = counted(sum(sizes.values()), "document")
            log.info(f"analysis: near-duplicates are searched among {count:,} of {total}")
        sides = [
            Side(name, record["id"], record["text"], tuple(self._names(record["labels"])))
            for name in sorted(chosen, key=HELD_OUT_FIRST.index)
            for record in self.splits[name].select(chosen[name])
        ]
        found = near_duplicates(sides, self.settings.similarity)
        near = {line["id"] for line in found["across"] if line["split"] == self.split}
        kept = np.asarray([row["id"] not in near for row in self.predictions.rows])
        without = None
        if near and kept.any():
            figures = overall(self.predictions.truth[kept], self.predictions.predicted[kept])
            without = {"documents": int(kept.sum()), **figures}
        found |= {name: found[name][:MOST_LISTED] for name in ("across", "differently_tagged")}
        return {**found, "compared": {name: len(places) for name, places in chosen.items()}, "without": without}

    def _names(self, labels: Any) -> list[str]:
        return self.schema.names(labels if self.schema.multi_label else [labels])

    def explanations(self) -> dict[str, Any]:
        """The words that weigh most in mistakes."""
        settings, rows, model = self.settings, self.predictions.rows, self.model
        explained = mistakes(self.predictions.truth, self.predictions.predicted, self.predictions.scores)
        explained = explained[: settings.explained_documents]
        rule, pad_id = model.encoding.rule, model.encoding.pad_id
        to_ids = ids_as_read(model.tokenizer, rule)  # Most variants of a long document differ where it is not read.

        def encoded_as_read(variants: list[str]) -> EncodedDocuments:
            return encode(model.tokenizer, variants, rule, pad_id, to_ids)

        def scores(variants: list[str]) -> Floats:
            encoded = encoded_as_read(variants)
            logits = score(model.classifier.eval(), encoded, self.batch_tokens, self.accelerator, "explaining mistakes")
            return probabilities(logits, self.schema.multi_label)

        questions = [Question(rows[i]["text"], label) for i, label in explained]
        most_words, budget = settings.explained_words, settings.explained_tokens
        found = explain(questions, model.tokenizer, encoded_as_read, scores, most_words, budget)
        explained = explained[: len(found)]
        ids = [rows[i]["id"] for i, _ in explained]
        return {
            "by": "occlusion",
            "mistakes": int(self.predictions.wrong.sum()),
            "classes": {name: self.schema.classes[label] for name, (_, label) in zip(ids, explained, strict=True)},
            "documents": dict(zip(ids, found, strict=True)),
        }


def analyse_run(
    settings: EvaluateRun, run: RunFolder, rule: DecisionRule | None, model: LoadedModel, accelerator: Accelerator
) -> None:
    """Write `analysis.json` and `guidance.json` next to the evaluation of a run.

    Args:
        rule: of the run, if its thresholds were chosen; otherwise None.
        model: on its device.

    Raises:
        DataError: a file of the run is damaged.
    """
    started = time.monotonic()
    accelerator.wait_for_everyone()  # All processes read the predictions that the main process has written.
    evaluation = read_json(run.evaluation, json_object, "the figures of an evaluation", "evaluate the run again")
    parts = Analysis(settings, run, evaluation, rule, model, accelerator)
    seconds: dict[str, float] = {}

    def timed(name: str, part: Callable[[], Any]) -> Any:
        before = time.monotonic()
        found = part()
        seconds[name] = time.monotonic() - before
        return found

    data = timed("lengths", parts.data)
    drawn = parts.drawn()
    vectors = timed("vectors", lambda: parts.vectors(drawn))
    explanations = timed("explanations", parts.explanations)

    def write() -> None:
        analysis: dict[str, Any] = {"split": parts.split, "intervals": timed("intervals", parts.intervals)}
        analysis |= timed("baselines and learning curve", lambda: parts.baselines_and_curve(drawn, vectors))
        analysis |= {"data": data, "near_duplicates": timed("near-duplicates", parts.near_duplicates)}
        analysis["explanations"] = explanations
        recipe = recorded_settings(run).train.recipe.value
        facts = Facts(
            str(run.path), recipe, model.encoding.rule.as_dict(), model.schema.classes, model.schema.multi_label
        )
        lines = guidance(evaluation, analysis, parts.predictions.rows, facts)
        write_json(run.analysis, analysis)
        write_json(run.guidance, lines)

    on_main(accelerator, write)
    parts_took = ", ".join(f"{name} {took:.1f}" for name, took in seconds.items())
    log.info(f"analysis: {time.monotonic() - started:.0f} s ({parts_took})")
