"""Text in, classes and scores out, from a bundle: onnxruntime, tokenizers and numpy, and nothing else."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tagsmith import bundle as layout
from tagsmith.batches import scoring_batches
from tagsmith.errors import DataError, counted
from tagsmith.schema import Schema
from tagsmith.windows import EncodedDocuments, encode

Floats = NDArray[np.float32]


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Classifier:
    """A loaded bundle; `Classifier.load(folder)` makes one."""

    def __init__(
        self, session: onnxruntime.InferenceSession, tokenizer: Tokenizer, schema: Schema, decision: layout.Decision
    ):
        self.schema = schema
        self.decision = decision
        self._session = session
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, bundle: str | Path, *, threads: int | None = None) -> "Classifier":
        """Check a bundle against its manifest and load it.

        Args:
            bundle: its folder.
            threads: of one call; None: as many as there are cores.

        Raises:
            InputMissing: there is no bundle.
            DataError: a file of it is changed, missing or foreign, or its parts do not fit each other.
        """
        folder = Path(bundle)
        layout.check(folder)
        schema = Schema.load(folder / layout.SCHEMA)
        decision = layout.Decision.load(folder / layout.DECISION, schema)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or _cores()
        # Idle threads that spin take the cores from the tokenizer and from everything else on the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(folder / layout.GRAPH, options, providers=["CPUExecutionProvider"])
        width = session.get_outputs()[0].shape[-1]
        if width != len(schema.classes):
            raise DataError(f"{folder}: the schema has {counted(len(schema.classes), 'class')}, the graph {width}.")
        return cls(session, Tokenizer.from_file(str(folder / layout.TOKENIZER)), schema, decision)

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the columns of `predict_proba`."""
        return list(self.schema.classes)

    def logits(self, texts: Sequence[str], batch_tokens: int = 2048) -> Floats:
        """Logits, float32 [documents, classes], in the order of the texts.

        Args:
            texts: documents of any length; how long ones are read is part of the bundle.
            batch_tokens: most that goes through the encoder at once, padding included.

        Raises:
            TypeError: `texts` is one string, or one of them is no string.
        """
        return self.logits_of(self.encoded(texts), batch_tokens)

    def encoded(self, texts: Sequence[str]) -> EncodedDocuments:
        """The texts as the encoder reads them, with how many tokens they have and how many are not read.

        Raises:
            TypeError: `texts` is one string, or one of them is no string.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("expected a list of strings")
        return encode(self._tokenizer, texts, self.decision.window_rule, self.decision.pad_id)

    def logits_of(self, encoded: EncodedDocuments, batch_tokens: int = 2048) -> Floats:
        """Logits, float32 [documents, classes], of what `encoded` gave; see `logits`."""
        logits = np.empty((len(encoded), len(self.schema.classes)), dtype=np.float32)
        for documents in scoring_batches(encoded.lengths, encoded.windows, batch_tokens):
            batch = encoded.batch(documents)
            inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
            (windows,) = self._session.run(["logits"], inputs)
            first = np.cumsum(batch.windows) - batch.windows
            logits[documents] = np.add.reduceat(windows, first, axis=0) / batch.windows[:, None]
        return logits

    def predict_proba(self, texts: Sequence[str], batch_tokens: int = 2048) -> Floats:
        """Scores from 0 to 1, float32 [documents, classes]: softmax (single-label) or sigmoid (multi-label)."""
        return self.scores(self.logits(texts, batch_tokens))

    def predict(self, texts: Sequence[str], batch_tokens: int = 2048) -> list[str] | list[list[str]]:
        """The class of each document (single-label), or the list of its classes (multi-label)."""
        return self.decide(self.predict_proba(texts, batch_tokens))

    def scores(self, logits: Floats) -> Floats:
        """Scores float32 [documents, classes] of logits of that shape."""
        if self.schema.multi_label:
            # exp of a negative number alone: it cannot overflow.
            small = np.exp(-np.abs(logits))
            return np.asarray(np.where(logits >= 0, 1 / (1 + small), small / (1 + small)), dtype=np.float32)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)

    def decide(self, scores: Floats) -> list[str] | list[list[str]]:
        """Classes of scores [documents, classes]; see `predict`."""
        names = self.schema.classes
        if self.schema.multi_label:
            above = scores >= np.asarray(self.decision.thresholds, dtype=np.float32)
            return [[names[i] for i in np.flatnonzero(row)] for row in above]
        return [names[i] for i in scores.argmax(axis=1)]
