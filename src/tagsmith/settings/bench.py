"""Settings of the measurements."""

from dataclasses import dataclass

from tagsmith.settings.fields import setting


@dataclass
class BenchScaleRun:
    """Settings of `scripts/bench_scale.py`."""

    documents: int = setting(1_000_000, "training documents that are made", unit="documents", low=100)
    distinct: int | None = setting(
        None, "so many different ones, repeated; null: all differ from each other", unit="documents", low=100
    )
    steps: int = setting(200, "training ends after so many", unit="steps", low=2)
    model: str = setting("minilm", "the encoder, as in model= of scripts/train.py")
    overrides: list[str] | None = setting(None, 'further settings of scripts/train.py, each as "NAME=VALUE"')
