"""The service's use of a Classifier: the one module that knows its interface."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tagsmith.classify.classifier import Classifier
from tagsmith.tokens.windows import EncodedDocuments, Ints


@dataclass(frozen=True, slots=True)
class Answer:
    """The bundle's answer about one document.

    Attributes:
        logits, scores: float32 [classes], in the order of the schema.
        chosen: the predicted classes: one (single-label), any number (multi-label).
        confidence: as in `Decisions`.
        to_person: whether a person should decide.
        tokens: number of tokens of the whole document, special tokens included.
        unread: number of tokens that the encoder did not read.
        out_of_scope: distance to the nearest training document, 0 to 2; None: not measured.
        foreign: whether this distance exceeds the limit of the bundle, so that a person should decide.
        set: the classes that are possible, best first; None: not calibrated.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]
    chosen: tuple[str, ...]
    confidence: float
    to_person: bool
    tokens: int
    unread: int
    out_of_scope: float | None = None
    foreign: bool = False
    set: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Documents that go through the encoder in one call.

    Attributes:
        documents: their positions among the texts.
        answers: runs the encoder and returns an answer for each document, in this order. Raises FloatingPointError if
            the graph computes NaN or infinity, which JSON cannot represent.
    """

    documents: list[int]
    answers: Callable[[], list[Answer]]


def calls(classifier: Classifier, texts: Sequence[str]) -> list[Call]:
    """Tokenise the texts and divide them into calls that may run concurrently; each text is in one of them."""
    encoded = classifier.encoded(texts)
    return [
        Call(documents.tolist(), partial(_answers, classifier, encoded, documents))
        for documents in classifier.calls(encoded)
    ]


def _answers(classifier: Classifier, encoded: EncodedDocuments, documents: Ints) -> list[Answer]:
    logits, vectors = classifier.outputs_of_call(encoded, documents)
    if not np.isfinite(logits).all():
        raise FloatingPointError("the logits are not finite numbers")
    rule = classifier.decision.rule
    scores = rule.scores(logits)
    predictions = classifier.predictions(scores, rule.decide(scores, vectors))
    limit = rule.scope.limit if rule.scope is not None else float("inf")
    return [
        Answer(
            logits[i],
            scores[i],
            found.labels,
            found.score,
            found.to_person,
            tokens,
            unread,
            found.out_of_scope,
            found.out_of_scope is not None and found.out_of_scope > limit,
            found.set,
        )
        for i, (found, tokens, unread) in enumerate(
            zip(predictions, encoded.tokens[documents].tolist(), encoded.unread[documents].tolist(), strict=True)
        )
    ]


def tokens_of(classifier: Classifier, text: str) -> int:
    """An estimate of the tokens of a text that go through the encoder, for the queue, which holds untokenised texts."""
    rule = classifier.decision.window_rule
    limit = rule.max_tokens * (rule.max_windows if rule.long_documents == "windows" else 1)
    return min(len(text) // 4 + 2, limit)
