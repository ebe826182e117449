"""The contenders `trainer` and `trainer_tuned`: `transformers.Trainer` on AutoModelForSequenceClassification."""

import time
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from tagsmith.bench.recipes.contest import Contest, Outcome, outcome
from tagsmith.bench.recipes.training_sets import read
from tagsmith.config.settings import Precision, TrainRun
from tagsmith.decision.metrics import decide, probabilities
from tagsmith.model.loaded_model import encoder_source
from tagsmith.model.processes import resolved_precision

ARGUMENTS: dict[str, dict[str, Any]] = {
    "trainer": {"learning_rate": 5e-5},
    "trainer_tuned": {"learning_rate": 3e-4, "warmup_steps": 0.1, "train_sampling_strategy": "group_by_length"},
}
"""How the two differ; both train 5 epochs in batches of 32 documents, padded to the longest one."""


class CountingCollator:
    """Pad a batch to its longest document, and count tokens without and with padding."""

    def __init__(self, tokenizer: Any):
        self.pad = DataCollatorWithPadding(tokenizer)
        self.tokens = self.padded = 0

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        batch = self.pad(rows)
        mask = batch["attention_mask"]
        self.tokens += int(mask.sum())
        self.padded += mask.numel()
        return batch


def run(contest: Contest) -> Outcome:
    """Train and predict."""
    settings, schema = contest.settings, contest.schema
    source, revision = encoder_source(settings.model), settings.model.revision or "main"
    started = time.perf_counter()
    train_texts, train_truth = read(contest.train, schema)
    test_texts, test_truth = read(contest.test, schema)
    set_seed(settings.seed)  # The head is initialised with the model.
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
    model = AutoModelForSequenceClassification.from_pretrained(
        source,
        revision=revision,
        num_labels=len(schema.classes),
        problem_type="multi_label_classification" if schema.multi_label else "single_label_classification",
        dtype=torch.float32,
    )
    limit = _max_tokens(settings, tokenizer, model)
    collator = CountingCollator(tokenizer)
    trainer = Trainer(
        model=model,
        args=_arguments(contest),
        train_dataset=_rows(tokenizer, train_texts, train_truth, schema.multi_label, limit),
        data_collator=collator,
    )
    trainer.train()
    tokens, padded = collator.tokens, collator.padded
    found = trainer.predict(_rows(tokenizer, test_texts, test_truth, schema.multi_label, limit))
    logits = np.asarray(found.predictions, dtype=np.float32)
    predicted = decide(probabilities(logits, schema.multi_label), schema.multi_label, settings.evaluate.threshold)
    seconds = time.perf_counter() - started
    # Grouping by length also permutes the rows of a prediction; the returned labels have the same order.
    labels = np.asarray(found.label_ids)
    truth = labels.astype(np.int8) if schema.multi_label else np.eye(len(schema.classes), dtype=np.int8)[labels]
    if not np.array_equal(truth.sum(axis=0), test_truth.sum(axis=0)):
        raise RuntimeError("expected the prediction to return the labels of the test documents, in any order")
    return outcome(seconds, tokens, padded, predicted, truth, schema)


def _arguments(contest: Contest) -> TrainingArguments:
    settings = contest.settings
    precision = resolved_precision(settings.train.mixed_precision, settings.train.cpu)
    return TrainingArguments(
        output_dir=str(settings.run),
        num_train_epochs=5,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=32,
        seed=settings.seed,
        use_cpu=settings.train.cpu or not torch.accelerator.is_available(),
        bf16=precision is Precision.bf16,
        fp16=precision is Precision.fp16,
        dataloader_pin_memory=torch.cuda.is_available() and not settings.train.cpu,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **ARGUMENTS[contest.contender],
    )


def _max_tokens(settings: TrainRun, tokenizer: Any, model: Any) -> int:
    """The number of tokens that Tagsmith's own contenders read from the head of a document."""
    positions = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    readable = min(positions, tokenizer.model_max_length)
    return int(settings.data.max_tokens or min(settings.model.max_tokens or readable, readable))


def _rows(tokenizer: Any, texts: list[str], truth: Any, multi_label: bool, limit: int) -> Any:
    encoded = tokenizer(texts, truncation=True, max_length=limit)
    # Floats for the binary cross-entropy, ids for the cross-entropy.
    labels = truth.astype(float).tolist() if multi_label else truth.argmax(axis=1).tolist()
    return [{**{name: values[i] for name, values in encoded.items()}, "labels": labels[i]} for i in range(len(texts))]
