"""Tagsmith's own contenders: `tagsmith.train.train_run.train` with a recipe."""

import json
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from tagsmith.bench.own_process import peak_memory
from tagsmith.bench.recipes.contest import Contest, Outcome, outcome_of_figures
from tagsmith.bench.recipes.training_sets import read
from tagsmith.config.settings import Recipe
from tagsmith.core.run import RunFolder
from tagsmith.model.probe import draw_documents
from tagsmith.tokens.batches import scoring_batches
from tagsmith.tokens.encoding_spec import EncodingSpec
from tagsmith.tokens.windows import encode
from tagsmith.train.train_run import train


def run(contest: Contest) -> Outcome:
    """Train and evaluate as `scripts/train.py` does."""
    started = time.perf_counter()
    folder, evaluation = train(contest.settings)
    seconds = time.perf_counter() - started
    peak = peak_memory()
    if contest.settings.train.recipe is Recipe.auto:
        # The run does not record the tokens of the comparison of recipes.
        return outcome_of_figures(seconds, None, None, peak, evaluation)
    trained = [_trained(metrics) for metrics in folder.curves]
    tokens, padded = (sum(counts) for counts in zip(_embedded(contest, folder), *trained, strict=True))
    return outcome_of_figures(seconds, tokens, padded, peak, evaluation)


def _embedded(contest: Contest, folder: RunFolder) -> tuple[int, int]:
    """Tokens without and with padding of the pass over the documents before the regression.

    Padding as on a CPU: the run does not record whether a GPU packed the windows.
    """
    settings = contest.settings
    texts, truth = read(contest.train, contest.schema)
    most = len(texts) if settings.train.recipe is Recipe.probe else settings.train.probe_documents
    drawn = draw_documents([np.flatnonzero(row).tolist() for row in truth], most, settings.seed)
    texts = [texts[i] for i in drawn]
    encoding = EncodingSpec.load(folder.model / "reading.json")
    tokenizer = Tokenizer.from_file(str(folder.model / "tokenizer.json"))
    encoded = encode(tokenizer, texts, encoding.rule, encoding.pad_id)
    batches = scoring_batches(encoded.lengths, encoded.windows, settings.evaluate.batch_tokens)
    padded = sum(int(encoded.windows[batch].sum() * encoded.lengths[batch].max()) for batch in batches)
    return int(np.sum(encoded.window_lengths)), padded


def _trained(metrics: Path) -> tuple[int, int]:
    """Tokens without and with padding of all training steps; 0 where the recipe takes no steps."""
    if not metrics.is_file():
        return 0, 0
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if "tokens" in line]
    padded = sum(line["tokens"] / (1 - line["padding_share"]) for line in steps)
    return sum(line["tokens"] for line in steps), round(padded)
