"""Which words of a document weigh most: the drop of a class's score without them (occlusion).

Li, Monroe and Jurafsky, Understanding Neural Networks through Representation Erasure, arXiv 1612.08220.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tagsmith.tokens.windows import EncodedDocuments, without_limits

Floats = NDArray[np.float32]

MOST_SHOWN = 8
"""Most words of a document that are reported."""

LEAST_WEIGHT = 0.0005
"""Drop of a score below which a word is not reported."""


@dataclass(frozen=True)
class Question:
    """Which words of a document speak for a class?

    Attributes:
        text: of the document.
        label: id of the class.
    """

    text: str
    label: int


def mistakes(truth: NDArray[np.int8], predicted: NDArray[np.int8], scores: Floats) -> list[tuple[int, int]]:
    """Positions of wrong documents, each with one wrong class, the most confident mistakes first.

    Of several wrongly predicted classes, the one with the highest score. Documents that only miss classes come last,
    each with the missed class that has the lowest score.
    """
    invented = np.where((predicted == 1) & (truth == 0), scores, -1.0)
    missed = np.where((predicted == 0) & (truth == 1), 1 - scores, -1.0)
    found = []
    for i in np.flatnonzero((truth != predicted).any(axis=1)):
        table = invented if invented[i].max() >= 0 else missed
        found.append((table is missed, -float(table[i].max()), int(i), int(table[i].argmax())))
    return [(i, label) for _, _, i, label in sorted(found)]


def words(tokenizer: Tokenizer, text: str, most: int) -> list[tuple[int, int]]:
    """The words of a text as (start, end) of its characters; beyond `most` words, neighbours form one part.

    The tokenizer defines a word, so this works for scripts without spaces too.
    """
    encoding = without_limits(tokenizer).encode(text, add_special_tokens=False)
    spans: dict[Any, tuple[int, int]] = {}
    for i, (word, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
        key = word if word is not None else ("token", i)
        before = spans.get(key, (start, end))
        spans[key] = (min(before[0], start), max(before[1], end))
    bare = [(start, end) for start, end in (_stripped(text, *span) for span in spans.values()) if start < end]
    bare.sort()
    size = -(-len(bare) // most) if bare else 1
    return [(bare[i][0], bare[min(i + size, len(bare)) - 1][1]) for i in range(0, len(bare), size)]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space that some tokenizers include in a word."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - (len(part) - len(part.rstrip()))


def explain(
    questions: Sequence[Question],
    tokenizer: Tokenizer,
    encode: Callable[[list[str]], EncodedDocuments],
    score: Callable[[list[str]], Floats],
    most_words: int,
    budget: int,
) -> list[list[dict[str, Any]]]:
    """The words that weigh most for each question, in descending order, as start, end and weight.

    A part of the text that the model does not read, as it is beyond the windows, costs nothing and weighs nothing.

    Args:
        encode: from texts to what the model reads of them.
        score: from texts to scores, float32 [texts, classes].
        most_words: most parts of a document; each is hidden once.
        budget: most tokens to score, padding not included.

    Returns:
        Of as many of the first questions as the budget allows, at most `MOST_SHOWN` parts each; the weight is the drop
        of the class's score without the part. Parts that do not speak for the class are left out.
    """
    spans: list[list[tuple[int, int]]] = []
    places: list[list[int]] = []  # Of the whole text and of each text without a part, among those to score.
    texts: list[str] = []
    for question in questions:
        text, parts = question.text, words(tokenizer, question.text, most_words)
        variants = [text, *(text[:start] + text[end:] for start, end in parts)]
        encoded = encode(variants)
        first: dict[bytes, int] = {}
        for i in range(len(variants)):
            first.setdefault(encoded.content(i), i)
        distinct = list(first.values())
        budget -= int((encoded.lengths * encoded.windows)[distinct].sum())
        if budget < 0:
            break
        place = {content: len(texts) + i for i, content in enumerate(first)}
        spans.append(parts)
        places.append([place[encoded.content(i)] for i in range(len(variants))])
        texts += [variants[i] for i in distinct]
    if not texts:
        return []
    scores = score(texts)
    explained = []
    for question, parts, (whole, *hidden) in zip(questions, spans, places, strict=False):
        weights = scores[whole, question.label] - scores[hidden, question.label]
        order = [i for i in np.argsort(-weights, kind="stable")[:MOST_SHOWN] if weights[i] >= LEAST_WEIGHT]
        explained.append(
            [{"start": parts[i][0], "end": parts[i][1], "weight": round(float(weights[i]), 4)} for i in order]
        )
    return explained
