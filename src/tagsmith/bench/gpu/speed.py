"""Training tokens per second of Tagsmith and of `transformers.Trainer`, and what they use of the GPU."""

import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from tagsmith.bench.gpu.made import CLASSES
from tagsmith.config.settings import TrainRun
from tagsmith.tokens.batches import training_batches
from tagsmith.train.train_run import train

WARM_UP = 5
"""Steps, or lines of figures, that are not timed."""


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """Fill in, at the end, the peak memory in MiB, and the share of the time in which the GPU computed."""
    found: dict[str, Any] = {"utilisation": None, "peak_mib": None}
    if not torch.cuda.is_available():
        yield found
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    shares: list[float] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.1):
            try:
                shares.append(torch.cuda.utilization() / 100)
            except (ModuleNotFoundError, RuntimeError, OSError):
                return  # Without nvidia-ml-py, torch cannot ask.

    sampling = threading.Thread(target=sample, daemon=True)
    sampling.start()
    try:
        yield found
    finally:
        done.set()
        sampling.join()
        found["peak_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
        found["utilisation"] = round(statistics.median(shares), 2) if shares else None


def tagsmith_speed(settings: TrainRun) -> dict[str, Any]:
    """Figures of a training by Tagsmith, which logs a line of figures each step."""
    with watched() as found:
        run, _ = train(settings)
    lines = [line for line in map(json.loads, run.metrics.open(encoding="utf-8")) if "tokens_per_second" in line]
    timed = lines[WARM_UP:] or lines
    seconds = sum(line["tokens"] / line["tokens_per_second"] for line in timed)
    return found | _speed(sum(line["tokens"] for line in timed), seconds, len(timed))


def _speed(tokens: int, seconds: float, steps: int) -> dict[str, Any]:
    return {"tokens_per_second": round(tokens / seconds), "tokens_per_step": round(tokens / steps)}


class _Clock(TrainerCallback):
    """Time and tokens after each step of a Trainer."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, int]] = []

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **about: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.steps.append((time.perf_counter(), state.num_input_tokens_seen))


def trainer_speed(
    encoder: Path, documents: Path, folder: Path, steps: int, tokens: int, batch_tokens: int, cpu: bool
) -> dict[str, Any]:
    """Figures of `transformers.Trainer`: bf16 on a GPU, dynamic padding, batches of similar length.

    Args:
        tokens: of the longest document.
        batch_tokens: of a batch of Tagsmith; each batch here has the mean number of documents of those.
    """
    rows = [json.loads(line) for line in documents.open(encoding="utf-8")]
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=tokens)
    lengths = np.asarray([len(ids) for ids in encoded["input_ids"]])
    batches = training_batches(lengths, np.ones_like(lengths), batch_tokens, seed=0, epoch=0)
    names = sorted({row["label"] for row in rows})
    data = [
        {**{name: values[i] for name, values in encoded.items()}, "labels": names.index(row["label"])}
        for i, row in enumerate(rows)
    ]
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=CLASSES, dtype=torch.float32)
    clock = _Clock()
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=round(len(rows) / len(batches)),
        use_cpu=cpu,
        bf16=not cpu,
        dataloader_pin_memory=not cpu,
        train_sampling_strategy="group_by_length",
        include_num_input_tokens_seen="non_padding",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer, callbacks=[clock])
    with watched() as found:
        trainer.train()
    start = min(WARM_UP, len(clock.steps) - 2)
    (before, first), (after, last) = clock.steps[start], clock.steps[-1]
    return found | _speed(last - first, after - before, len(clock.steps) - 1 - start)


def words(found: dict[str, Any]) -> str:
    """The figures of a training in words."""
    text = f"{found['tokens_per_second']:,} tokens/s in steps of {found['tokens_per_step']:,}"
    if found["peak_mib"] is not None:
        busy = "unknown (needs nvidia-ml-py)" if found["utilisation"] is None else f"{found['utilisation']:.0%}"
        text += f", {found['peak_mib']:,} MiB, utilisation {busy}"
    return text
