"""What the service takes from a Classifier: the one place that knows how it is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tagsmith.classify.classifier import Classifier
from tagsmith.tokens.windows import EncodedDocuments, Ints


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bundle says of one document.

    Attributes:
        logits, scores: float32 [classes], in the order of the schema.
        chosen: the classes decided for: one (single-label), any number (multi-label).
        to_person: whether the bundle would rather have a person decide.
        tokens: of the whole document, special tokens included.
        unread: tokens that the encoder has not seen.
        out_of_scope: distance to the nearest training document, 0 to 2; None: not measured.
        foreign: whether that is beyond what documents of the classes have, so that a person decides.
        set: the classes that may be, best first; None: not calibrated.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]
    chosen: tuple[str, ...]
    to_person: bool
    tokens: int
    unread: int
    out_of_scope: float | None = None
    foreign: bool = False
    set: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Documents that go through the encoder together.

    Attributes:
        documents: their positions.
        answers: runs the encoder; gives one answer a document, in this order. Raises FloatingPointError where the
            graph gives something else than numbers, which JSON cannot say.
    """

    documents: list[int]
    answers: Callable[[], list[Answer]]


def calls(classifier: Classifier, texts: Sequence[str]) -> list[Call]:
    """The texts, tokenised, as calls that may run beside each other; each text is in one of them."""
    encoded = classifier.encoded(texts)
    return [
        Call(documents.tolist(), partial(_answers, classifier, encoded, documents))
        for documents in classifier.calls(encoded)
    ]


def _answers(classifier: Classifier, encoded: EncodedDocuments, documents: Ints) -> list[Answer]:
    logits, vectors = classifier.outputs_of_call(encoded, documents)
    if not np.isfinite(logits).all():
        raise FloatingPointError("logits that are no numbers")
    rule = classifier.decision.rule
    scores = rule.scores(logits)
    predictions = classifier.predictions(scores, rule.decide(scores, vectors))
    limit = rule.scope.limit if rule.scope is not None else float("inf")
    return [
        Answer(
            logits[i],
            scores[i],
            found.labels,
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
    """About how many tokens of the text go through the encoder: what a queue may know before it is tokenised."""
    rule = classifier.decision.window_rule
    most = rule.max_tokens * (rule.max_windows if rule.long_documents == "windows" else 1)
    return min(len(text) // 4 + 2, most)
