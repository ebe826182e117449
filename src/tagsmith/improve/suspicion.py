"""Which tags of training documents look wrong, by scores of models that were not trained on them.

Confident learning (Northcutt, Jiang and Chuang, arXiv 1911.00068; in cleanlab) estimates how many tags are wrong; the
order is that of the odds alone, which finds more of them (README: Decisions and measurements).
"""

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import SettingsError
from tagsmith.data.check import folded_text
from tagsmith.decision.metrics import probabilities
from tagsmith.improve.acquisition import centred_unit_rows

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

PROBE_C = 10.0
"""Inverse regularisation of the regressions; less regularised ones fit wrong tags too (README: Decisions and
measurements)."""

SURE = 2.0
"""Log odds from which every change of a multi-label document's tags is suggested, not the likeliest one alone."""

ALIKE_VECTORS, ALIKE_TEXTS = 0.9, 0.85
"""Cosine of the vectors and share of equal characters from which two texts are near copies."""

NEAR_BONUS = 1.0
"""Added to the log odds of a document if a near copy has another, likelier tag."""

MOST_COMPARED = 30_000
"""The number of most suspected documents that are compared with all others to find near copies."""


@dataclass(frozen=True)
class Suspicion:
    """How likely the tags of a document are wrong.

    Attributes:
        odds: log odds that the tags are wrong.
        suggested: ids of the classes that are likely right, ascending.
        near: (position, share of equal characters) of a near copy with other tags, if there is one.
        same_text: whether that copy has the same text but for case and spaces, so that one of the two tags is wrong.
    """

    odds: float
    suggested: tuple[int, ...]
    near: tuple[int, float] | None = None
    same_text: bool = False

    @property
    def score(self) -> float:
        """From 0 to 1, higher where the tags look more wrong."""
        return float(1 / (1 + np.exp(-self.odds)))


def require_cleanlab() -> None:
    """Raises: SettingsError where cleanlab is not installed."""
    if find_spec("cleanlab") is None:
        raise SettingsError("scripts/improve.py needs the package cleanlab: pip install 'tagsmith[improve]'.")


def wrong_odds(logits: Floats, truth: NDArray[np.int8], multi_label: bool) -> Floats:
    """Log odds that the tagging decision on each class is wrong, float32 [documents, classes].

    Single-label: that the class is right instead of the tag (-inf for the tag itself). Multi-label: that a tag is
    superfluous or missing; in each class, as many are assumed missing as superfluous.

    Args:
        logits: float32 [documents, classes], by models that were not trained on the documents.
        truth: int8 [documents, classes], the tags.
    """
    has = truth == 1
    if not multi_label:
        against = logits - logits[has][:, None]
        return np.where(has, -np.inf, against).astype(np.float32)
    share = (truth.sum(axis=0) + 0.5) / (len(truth) + 1)
    return np.where(has, -logits, logits - np.log(share / (1 - share))).astype(np.float32)


def suspicions(odds: Floats, truth: NDArray[np.int8], multi_label: bool) -> list[Suspicion]:
    """One suspicion per document, in order; `odds` as `wrong_odds` returns them."""
    found = []
    for row, has in zip(odds, truth, strict=True):
        if multi_label:
            changed = has.copy()
            wrong = row >= min(float(row.max()), SURE)
            changed[wrong] = 1 - changed[wrong]
            suggested = tuple(int(i) for i in np.flatnonzero(changed))
        else:
            suggested = (int(row.argmax()),)
        found.append(Suspicion(float(row.max()), suggested))
    return found


def with_near_copies(
    found: Sequence[Suspicion], vectors: Floats, texts: Sequence[str], truth: NDArray[np.int8]
) -> list[Suspicion]:
    """The suspicions, raised for the more suspected one of two near copies with different tags.

    Args:
        vectors: float32 [documents, hidden].
    """
    unit = centred_unit_rows(vectors)
    tags = np.unique(truth, axis=0, return_inverse=True)[1].reshape(-1)
    odds = np.asarray([one.odds for one in found])
    result = list(found)
    order = np.argsort(-odds, kind="stable")[:MOST_COMPARED]
    size = max(1, 10_000_000 // len(vectors))  # Documents whose similarity to all others is in memory at a time.
    for start in range(0, len(order), size):
        block = order[start : start + size]
        similarity = unit[block] @ unit.T
        similarity[tags[block][:, None] == tags] = -1
        similarity[odds[block][:, None] < odds] = -1  # Of a pair, the more suspected one counts.
        nearest = similarity.argmax(axis=1)
        for position, other, cosine in zip(block, nearest, similarity.max(axis=1), strict=True):
            if cosine < ALIKE_VECTORS:
                continue
            share = same_characters(texts[position], texts[other])
            if share >= ALIKE_TEXTS:
                before = found[position]
                raised = before.odds + NEAR_BONUS
                same_text = folded_text(texts[position]) == folded_text(texts[other])
                result[position] = Suspicion(raised, before.suggested, (int(other), round(share, 3)), same_text)
    return result


def in_order(found: Sequence[Suspicion]) -> list[int]:
    """Positions of the documents in the order in which to check their tags: contradictions first, then by the odds."""
    return sorted(range(len(found)), key=lambda i: (not found[i].same_text, -found[i].odds, i))


def same_characters(one: str, other: str, most: int = 500) -> float:
    """Share of characters that two texts have in common, in order, from 0 to 1; compares their first `most`."""
    first, second = (folded_text(text)[:most] for text in (one, other))
    return float(difflib.SequenceMatcher(None, first, second, autojunk=False).ratio())


def count_wrong(logits: Floats, truth: NDArray[np.int8], multi_label: bool) -> int:
    """The number of documents with wrong tags, estimated by confident learning; see `wrong_odds` for the arguments.

    Its filters are the ones whose estimates came nearest (README: Decisions and measurements).
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.multilabel_classification.filter import find_label_issues as find_multi_label_issues

    scores = probabilities(logits, multi_label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # About rare classes.
        if multi_label:
            tags: Any = [np.flatnonzero(row).tolist() for row in truth]
            return int(np.sum(find_multi_label_issues(tags, scores, filter_by="confident_learning", n_jobs=1)))
        # cleanlab does not accept classes without documents.
        present = np.flatnonzero(truth.any(axis=0))
        given, scores = truth[:, present].argmax(axis=1), scores[:, present]
        scores = scores / scores.sum(axis=1, keepdims=True)
        return int(np.sum(find_label_issues(given, scores, filter_by="prune_by_noise_rate", n_jobs=1)))
