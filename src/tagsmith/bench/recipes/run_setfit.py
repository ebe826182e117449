"""The contender `setfit`: contrastive training on sentence pairs, then a logistic regression.

SetFit: Tunstall et al., Efficient Few-Shot Learning Without Prompts, arXiv 2209.11055.
"""

import math
import time
from typing import Any

import numpy as np
from datasets import Dataset

from tagsmith.bench.recipes.contest import Contest, NotInstalled, Outcome, outcome
from tagsmith.bench.recipes.training_sets import read
from tagsmith.model.loaded_model import encoder_source

try:
    from setfit import SetFitModel, Trainer, TrainingArguments
except ImportError as error:
    raise NotInstalled(f"setfit cannot be imported ({error}); pip install 'tagsmith[bench]'") from error

ITERATIONS = 20
"""Pairs of each kind per document, as in the paper; all pairs, the default, grow with the square of the documents."""

BATCH = 16


class TokenCount:
    """A hook on the encoder that counts tokens without and with padding."""

    def __init__(self) -> None:
        self.tokens = self.padded = 0

    def __call__(self, module: Any, inputs: Any) -> None:
        mask = inputs[0]["attention_mask"]
        self.tokens += int(mask.sum())
        self.padded += mask.numel()


def run(contest: Contest) -> Outcome:
    """Train and predict."""
    settings, schema = contest.settings, contest.schema
    source = encoder_source(settings.model)
    started = time.perf_counter()
    texts, truth = read(contest.train, schema)
    test_texts, test_truth = read(contest.test, schema)
    model = SetFitModel.from_pretrained(
        source,
        revision=settings.model.revision,
        multi_target_strategy="one-vs-rest" if schema.multi_label else None,
    )
    if limit := settings.data.max_tokens or settings.model.max_tokens:
        model.model_body.max_seq_length = min(limit, model.model_body.max_seq_length or limit)
    count = TokenCount()
    hook = model.model_body[0].register_forward_pre_hook(count)
    labels = truth.tolist() if schema.multi_label else truth.argmax(axis=1).tolist()
    pairs = 2 * ITERATIONS * len(texts)
    arguments = TrainingArguments(
        output_dir=str(settings.run),
        batch_size=BATCH,
        num_epochs=1,
        num_iterations=ITERATIONS,
        max_steps=math.ceil(pairs / BATCH),  # One epoch; without it, SetFit would draw all pairs.
        seed=settings.seed,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        show_progress_bar=False,
    )
    Trainer(model=model, args=arguments, train_dataset=Dataset.from_dict({"text": texts, "label": labels})).train()
    hook.remove()
    found = np.asarray(model.predict(test_texts, as_numpy=True, use_labels=False))
    seconds = time.perf_counter() - started
    predicted = found.reshape(test_truth.shape) if schema.multi_label else np.eye(test_truth.shape[1])[found]
    return outcome(seconds, count.tokens, count.padded, predicted.astype(np.int8), test_truth, schema)
