"""Text in, classes and scores out, from a bundle: onnxruntime, tokenizers and numpy, and nothing else."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from tagsmith.classify.bundle import contents as layout
from tagsmith.classify.bundle import golden
from tagsmith.classify.bundle.signature import verify_signature
from tagsmith.classify.prediction import Floats, Prediction, predictions
from tagsmith.classify.session import CPU, Graph
from tagsmith.core.errors import DataError, InputMissing, counted
from tagsmith.core.files import digest
from tagsmith.core.schema import Schema
from tagsmith.decision.rule import Decisions
from tagsmith.tokens.batches import scoring_batches
from tagsmith.tokens.truncation import ids_as_read
from tagsmith.tokens.windows import EncodedDocuments, Ints, encode, without_limits


class Classifier:
    """A loaded bundle; `Classifier.load(folder)` makes one.

    Several threads may share it. Pickled, for processes or other machines, it is its folder and how it was loaded.
    """

    def __init__(self, graph: Graph, tokenizer: Tokenizer, schema: Schema, decision: layout.Decision):
        self.schema = schema
        self.decision = decision
        self._graph = graph
        # Now, and never again: a change would meet the calls of other threads.
        self._tokenizer = without_limits(tokenizer)
        self._to_ids = ids_as_read(tokenizer, decision.window_rule)
        self._widths = {output.name: output.shape[-1] for output in graph.session.get_outputs()}
        self._loaded: tuple[Any, ...] | None = None

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
    ) -> "Classifier":
        """Check a bundle against its manifest, load it, and check short ones of its golden answers.

        Args:
            bundle: its folder.
            quantized: take the graph in whole numbers of 8 bits.
            threads: to compute with; None: one a core.
            out_of_scope: whether documents of none of the classes are looked for, where the bundle knows how.
            providers: what onnxruntime computes on, the first first: ["CUDAExecutionProvider"] with onnxruntime-gpu in
                the place of onnxruntime; what that cannot compute, the CPU does. None: the CPU.
            public_key: whose signature the bundle must bear, in PEM; needs the extra `sign`. None: nobody's.

        Raises:
            InputMissing: there is no bundle, no quantized graph in it, or no key.
            DataError: a file of it is changed, missing or foreign, its signature does not hold, its parts do not fit
                each other, or it gives other answers than when it was exported.
            SettingsError: onnxruntime has no such provider, or it or the key cannot be used on this machine.
        """
        folder = Path(bundle)
        manifest = layout.check(folder)
        if public_key is not None:
            verify_signature(folder, Path(public_key))
        if quantized and layout.QUANTIZED not in manifest["files"]:
            raise InputMissing(f"{folder}: has no {layout.QUANTIZED}; export the run with export.quantize=true.")
        loaded = cls.open_unchecked(folder, quantized=quantized, threads=threads, providers=providers)
        if layout.GOLDEN in manifest["files"]:
            rule = loaded.decision.rule
            # A GPU multiplies with fewer digits (TF32).
            tolerance = golden.TOLERANCE[True] if providers else None
            path = folder / layout.GOLDEN
            golden.check(path, loaded.schema, rule, loaded.decide, quantized, thorough=False, tolerance=tolerance)
        if not out_of_scope:
            loaded.decision = replace(loaded.decision, rule=replace(loaded.decision.rule, scope=None))
        digest_of_manifest = digest(folder / layout.MANIFEST)
        settings = (quantized, threads, out_of_scope, tuple(providers or [CPU]))
        loaded._loaded = (folder.resolve(), digest_of_manifest, *settings)
        return loaded

    @classmethod
    def open_unchecked(
        cls, folder: Path, *, quantized: bool = False, threads: int | None = None,
        providers: Sequence[str] | None = None,
    ) -> "Classifier":  # fmt: skip
        """Load a bundle without its manifest, as `load` does after the check; arguments as of `load`.

        Raises:
            DataError: its parts cannot be read or do not fit each other.
        """
        schema = Schema.load(folder / layout.SCHEMA)
        decision = layout.Decision.load(folder, schema)
        graph = Graph(folder / (layout.QUANTIZED if quantized else layout.GRAPH), threads, providers or [CPU])
        try:
            tokenizer = Tokenizer.from_file(str(folder / layout.TOKENIZER))
        except Exception as error:  # tokenizers raises nothing narrower.
            raise DataError(f"{folder / layout.TOKENIZER}: expected a tokenizer: {error}") from error
        found = cls(graph, tokenizer, schema, decision)
        widths = found._widths
        if widths.get("logits") != len(schema.classes):
            known = counted(len(schema.classes), "class")
            raise DataError(f"{folder}: the schema has {known}, the graph {widths.get('logits')}.")
        made_for = graph.session.get_modelmeta().custom_metadata_map.get(layout.SCHEMA_HASH, schema.hash)
        if made_for != schema.hash:
            raise DataError(f"{folder}: the graph was made for another schema, of the hash {made_for}.")
        if (scope := decision.rule.scope) is not None and widths.get(layout.EMBEDDING) != scope.references.shape[1]:
            raise DataError(f"{folder}: {layout.SCOPE} does not fit the graph, whose outputs are {widths}.")
        return found

    @property
    def bundle_sha256(self) -> str | None:
        """SHA-256 of the manifest, which holds those of all files: what tells bundles apart. None: not from `load`."""
        return None if self._loaded is None else str(self._loaded[1])

    def __reduce__(self) -> tuple[Any, ...]:
        if self._loaded is None:
            raise TypeError("a Classifier that was not made by Classifier.load cannot be pickled")
        return _load_again, (type(self), *self._loaded)

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the columns of `predict_proba`."""
        return list(self.schema.classes)

    def logits(self, texts: Sequence[str], batch_tokens: int | None = None) -> Floats:
        """Logits, float32 [documents, classes], in the order of the texts; arguments and Raises as of `predict`."""
        return self._run(self._as_read(texts), batch_tokens, ["logits"])[0]

    def predict_proba(self, texts: Sequence[str], batch_tokens: int | None = None) -> Floats:
        """Scores from 0 to 1, float32 [documents, classes]: calibrated, where the bundle is; as of `predict`."""
        return self.decision.rule.scores(self.logits(texts, batch_tokens))

    def predict(self, texts: Sequence[str], batch_tokens: int | None = None) -> list[Prediction]:
        """What is decided about each document, in the order of the texts.

        Args:
            texts: documents of any length; how long ones are read is part of the bundle.
            batch_tokens: most in one call of the encoder, padding included; None: what is fast on this machine.

        Raises:
            TypeError: `texts` is one string, or one of them is no string.
        """
        scores, decisions = self.decide(texts, batch_tokens)
        return self.predictions(scores, decisions)

    def classify_stream(
        self, texts: Iterable[str], *, batch_tokens: int | None = None, window: int = 1024
    ) -> Iterator[Prediction]:
        """`predict` over documents without end, in their order: `window` of them are in memory, sorted by length.

        The first prediction of a window comes when all of it is read; a smaller one answers sooner and pads more.
        """
        if isinstance(texts, str):
            raise TypeError("expected strings, found one string")
        if window < 1:
            raise ValueError(f"window: expected at least 1, found {window}")
        rest = iter(texts)
        chunks = iter(lambda: list(islice(rest, window)), [])
        return (found for chunk in chunks for found in self.predict(chunk, batch_tokens))

    def decide(self, texts: Sequence[str], batch_tokens: int | None = None) -> tuple[Floats, Decisions]:
        """Scores float32 [documents, classes] and decisions as arrays; arguments and Raises as of `predict`."""
        return self.decide_encoded(self._as_read(texts), batch_tokens)

    def encoded(self, texts: Sequence[str]) -> EncodedDocuments:
        """The texts as the encoder reads them, and how many tokens they have and how many of these are not read.

        Raises:
            TypeError: as of `predict`.
        """
        _check_strings(texts)
        return encode(self._tokenizer, texts, self.decision.window_rule, self.decision.pad_id)

    @property
    def calls_at_once(self) -> int:
        """How many threads keep this machine busy with `outputs_of_call`."""
        return self._graph.at_once

    def calls(self, encoded: EncodedDocuments, batch_tokens: int | None = None) -> list[Ints]:
        """Which documents (positions) go through the encoder in one call each, the longest first."""
        return scoring_batches(encoded.lengths, encoded.windows, batch_tokens or self._graph.call_tokens)

    def outputs_of_call(self, encoded: EncodedDocuments, documents: Ints) -> tuple[Floats, Floats | None]:
        """Logits [n, classes] and the encoder's vectors [n, hidden] of n documents (positions), float32, by one call.

        It waits until a thread is free. None for the vectors where documents of none of the classes are not looked for.
        """
        with self._graph.room():
            logits, *vectors = self._call(encoded, documents, self._wanted())
        return logits, next(iter(vectors), None)

    def decide_encoded(self, encoded: EncodedDocuments, batch_tokens: int | None = None) -> tuple[Floats, Decisions]:
        """`decide`, of what `encoded` gave."""
        logits, *vectors = self._run(encoded, batch_tokens, self._wanted())
        scores = self.decision.rule.scores(logits)
        return scores, self.decision.rule.decide(scores, next(iter(vectors), None))

    def predictions(self, scores: Floats, decisions: Decisions) -> list[Prediction]:
        """What `decide` gave, a `Prediction` a document."""
        return predictions(self.schema, scores, decisions)

    def _as_read(self, texts: Sequence[str]) -> EncodedDocuments:
        """As `encoded`, but that tokens which are not read are not all counted."""
        _check_strings(texts)
        return encode(self._tokenizer, texts, self.decision.window_rule, self.decision.pad_id, self._to_ids)

    def _wanted(self) -> list[str]:
        return ["logits"] if self.decision.rule.scope is None else ["logits", layout.EMBEDDING]

    def _run(self, encoded: EncodedDocuments, batch_tokens: int | None, wanted: list[str]) -> list[Floats]:
        """These outputs of the graph, float32 [documents, n] each."""
        found = [np.empty((len(encoded), self._widths[name]), dtype=np.float32) for name in wanted]

        def call(documents: Ints) -> None:
            for values, part in zip(found, self._call(encoded, documents, wanted), strict=True):
                values[documents] = part

        self._graph.each(call, self.calls(encoded, batch_tokens))
        return found

    def _call(self, encoded: EncodedDocuments, documents: Ints, wanted: list[str]) -> list[Floats]:
        """The same of some documents, by one call: the mean over a document's windows."""
        batch = encoded.batch(documents)
        inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention_mask}
        first = np.cumsum(batch.windows) - batch.windows
        counts = batch.windows[:, None].astype(np.float32)
        outputs: list[Floats] = self._graph.session.run(wanted, inputs)
        return [np.divide(np.add.reduceat(part, first, axis=0), counts, dtype=np.float32) for part in outputs]


def _check_strings(texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError("expected a list of strings")


def _load_again(
    kind: type[Classifier], folder: Path, manifest: str, quantized: bool, threads: int | None, out_of_scope: bool,
    providers: tuple[str, ...],
) -> Classifier:  # fmt: skip
    """What a pickled Classifier becomes; the digest of a manifest that was signed stands for the signature.

    Raises:
        DataError: the folder holds another bundle by now; and what `Classifier.load` raises.
    """
    found = kind.load(folder, quantized=quantized, threads=threads, out_of_scope=out_of_scope, providers=providers)
    if found.bundle_sha256 != manifest:
        raise DataError(f"{folder}: holds another bundle than when the Classifier was pickled.")
    return found
