"""What the service takes from a Classifier: the one place that knows how it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagsmith.classify.classifier import Classifier


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


def answers(classifier: Classifier, texts: Sequence[str]) -> list[Answer]:
    """One answer a text, in their order.

    Raises:
        FloatingPointError: the graph gives something else than numbers, which JSON cannot say.
    """
    encoded = classifier.encoded(texts)
    logits, vectors = classifier.outputs(encoded)
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
            int(encoded.tokens[i]),
            int(encoded.unread[i]),
            found.out_of_scope,
            found.out_of_scope is not None and found.out_of_scope > limit,
            found.set,
        )
        for i, found in enumerate(predictions)
    ]


def tokens_of(classifier: Classifier, text: str) -> int:
    """About how many tokens of the text go through the encoder: what a queue may know before it is tokenised."""
    rule = classifier.decision.window_rule
    most = rule.max_tokens * (rule.max_windows if rule.long_documents == "windows" else 1)
    return min(len(text) // 4 + 2, most)
