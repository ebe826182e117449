"""Misspelt settings are named, with those that may have been meant; what is none of a person's mistakes passes."""

import pytest

from tagsmith.config.hydra_door import SECTIONS, STAGES
from tagsmith.config.misspelt import misspelt

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
def test_what_is_misspelt_is_named(word: str, meant: str) -> None:
    (told,) = misspelt(["data=csv", word], STAGES["train"], GROUPS)
    assert told == f"{word.partition('=')[0]}: there is no such setting; is {meant} meant?"


def test_what_is_like_nothing_is_named_alone() -> None:
    assert misspelt(["xyzzy=1"], STAGES["train"], GROUPS) == ["xyzzy: there is no such setting"]


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_right_passes(stage: str) -> None:
    words = ["--multirun", "-cd", "+new=1", "~gone", "hydra.sweep.dir=x", "experiment=sweep", "hydra/launcher=basic"]
    assert misspelt(words, STAGES[stage], GROUPS) == []


def test_every_source_and_every_mapping_passes() -> None:
    words = ["data.path=a", "data.train=a", "data.name=a", "data.label_delimiter=,", "model.sha256.config=1", "model=a"]
    assert misspelt(words, STAGES["train"], GROUPS) == []
    assert misspelt(["serve.deployments.production=b"], STAGES["serve"], GROUPS) == []
