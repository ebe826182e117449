"""Text in, classes and scores out, from a bundle: onnxruntime, tokenizers and numpy, and nothing else."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tagsmith import bundle as layout
from tagsmith import golden
from tagsmith.batches import scoring_batches
from tagsmith.decision_rule import Decisions
from tagsmith.errors import DataError, InputMissing, counted
from tagsmith.schema import Schema
from tagsmith.windows import encode

Floats = NDArray[np.float32]


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


RUNNERS_UP = 3
"""Classes beside the predicted ones that a prediction names."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is decided about a document.

    Attributes:
        label: its class (single-label); None: multi-label.
        labels: its classes; of single-label the one.
        score: how likely the decision is right: the score of the class; multi-label: of all classes together.
        runners_up: the most likely of the other classes with their scores, best first.
        to_person: the decision is too uncertain, or the document belongs to none of the classes: a person decides.
        set: the classes that may be, best first; they hold the right ones as often as was wanted. None: not calibrated.
        out_of_scope: distance to the nearest training document, 0 to 2; None: not measured.
    """

    label: str | None
    labels: tuple[str, ...]
    score: float
    runners_up: tuple[tuple[str, float], ...]
    to_person: bool
    set: tuple[str, ...] | None
    out_of_scope: float | None


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
    def load(
        cls, bundle: str | Path, *, quantized: bool = False, threads: int | None = None, out_of_scope: bool = True
    ) -> "Classifier":
        """Check a bundle against its manifest, load it, and check short ones of its golden answers.

        Args:
            bundle: its folder.
            quantized: take the graph in whole numbers of 8 bits.
            threads: of one call; None: as many as there are cores.
            out_of_scope: whether documents of none of the classes are looked for, where the bundle knows how.

        Raises:
            InputMissing: there is no bundle, or no quantized graph in it.
            DataError: a file of it is changed, missing or foreign, its parts do not fit each other, or it gives other
                answers than when it was exported.
        """
        folder = Path(bundle)
        manifest = layout.check(folder)
        if quantized and layout.QUANTIZED not in manifest["files"]:
            raise InputMissing(f"{folder}: has no {layout.QUANTIZED}; export the run with export.quantize=true.")
        loaded = cls.open_unchecked(folder, quantized=quantized, threads=threads)
        if layout.GOLDEN in manifest["files"]:
            rule = loaded.decision.rule
            golden.check(folder / layout.GOLDEN, loaded.schema, rule, loaded.decide, quantized, thorough=False)
        if not out_of_scope:
            loaded.decision = replace(loaded.decision, rule=replace(loaded.decision.rule, scope=None))
        return loaded

    @classmethod
    def open_unchecked(cls, folder: Path, *, quantized: bool = False, threads: int | None = None) -> "Classifier":
        """Load a bundle without its manifest, as `load` does after the check; arguments as of `load`.

        Raises:
            DataError: its parts cannot be read or do not fit each other.
        """
        schema = Schema.load(folder / layout.SCHEMA)
        decision = layout.Decision.load(folder, schema)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or _cores()
        # Idle threads that spin take the cores from the tokenizer and from everything else on the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = folder / (layout.QUANTIZED if quantized else layout.GRAPH)
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises nothing narrower.
            raise DataError(f"{graph}: expected a graph that onnxruntime loads: {error}") from error
        try:
            tokenizer = Tokenizer.from_file(str(folder / layout.TOKENIZER))
        except Exception as error:  # tokenizers raises nothing narrower.
            raise DataError(f"{folder / layout.TOKENIZER}: expected a tokenizer: {error}") from error
        widths = {output.name: output.shape[-1] for output in session.get_outputs()}
        if widths.get("logits") != len(schema.classes):
            known = counted(len(schema.classes), "class")
            raise DataError(f"{folder}: the schema has {known}, the graph {widths.get('logits')}.")
        made_for = session.get_modelmeta().custom_metadata_map.get(layout.SCHEMA_HASH, schema.hash)
        if made_for != schema.hash:
            raise DataError(f"{folder}: the graph was made for another schema, of the hash {made_for}.")
        if (scope := decision.rule.scope) is not None and widths.get(layout.EMBEDDING) != scope.references.shape[1]:
            raise DataError(f"{folder}: {layout.SCOPE} does not fit the graph, whose outputs are {widths}.")
        return cls(session, tokenizer, schema, decision)

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the columns of `predict_proba`."""
        return list(self.schema.classes)

    def logits(self, texts: Sequence[str], batch_tokens: int = 2048) -> Floats:
        """Logits, float32 [documents, classes], in the order of the texts; arguments and Raises as of `predict`."""
        return self._run(texts, batch_tokens, ["logits"])[0]

    def predict_proba(self, texts: Sequence[str], batch_tokens: int = 2048) -> Floats:
        """Scores from 0 to 1, float32 [documents, classes]: calibrated, where the bundle is; as of `predict`."""
        return self.decision.rule.scores(self.logits(texts, batch_tokens))

    def predict(self, texts: Sequence[str], batch_tokens: int = 2048) -> list[Prediction]:
        """What is decided about each document, in the order of the texts.

        Args:
            texts: documents of any length; how long ones are read is part of the bundle.
            batch_tokens: most that goes through the encoder at once, padding included.

        Raises:
            TypeError: `texts` is one string, or one of them is no string.
        """
        scores, decisions = self.decide(texts, batch_tokens)
        return self.predictions(scores, decisions)

    def decide(self, texts: Sequence[str], batch_tokens: int = 2048) -> tuple[Floats, Decisions]:
        """Scores float32 [documents, classes] and decisions as arrays; arguments and Raises as of `predict`."""
        wanted = ["logits"] if self.decision.rule.scope is None else ["logits", layout.EMBEDDING]
        logits, *vectors = self._run(texts, batch_tokens, wanted)
        scores = self.decision.rule.scores(logits)
        return scores, self.decision.rule.decide(scores, *vectors)

    def predictions(self, scores: Floats, decisions: Decisions) -> list[Prediction]:
        """What `decide` gave, a `Prediction` a document."""
        names, multi_label = self.schema.classes, self.schema.multi_label
        # Predicted classes first, then the others, the best first.
        order = np.argsort(-scores - 2 * decisions.predicted, axis=1, kind="stable")
        sorted_scores = np.take_along_axis(scores, order, axis=1).tolist()
        counts = decisions.predicted.sum(axis=1).tolist()
        shown = order[:, : max(counts, default=0) + RUNNERS_UP].tolist()
        sets = [None] * len(counts) if decisions.sets is None else self._sets(scores, decisions.sets)
        distances = [None] * len(counts) if decisions.distances is None else decisions.distances.tolist()
        found = []
        for i, (row, count) in enumerate(zip(shown, counts, strict=True)):
            labels = tuple(names[j] for j in row[:count])
            others = zip(row[count : count + RUNNERS_UP], sorted_scores[i][count:], strict=False)
            found.append(
                Prediction(
                    label=None if multi_label else labels[0],
                    labels=labels,
                    score=float(decisions.confidence[i]),
                    runners_up=tuple((names[j], score) for j, score in others),
                    to_person=bool(decisions.to_person[i]),
                    set=sets[i],
                    out_of_scope=distances[i],
                )
            )
        return found

    def _sets(self, scores: Floats, sets: NDArray[np.bool_]) -> list[tuple[str, ...]]:
        """The names of the classes in each set, the best first."""
        document, place = np.nonzero(np.take_along_axis(sets, order := np.argsort(-scores, axis=1), axis=1))
        names = [self.schema.classes[j] for j in order[document, place].tolist()]
        ends = np.cumsum(sets.sum(axis=1)).tolist()
        return [tuple(names[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def _run(self, texts: Sequence[str], batch_tokens: int, wanted: list[str]) -> list[Floats]:
        """These outputs of the graph, float32 [documents, n] each: the mean over a document's windows."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("expected a list of strings")
        widths = {output.name: output.shape[-1] for output in self._session.get_outputs()}
        found = [np.empty((len(texts), widths[name]), dtype=np.float32) for name in wanted]
        encoded = encode(self._tokenizer, texts, self.decision.window_rule, self.decision.pad_id)
        for documents in scoring_batches(encoded.lengths, encoded.windows, batch_tokens):
            batch = encoded.batch(documents)
            inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
            first = np.cumsum(batch.windows) - batch.windows
            for values, windows in zip(found, self._session.run(wanted, inputs), strict=True):
                values[documents] = np.add.reduceat(windows, first, axis=0) / batch.windows[:, None]
        return found
