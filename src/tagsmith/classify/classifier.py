"""The Classifier: text in, classes and scores out, with onnxruntime or OpenVINO, tokenizers and numpy alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from tagsmith.classify.bundle import contents as layout
from tagsmith.classify.bundle import golden
from tagsmith.classify.bundle.signature import verify_signature
from tagsmith.classify.engine import AUTO, BF16, CPU, FP32, INT8, OPENVINO, Engine, choose
from tagsmith.classify.prediction import Floats, Prediction, predictions
from tagsmith.classify.session import Graph
from tagsmith.core.errors import DataError, InputMissing, SettingsError, counted
from tagsmith.core.files import digest
from tagsmith.core.schema import Schema
from tagsmith.decision.rule import Decisions
from tagsmith.rows.fields import text_of
from tagsmith.tokens.batches import scoring_batches
from tagsmith.tokens.truncation import ids_as_read
from tagsmith.tokens.windows import EncodedDocuments, Ints, ToIds, encode, special_tokens, without_limits


class Classifier:
    """A loaded bundle; `Classifier.load(folder)` returns one.

    Several threads may share it. A pickled Classifier holds only the folder of the bundle and the arguments of `load`.
    """

    def __init__(self, graph: Graph, tokenizer: Tokenizer, schema: Schema, decision: layout.Decision):
        self.schema = schema
        self.decision = decision
        self._graph = graph
        # Once: a later change would affect concurrent calls in other threads.
        self._tokenizer = without_limits(tokenizer)
        self._special, self._to_ids = special_tokens(tokenizer), ids_as_read(tokenizer, decision.window_rule)
        self._widths = graph.widths
        self._loaded: tuple[Path, str, dict[str, Any]] | None = None
        self.text_fields: Sequence[str] = ("text",)
        """The fields of a record whose texts, joined by a line end, are what the model was trained on."""

    @classmethod
    def load(
        cls,
        bundle: str | Path,
        *,
        quantized: bool = False,
        threads: int | None = None,
        out_of_scope: bool = True,
        providers: Sequence[str] | None = None,
        public_key: str | Path | None = None,
        engine: str = AUTO,
        precision: str = AUTO,
    ) -> "Classifier":
        """Check a bundle against its manifest, load it, and check the short inputs among its golden answers.

        Args:
            bundle: the folder.
            quantized: use the graph in 8-bit integers.
            threads: number of threads to compute with; None: one per core.
            out_of_scope: whether to detect documents that belong to none of the classes, if the bundle supports it.
            providers: execution providers of onnxruntime in order of preference: ["CUDAExecutionProvider"] with
                onnxruntime-gpu instead of onnxruntime. The CPU computes what they cannot. None: the CPU.
            public_key: PEM file of the key with which the bundle must be signed; needs the extra `sign`. None: do not
                check the signature.
            engine: onnxruntime; openvino, which needs the extra `openvino`; auto: the fastest that decides the same,
                see `engine.choose`.
            precision: bf16, on processors that have it and with a certificate in the bundle; fp32; auto: fp32, or bf16
                where engine=auto may take it.

        Raises:
            InputMissing: there is no bundle, no quantized graph in it, no certificate of bf16, or no key.
            DataError: a file is changed, missing or not in the manifest, the signature is not valid, the parts of the
                bundle do not match, or its answers differ from those at export.
            SettingsError: onnxruntime lacks a provider, or a provider, the engine, the precision or the key cannot be
                used on this machine.
        """
        folder = Path(bundle)
        manifest = layout.check(folder)
        if public_key is not None:
            verify_signature(folder, Path(public_key))
        if quantized and layout.QUANTIZED not in manifest["files"]:
            raise InputMissing(f"{folder}: there is no {layout.QUANTIZED}; export the run with export.quantize=true.")
        if quantized or providers:
            if engine == OPENVINO or precision != AUTO:
                raise SettingsError("engine, precision: cannot be chosen for the quantized graph, or with providers.")
            chosen = Engine(precision=INT8 if quantized else FP32)
        else:
            chosen = choose(engine, precision, manifest.get("parity", {}))
        loaded = cls.open_unchecked(folder, quantized=quantized, threads=threads, providers=providers, engine=chosen)
        loaded.text_fields = tuple(manifest.get("text_fields", loaded.text_fields))
        if layout.GOLDEN in manifest["files"]:
            rule = loaded.decision.rule
            # GPUs multiply with reduced precision (TF32).
            bf16 = golden.BF16_TOLERANCE if chosen.precision == BF16 else None
            tolerance = golden.TOLERANCE[True] if providers else bf16
            path = folder / layout.GOLDEN
            golden.check(path, loaded.schema, rule, loaded.decide, quantized, thorough=False, tolerance=tolerance)
        if not out_of_scope:
            loaded.decision = replace(loaded.decision, rule=replace(loaded.decision.rule, scope=None))
        arguments = {"quantized": quantized, "threads": threads, "out_of_scope": out_of_scope, "providers": providers}
        arguments |= {"engine": engine, "precision": precision}
        loaded._loaded = (folder.resolve(), digest(folder / layout.MANIFEST), arguments)
        return loaded

    @classmethod
    def open_unchecked(
        cls,
        folder: Path,
        *,
        quantized: bool = False,
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        engine: Engine | None = None,
    ) -> "Classifier":
        """Load a bundle without checking its manifest; arguments as for `load`, but `engine` is what computes.

        Raises:
            DataError: its parts cannot be read or do not match.
        """
        schema = Schema.load(folder / layout.SCHEMA)
        decision = layout.Decision.load(folder, schema)
        graph = Graph(folder / (layout.QUANTIZED if quantized else layout.GRAPH), threads, providers or [CPU], engine)
        try:
            tokenizer = Tokenizer.from_file(str(folder / layout.TOKENIZER))
        except Exception as error:  # tokenizers raises nothing narrower.
            raise DataError(f"{folder / layout.TOKENIZER}: expected a tokenizer: {error}") from error
        found = cls(graph, tokenizer, schema, decision)
        widths = found._widths
        if widths.get("logits") != len(schema.classes):
            known = counted(len(schema.classes), "class")
            raise DataError(f"{folder}: the schema has {known}, but the graph {widths.get('logits')}.")
        made_for = graph.metadata.get(layout.SCHEMA_HASH, schema.hash)
        if made_for != schema.hash:
            raise DataError(f"{folder}: the graph was exported for another schema, with the hash {made_for}.")
        if (scope := decision.rule.scope) is not None and widths.get(layout.EMBEDDING) != scope.references.shape[1]:
            raise DataError(f"{folder}: {layout.SCOPE} does not match the outputs of the graph, {widths}.")
        return found

    @property
    def engine(self) -> Engine:
        """What computes the graph in this process, in which precision, and why."""
        return self._graph.engine

    @property
    def bundle_sha256(self) -> str | None:
        """SHA-256 of the manifest, which identifies the bundle. None: the Classifier is not from `load`."""
        return None if self._loaded is None else self._loaded[1]

    def text_of(self, record: Mapping[str, Any]) -> str:
        """The text of a record with the fields that the training data had, such as subject and body.

        Raises:
            ValueError: a field is missing, or is not text.
        """
        text = text_of(record, self.text_fields)
        if not isinstance(text, str):
            raise ValueError(
                f"expected text in {', '.join(self.text_fields)}, found {', '.join(record) or 'no fields'}"
            )
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        if self._loaded is None:
            raise TypeError("only a Classifier from Classifier.load can be pickled")
        return _unpickle, (type(self), *self._loaded)

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the columns of `predict_proba`."""
        return list(self.schema.classes)

    def logits(self, texts: Sequence[str], batch_tokens: int | None = None) -> Floats:
        """Logits, float32 [documents, classes], in the order of the texts; arguments and Raises as for `predict`."""
        return self._run(self._encoded_as_read(texts), batch_tokens, ["logits"])[0]

    def predict_proba(self, texts: Sequence[str], batch_tokens: int | None = None) -> Floats:
        """Scores from 0 to 1, float32 [documents, classes], calibrated if the bundle is; as for `predict`."""
        return self.decision.rule.scores(self.logits(texts, batch_tokens))

    def predict(self, texts: Sequence[str], batch_tokens: int | None = None) -> list[Prediction]:
        """The prediction for each document, in the order of the texts.

        Args:
            texts: documents of any length; the bundle determines how long documents are read.
            batch_tokens: limit on the tokens in one call of the encoder, padding included; None: a number that is fast
                on this machine.

        Raises:
            TypeError: `texts` is one string, or one of them is not a string.
        """
        scores, decisions = self.decide(texts, batch_tokens)
        return self.predictions(scores, decisions)

    def classify_stream(
        self, texts: Iterable[str], *, batch_tokens: int | None = None, window: int = 1024
    ) -> Iterator[Prediction]:
        """`predict` for a stream of documents, in their order; `window` of them are in memory, sorted by length.

        The first prediction of a window is returned after all of it is read; a smaller window has less latency and more
        padding.
        """
        if isinstance(texts, str):
            raise TypeError("expected an iterable of strings, found one string")
        if window < 1:
            raise ValueError(f"window: expected at least 1, found {window}")
        rest = iter(texts)
        chunks = iter(lambda: list(islice(rest, window)), [])
        return (found for chunk in chunks for found in self.predict(chunk, batch_tokens))

    def decide(self, texts: Sequence[str], batch_tokens: int | None = None) -> tuple[Floats, Decisions]:
        """Scores float32 [documents, classes] and decisions as arrays; arguments and Raises as for `predict`."""
        return self.decide_encoded(self._encoded_as_read(texts), batch_tokens)

    def encoded(self, texts: Sequence[str]) -> EncodedDocuments:
        """The texts as the encoder reads them, with the numbers of their tokens and of those that are not read.

        Raises:
            TypeError: as for `predict`.
        """
        return self._encode(texts)

    @property
    def calls_at_once(self) -> int:
        """How many concurrent calls of `outputs_of_call` keep this machine busy."""
        return self._graph.at_once

    def calls(self, encoded: EncodedDocuments, batch_tokens: int | None = None) -> list[Ints]:
        """The documents (positions) of each call of the encoder, longest first."""
        budget = batch_tokens or self._graph.tokens_per_call(int(encoded.window_lengths.sum()))
        return scoring_batches(encoded.lengths, encoded.windows, budget)

    def outputs_of_call(self, encoded: EncodedDocuments, documents: Ints) -> tuple[Floats, Floats | None]:
        """Logits [n, classes] and the encoder's vectors [n, hidden] of n documents (positions), float32, in one call.

        Waits until a thread is free. The vectors are None if out-of-scope documents are not detected.
        """
        with self._graph.slots():
            logits, *vectors = self._call(encoded, documents, self._output_names())
        return logits, next(iter(vectors), None)

    def decide_encoded(self, encoded: EncodedDocuments, batch_tokens: int | None = None) -> tuple[Floats, Decisions]:
        """`decide` for documents from `encoded`."""
        logits, *vectors = self._run(encoded, batch_tokens, self._output_names())
        scores = self.decision.rule.scores(logits)
        return scores, self.decision.rule.decide(scores, next(iter(vectors), None))

    def predictions(self, scores: Floats, decisions: Decisions) -> list[Prediction]:
        """A `Prediction` for each document, from the results of `decide`."""
        return predictions(self.schema, scores, decisions)

    def _encoded_as_read(self, texts: Sequence[str]) -> EncodedDocuments:
        """As `encoded`, but not all tokens that are not read are counted, which is faster."""
        return self._encode(texts, self._to_ids)

    def _encode(self, texts: Sequence[str], to_ids: ToIds | None = None) -> EncodedDocuments:
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("expected a list of strings")
        rule, pad_id = self.decision.window_rule, self.decision.pad_id
        return encode(self._tokenizer, texts, rule, pad_id, to_ids, self._special)

    def _output_names(self) -> list[str]:
        return ["logits"] if self.decision.rule.scope is None else ["logits", layout.EMBEDDING]

    def _run(self, encoded: EncodedDocuments, batch_tokens: int | None, names: list[str]) -> list[Floats]:
        """The outputs of the graph with these names, float32 [documents, n] each."""
        found = [np.empty((len(encoded), self._widths[name]), dtype=np.float32) for name in names]

        def call(documents: Ints) -> None:
            for values, part in zip(found, self._call(encoded, documents, names), strict=True):
                values[documents] = part

        self._graph.run_all(call, self.calls(encoded, batch_tokens))
        return found

    def _call(self, encoded: EncodedDocuments, documents: Ints, names: list[str]) -> list[Floats]:
        """These outputs for some documents, in one call; each is the mean over the windows of a document."""
        batch = encoded.batch(documents)
        inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
        first = np.cumsum(batch.windows) - batch.windows
        counts = batch.windows[:, None].astype(np.float32)
        outputs = self._graph.run(names, inputs)
        return [np.divide(np.add.reduceat(part, first, axis=0), counts, dtype=np.float32) for part in outputs]


def _unpickle(kind: type[Classifier], folder: Path, manifest_sha256: str, arguments: dict[str, Any]) -> Classifier:
    """Load a pickled Classifier again. The signature is not checked again: the manifest is the one that was signed.

    Raises:
        DataError: the folder now holds another bundle; and the exceptions of `Classifier.load`.
    """
    found = kind.load(folder, **arguments)
    if found.bundle_sha256 != manifest_sha256:
        raise DataError(f"{folder}: holds a different bundle than when the Classifier was pickled.")
    return found
