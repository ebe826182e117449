"""Settings of what is looked into after an evaluation: how much of it, so that it takes seconds."""

from dataclasses import dataclass

from tagsmith.config.settings.fields import setting


@dataclass
class AnalysisSettings:
    """How far an evaluation is looked into (`analysis.json`, `guidance.json`)."""

    seed: int = setting(0, "seed of all draws", low=0, high=2**31 - 1)
    resamples: int = setting(1000, "draws of the bootstrap behind each interval", low=100, high=100_000)
    most_documents: int = setting(
        10_000,
        "most training documents, and most evaluated ones, for the baselines and the learning curve; of more, so many "
        "are drawn",
        unit="documents",
        low=100,
    )
    curve_draws: int = setting(3, "draws of a quarter, a half and three quarters of them", low=1, high=4)
    similarity: float = setting(
        0.8,
        "share of character 5-grams that two texts have in common from which they are nearly the same",
        low=0.5,
        high=1,
    )
    compared_documents: int = setting(
        50_000,
        "most documents among which near-duplicates are looked for; evaluated ones first",
        unit="documents",
        low=2,
    )
    explained_documents: int = setting(
        300,
        "most mistakes of which the words that weighed most are found, the surest ones first",
        unit="documents",
        low=0,
    )
    explained_words: int = setting(
        64,
        "most parts of a document that are hidden in turn; neighbouring words of longer ones are hidden together",
        low=1,
    )
    explained_tokens: int = setting(
        200_000, "most that is scored for this; 30 seconds on two cores", unit="tokens, padding not included", low=0
    )
