"""Unknown settings are reported with the most similar known one; valid words are not reported."""

import pytest

from tagsmith.config.help import unknown_settings
from tagsmith.config.hydra_door import SECTIONS, STAGES

GROUPS = {group: kinds.values() for group, kinds in SECTIONS.items()}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("train.epoch=4", "train.epochs"),
        ("trian=lora", "train"),
        ("data.delimter=a", "data.delimiter"),
        ("sed=1", "seed"),
    ],
)
def test_a_similar_setting_is_suggested(word: str, meant: str) -> None:
    (problem,) = unknown_settings(["data=csv", word], STAGES["train"], GROUPS)
    assert problem == f"{word.partition('=')[0]}: unknown setting; did you mean {meant}?"


def test_without_a_similar_setting_none_is_suggested() -> None:
    assert unknown_settings(["xyzzy=1"], STAGES["train"], GROUPS) == ["xyzzy: unknown setting"]


@pytest.mark.parametrize("stage", STAGES)
def test_valid_words_pass(stage: str) -> None:
    words = ["--multirun", "-cd", "+new=1", "~gone", "hydra.sweep.dir=x", "experiment=sweep", "hydra/launcher=basic"]
    assert unknown_settings(words, STAGES[stage], GROUPS) == []


def test_every_source_and_every_mapping_passes() -> None:
    words = ["data.path=a", "data.train=a", "data.name=a", "data.label_delimiter=,", "model.sha256.config=1", "model=a"]
    assert unknown_settings(words, STAGES["train"], GROUPS) == []
    assert unknown_settings(["serve.deployments.production=b"], STAGES["serve"], GROUPS) == []
