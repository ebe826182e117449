"""What is wrong with the words of the command line is said before Hydra sees them."""

from pathlib import Path

import pytest

from tagsmith.config.stages import STAGES
from tagsmith.config.words import groups_of, word_problems

CONFIGS = Path(__file__).parents[2] / "configs"


def problems(stage: str, *words: str) -> list[str]:
    return word_problems(words, STAGES[stage], groups_of(stage, CONFIGS))


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("train.epoch=4", "train.epochs"),
        ("trian=lora", "train"),
        ("trian.epochs=4", "train.epochs"),
        ("data.delimter=a", "data.delimiter"),
        ("data.label-field=a", "data.label_field"),
        ("label_field=a", "data.label_field"),
        ("Data.train=a", "data.train"),
        ("max_tokens=9", "data.max_tokens or model.max_tokens"),
        ("sed=1", "seed"),
        ("dta.x=2", "data"),
        ("dta=csv", "data"),
        ("experimnt=mine", "experiment"),
    ],
)
def test_a_similar_setting_is_suggested(word: str, meant: str) -> None:
    (problem,) = problems("train", "data=csv", word)
    assert problem.startswith(f"{word.partition('=')[0]}: unknown setting; did you mean {meant}?")


def test_without_a_similar_setting_those_of_the_section_are_listed() -> None:
    assert problems("train", "xyzzy=1") == [
        "xyzzy: unknown setting; expected one of cache, calibrate, data, evaluate, experiment, model, name, objective, "
        "overwrite, resume, run, seed, task, train"
    ]
    assert problems("evaluate", "experiment=mine")[0].startswith("experiment: unknown setting; expected one of analyse")
    assert problems("train", "train.xyzzy=1") == ["train.xyzzy: unknown setting; --help lists all settings"]


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("--run=x", "--run: settings have no dashes; expected run=x"),
        ("--data.label-field=x", "--data.label-field: settings have no dashes; expected data.label_field=x"),
        ("-seed=1", "-seed: settings have no dashes; expected seed=1"),
        ("hydra.run.dir=x", "hydra.run.dir: not used by the scripts; run= is the folder of the run"),
        ("hydra.job.name=x", "hydra.job.name: not used by the scripts; run= is the folder of the run"),
        ("hydra.sweep.subdir=x", "hydra.sweep.subdir: not used by the scripts; run= is the folder of the run"),
        ("data=null", "data: expected a name, such as data=auto, found null"),
        ("experiment=", "experiment: expected a name, such as experiment=mine, found none"),
        ("train=[a,b]", "train: expected a name, such as train=finetune, found [a,b]"),
        ("serve.x=1", "serve.x: unknown setting"),
    ],
)
def test_a_word_that_is_no_setting_is_refused_with_what_to_type(word: str, problem: str) -> None:
    (found,) = problems("train", word)
    assert found.startswith(problem)


def test_a_file_alone_is_answered_with_the_settings_that_take_it(tmp_path: Path) -> None:
    (tmp_path / "tickets.csv").touch()
    file = str(tmp_path / "tickets.csv")
    assert problems("train", file) == [f"{file}: expected NAME=VALUE, such as data.train={file}"]
    assert problems("classify", file) == [f"{file}: expected NAME=VALUE, such as bundle={file} or input={file}"]
    assert problems("train", "--config-dir", str(tmp_path)) == problems("train", "tickets.csv") == []


def test_all_words_are_judged_together() -> None:
    assert len(problems("train", "--run=x", "sed=1", "hydra.run.dir=y", "data=csv")) == 3


@pytest.mark.parametrize("stage", STAGES)
def test_valid_words_pass(stage: str) -> None:
    words = ["--multirun", "-cd", "+new=1", "~gone", "hydra.sweep.dir=x", "hydra.sweeper.n_trials=3", "hydra.mode=RUN"]
    assert problems(stage, *words, "hydra/launcher=basic", "hydra.launcher.partition=x", "hydra.job.env_set.A=b") == []


def test_every_source_and_every_mapping_passes() -> None:
    words = ["data.path=a", "data.train=a", "data.name=a", "data.label_delimiter=,", "model.sha256.config=1", "model=a"]
    assert problems("train", *words, "experiment=sweep") == []
    assert problems("serve", "serve.deployments.production=b") == []
