"""Whether an encoder was trained on the language of the documents."""

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from tagsmith.config.settings import TrainRun
from tagsmith.core.errors import counted
from tagsmith.data.load import TaggedData

ASKED = 200
"""Documents that are looked at."""

MOST = 0.2
"""Share of documents in other languages up to which nothing is said."""

SURE = 0.9
"""Probability from which the language of a text counts as known."""


def with_language_note(tagged: TaggedData, settings: TrainRun) -> TaggedData:
    """The documents with a note if many training documents are in languages that the encoder does not know.

    The language that a document names is taken, and that of others detected.
    """
    languages, part = settings.model.languages, tagged.splits["train"]
    if languages is None:
        return tagged
    drawn = np.random.default_rng(settings.seed).permutation(len(part))[:ASKED]
    sample = part.select(np.sort(drawn))
    given = sample["language"][:] if "language" in sample.column_names else [None] * len(sample)
    found = Counter(
        name[:2].lower() if name else detected(text) for name, text in zip(given, sample["text"][:], strict=True)
    )
    others = {name: count for name, count in found.most_common() if name is not None and name not in languages}
    if sum(others.values()) <= MOST * len(sample):
        return tagged
    shares = ", ".join(f"{name} {count / len(sample):.0%}" for name, count in list(others.items())[:3])
    note = (
        f"language: of {counted(len(sample), 'document')}, {shares}; this encoder was trained on "
        f"{', '.join(languages)}: model=multilingual_e5_small and multilingual_e5_base know 100 languages."
    )
    return replace(tagged, notes=[*tagged.notes, note])


def detected(text: str) -> str | None:
    """The language of a text as an ISO 639-1 code; None where that is not certain, as of a few words."""
    name, probability = _identifier().classify(text[:2000])
    return str(name) if probability >= SURE else None


@cache
def _identifier() -> Any:
    # Imported here: loading takes half a second, and only encoders of few languages need it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
