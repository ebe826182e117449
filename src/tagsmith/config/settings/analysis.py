"""Settings of the analysis that follows an evaluation; they bound its time to seconds."""

from dataclasses import dataclass
from typing import ClassVar

from tagsmith.config.settings.fields import setting


@dataclass
class AnalysisSettings:
    """The analysis of an evaluation (`analysis.json`, `guidance.json`)."""

    resamples: int = setting(1000, "bootstrap resamples behind each interval", low=100, high=100_000)
    most_documents: int = setting(
        10_000,
        "maximum number of training documents, and of evaluated ones, for the baselines and the learning curve; beyond "
        "it, a random sample is used",
        unit="documents",
        low=100,
    )
    curve_draws: int = setting(
        3, "random subsets of a quarter, a half and three quarters of them for the learning curve", low=1, high=4
    )
    similarity: float = setting(
        0.8,
        "two texts are near-duplicates from this share of common character 5-grams",
        low=0.5,
        high=1,
    )
    compared_documents: int = setting(
        50_000,
        "maximum number of documents searched for near-duplicates, evaluated ones first",
        unit="documents",
        low=2,
    )
    explained_documents: int = setting(
        300,
        "maximum number of errors explained by their most influential words, most confident errors first",
        unit="documents",
        low=0,
    )
    explained_tokens: int = setting(
        200_000,
        "maximum number of tokens scored for the explanations; 30 seconds on two cores",
        unit="tokens, padding not included",
        low=0,
    )

    # Constants, by the names that they had as settings.
    seed: ClassVar[int] = 0
    """Seed of all random draws."""
    explained_words: ClassVar[int] = 64
    """Maximum number of parts of a document that are masked in turn; in longer ones, neighbouring words form a part."""
