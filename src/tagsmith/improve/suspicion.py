"""Which tags of training documents look wrong, by scores of models that have not seen them.

Confident learning: Northcutt, Jiang and Chuang, arXiv 1911.00068; cleanlab does it. It says how many tags are wrong;
which ones come first is decided by the odds alone. Of 10 % of the tags of banking77 turned at random, 99.4 % are in the
first 12 % of that order, and 92 % where those come first that confident learning names.
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
"""Inverse regularisation of the regressions; weaker ones learn wrong tags too.

Turned tags in the first 12 %, nlupp_hotels at 10, 30, 100: 0.688, 0.682, 0.672; banking77 at 3, 10, 30: 0.993, 0.994,
0.978.
"""

SURE = 2.0
"""Log odds from which more than one change of a document's tags is suggested at once."""

ALIKE_VECTORS, ALIKE_TEXTS = 0.9, 0.85
"""Cosine of the vectors and share of equal characters from which two texts are nearly the same."""

NEAR_BONUS = 1.0
"""Added to the log odds of a document of which a near copy has another, likelier tag."""

MOST_COMPARED = 30_000
"""Documents that are compared with all others in search of near copies: of more, the most suspected ones."""


@dataclass(frozen=True)
class Suspicion:
    """What is held against the tags of a document.

    Attributes:
        odds: log odds that the tags are wrong.
        suggested: ids of the classes that it should rather have, rising.
        near: (position, share of equal characters) of a near copy with other tags; None: there is none.
    """

    odds: float
    suggested: tuple[int, ...]
    near: tuple[int, float] | None = None

    @property
    def score(self) -> float:
        """From 0 to 1, higher where the tags look more wrong."""
        return float(1 / (1 + np.exp(-self.odds)))


def require_cleanlab() -> None:
    """Raises: SettingsError where cleanlab is not installed."""
    if find_spec("cleanlab") is None:
        raise SettingsError("scripts/improve.py needs cleanlab, which is not installed; pip install -e '.[improve]'.")


def doubts(logits: Floats, truth: NDArray[np.int8], multi_label: bool) -> Floats:
    """Log odds that each decision of a person is wrong, float32 [documents, classes].

    Single-label: that the class is right instead of the tag (-inf for the tag itself). Multi-label: that a tag is
    one too many, or that one is missing; in each class as many are taken to be missing as are too many.

    Args:
        logits: float32 [documents, classes], of models that have not seen the documents.
        truth: int8 [documents, classes], the tags.
    """
    has = truth == 1
    if not multi_label:
        against = logits - logits[has][:, None]
        return np.where(has, -np.inf, against).astype(np.float32)
    share = (truth.sum(axis=0) + 0.5) / (len(truth) + 1)
    return np.where(has, -logits, logits - np.log(share / (1 - share))).astype(np.float32)


def suspicions(doubt: Floats, truth: NDArray[np.int8], multi_label: bool) -> list[Suspicion]:
    """One a document, in their order; `doubt` is that of `doubts`."""
    found = []
    for row, has in zip(doubt, truth, strict=True):
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
    """The same, where of two nearly equal texts with different tags the more doubtful one is doubted still more.

    Args:
        vectors: float32 [documents, hidden].
    """
    unit = centred_unit_rows(vectors)
    tags = np.unique(truth, axis=0, return_inverse=True)[1].reshape(-1)
    odds = np.asarray([one.odds for one in found])
    result = list(found)
    order = np.argsort(-odds, kind="stable")[:MOST_COMPARED]
    size = max(1, 10_000_000 // len(vectors))  # Documents whose likeness to all others is held at once.
    for start in range(0, len(order), size):
        block = order[start : start + size]
        likeness = unit[block] @ unit.T
        likeness[tags[block][:, None] == tags] = -1
        likeness[odds[block][:, None] < odds] = -1  # The more doubtful one of a pair is meant.
        nearest = likeness.argmax(axis=1)
        for position, other, cosine in zip(block, nearest, likeness.max(axis=1), strict=True):
            if cosine < ALIKE_VECTORS:
                continue
            share = same_characters(texts[position], texts[other])
            if share >= ALIKE_TEXTS:
                before = found[position]
                raised = before.odds + NEAR_BONUS
                result[position] = Suspicion(raised, before.suggested, (int(other), round(share, 3)))
    return result


def same_characters(one: str, other: str, most: int = 500) -> float:
    """Share of the characters that two texts have in common in the same order, from 0 to 1, of their first `most`."""
    first, second = (folded_text(text)[:most] for text in (one, other))
    return float(difflib.SequenceMatcher(None, first, second, autojunk=False).ratio())


def count_wrong(logits: Floats, truth: NDArray[np.int8], multi_label: bool) -> int:
    """How many documents have wrong tags, by confident learning; see `doubts` for the arguments.

    Its way of counting that came nearest: banking77 as it is, with 10 % and with 25 % of 9,996 tags turned, 143, 1,027,
    2,460; nlupp_hotels as it is, with 10 % and 30 % of 905, 86, 155, 254 (with the other way 119, 206, 323).
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.multilabel_classification.filter import find_label_issues as find_multi_label_issues

    scores = probabilities(logits, multi_label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of classes that are rare.
        if multi_label:
            tags: Any = [np.flatnonzero(row).tolist() for row in truth]
            return int(np.sum(find_multi_label_issues(tags, scores, filter_by="confident_learning", n_jobs=1)))
        # A class without a document can be no one's tag, and cleanlab knows none such.
        present = np.flatnonzero(truth.any(axis=0))
        given, scores = truth[:, present].argmax(axis=1), scores[:, present]
        scores = scores / scores.sum(axis=1, keepdims=True)
        return int(np.sum(find_label_issues(given, scores, filter_by="prune_by_noise_rate", n_jobs=1)))
