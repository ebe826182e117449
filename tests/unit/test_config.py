import errno
import functools
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from tagsmith.config.composition import refusal, register, to_settings
from tagsmith.config.help import example, explain
from tagsmith.config.hydra_door import _run
from tagsmith.config.settings import ExportRun, LongDocuments, TableSettings, TrainRun, walk
from tagsmith.config.stages import STAGES
from tagsmith.config.words import as_typed, groups_of
from tagsmith.core.errors import SettingsError
from tagsmith.core.schema import Task

CONFIGS = Path(__file__).parents[2] / "configs"
SOURCES = {
    "auto": ["data.train=a.csv"],
    "csv": ["data.train=a.csv"],
    "tsv": ["data.train=a.tsv"],
    "jsonl": ["data.train=a.jsonl"],
    "text_folders": ["data.path=a"],
    "azure": ["data.path=a.json"],
    "hub": ["data.name=ag_news"],
}


register_once = functools.cache(register)


def composed(stage: str, *overrides: str) -> DictConfig:
    register_once()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        words = [*(["data=bbc_news", "name=x"] if stage == "train" else []), *overrides]
        return compose(stage, as_typed(words, STAGES[stage], groups_of(stage, CONFIGS)))


def yamls(folder: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / folder).rglob("*.yaml"))


def test_there_are_yamls() -> None:
    assert set(SOURCES) < set(yamls("data"))
    assert len(yamls("model")) >= 6
    assert {"probe", "finetune"} <= set(yamls("train"))
    assert yamls("experiment")
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {*STAGES, "door"}


@pytest.mark.parametrize("name", yamls("data"))
def test_every_source_composes(name: str) -> None:
    assert to_settings(composed("train", f"data={name}", *SOURCES.get(name, [])), TrainRun)


@pytest.mark.parametrize("name", yamls("model"))
def test_every_encoder_composes(name: str) -> None:
    assert to_settings(composed("train", f"model={name}"), TrainRun).model.name


@pytest.mark.parametrize("name", yamls("train"))
def test_every_recipe_composes(name: str) -> None:
    teacher = ["train.teacher=runs/a"] if name == "distill" else []
    assert to_settings(composed("train", f"train={name}", *teacher), TrainRun).train.recipe.value == name


@pytest.mark.parametrize("name", yamls("experiment"))
def test_every_experiment_composes(name: str) -> None:
    if name == "search":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra `sweep`")
    # The folder of a sweep's job is known to Hydra alone.
    assert to_settings(composed("train", f"experiment={name}", "run=x"), TrainRun)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_stage_composes(stage: str) -> None:
    given = {
        "annotate": ["action=give", "run=r", "tool=csv"],
        "compare": ["runs=[a,b]"],
        "label_studio": ["action=push", "run=r"],
        "evaluate": ["run=r"],
        "export": ["run=r", "bundle=b"],
        "calibrate": ["run=r"],
        "improve": ["run=r"],
        "tag": ["project=p", "pool=u.csv", "classes=[a,b]"],
        "bench_curve": ["sizes=[100]"],
        "bench_improve": [],
        "bench_tag": [],
        "train": [],
        "bench_classify": ["bundle=b", "input=i"],
        "bench_train": [],
        "bench_scale": [],
        "check_kills": [],
        "check_gpu": [],
        "serve": ["serve.deployments={production: b}"],
        "refresh": ["store=s", "data.train=t.csv"],
        "leave_azure": ["action=import", "out=o"],
        "bench_refresh": ["store=s", "data.train=t.csv"],
    }
    overrides = given.get(stage, ["bundle=b", "input=i", "output=o.jsonl"])
    assert isinstance(to_settings(composed(stage, *overrides), STAGES[stage]), STAGES[stage])


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_help_explains_every_setting(stage: str) -> None:
    text = explain(stage, CONFIGS)
    for name, item, _ in walk(STAGES[stage]()):
        assert f"  {name}  (" in text
        assert item.metadata["help"] in text


def test_help_shows_the_default_that_the_primary_yaml_sets() -> None:
    assert "  name  (text; default DATA_MODEL_TRAIN)" in explain("train", CONFIGS)
    assert "default run)" not in explain("train", CONFIGS)


def test_overrides_become_typed_values() -> None:
    settings = to_settings(
        composed("train", "data=csv", "data.train=a.csv", "task=multi_label", "data.long_documents=windows"), TrainRun
    )
    assert isinstance(settings.data, TableSettings)
    assert settings.task is Task.multi_label
    assert settings.data.long_documents is LongDocuments.windows


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=jsonl"], r"data\.train: expected a value"),
        (["+train.typo=1"], r"train\.typo: unknown setting"),
        (["+typo=1"], r"typo: unknown setting"),
        (["train.epochs=0"], r"train\.epochs: expected at least 1 epochs, found 0"),
        (["train.learning_rate=-1"], r"train\.learning_rate: expected at least 0, found -1"),
        (["train.learning_rate=nan"], r"train\.learning_rate: expected at least 0, found nan"),
        (["train.learning_rate=inf"], r"train\.learning_rate: expected at least 0, found inf"),
        (["data.test_share=1.5"], r"data\.test_share: expected at least 0 and at most 0\.9, found 1\.5"),
        (["data.encoding=utf-9"], r"data\.encoding: expected an encoding"),
        (["data.classes=[a,a]"], r"data\.classes: expected null or distinct names"),
        (["data=hub"], r"data\.name, path: expected exactly one"),
        (["data=csv", "data.train=x", "data.delimiter=ab"], r"data\.delimiter: expected one character"),
        (["data.max_tokens=16"], r"data\.window_overlap: expected at most half"),
        (["resume=true", "overwrite=true"], "expected at most one of them"),
        (["train.shard=true", "train=probe"], r"train\.recipe: expected finetune with train\.shard=true"),
        (["train.shard=true", "train.ema_decay=0.9"], r"train\.ema_decay: expected null with train\.shard=true"),
        (["train.shard=true", "train.soup=2"], r"train\.soup: expected 1 with train\.shard=true"),
        (["train=probe", "train.soup=2"], r"train\.soup: expected 1 with the recipe probe.*found 2"),
        (["train.shard=true", "train.mixed_precision=fp16"], r"train\.mixed_precision: expected bf16 or fp32 with"),
        (["model.name=null", "model.package=null"], r"model\.name, path"),
        (["run=runs/a", "train.start_from=./runs/a"], r"train\.start_from: expected a run other than run=runs/a"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        to_settings(composed("train", *overrides), TrainRun)


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(SettingsError) as error:
        to_settings(composed("train", "train.epochs=0", "seed=-1", "+model.typo=1"), TrainRun)
    for part in ("train.epochs", "seed", "model.typo"):
        assert part in str(error.value)


def refused(*overrides: str) -> str:
    """What a user reads who types these words after `train`."""
    try:
        to_settings(composed("train", *overrides), TrainRun)
    except SettingsError as error:
        return str(error)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        return refusal(error)
    raise AssertionError(f"accepted: {overrides}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        # A type that the setting does not have.
        (["data.pattern=null"], "data.pattern: expected text, found null; for example data.pattern=*.txt"),
        (["data=csv", "data.train=a", "data.id_field={a: b}"], "data.id_field: expected text | null, found {a: b}"),
        (["train.epochs=many"], "train.epochs: expected whole number | null, found many; for example train.epochs=3"),
        (["train.epochs=1.5"], "train.epochs: expected whole number | null, found 1.5"),
        (["train.cpu=maybe"], "train.cpu: expected true | false, found maybe"),
        (["seed=true"], "seed: expected whole number, found true"),
        (["task=regression"], "task: expected single_label | multi_label | null, found regression"),
        (["data=1"], "data: found no data/1.yaml; expected one of auto, azure, bbc_news"),
        (["data.test_share=[1,2]"], "data.test_share: expected number, found [1, 2]; for example data.test_share=0.2"),
        (["evaluate=fast"], "evaluate: expected settings such as evaluate.batch_tokens, found fast"),
        (["data.classes=[[a]]"], "data.classes: expected list of text | null, found [[a]]"),
        # A setting that the choice does not have.
        (
            ["data.train=a.csv"],
            "data.train: the chosen data has no such setting; type data=auto as well",
        ),
        (["data.nothing=1"], "data.nothing: unknown setting"),
        # A choice that does not exist.
        (["data=cvs"], "data: found no data/cvs.yaml; did you mean data=csv?"),
        (["experiment=nowhere"], "experiment: found no experiment/nowhere.yaml; expected one of quick, search, sweep"),
        (["hydra/launcher=nix"], "hydra/launcher: found no hydra/launcher/nix.yaml; expected one of basic"),
        # A word that Hydra's grammar does not allow.
        (["name=[a"], "name: expected a value, or [VALUE,VALUE] for a list, found [a; a value with brackets"),
        (["tickets.csv"], "tickets.csv: expected NAME=VALUE, found no `=`"),
        # A value that refers to nothing.
        (["run=${nothing}"], "run: Interpolation key 'nothing' not found"),
        (["run=${oc.env:TAGSMITH_NOTHING}"], "run: KeyError raised while resolving interpolation"),
    ],
)
def test_what_hydra_would_refuse_is_said_in_the_words_of_the_others(overrides: list[str], message: str) -> None:
    found = refused(*overrides)
    assert message in found
    assert "+" not in found  # Hydra advises to append settings, which the dataclasses do not allow.
    assert "full_key" not in found


def test_types_ranges_and_names_are_reported_together() -> None:
    found = refused("train.epochs=many", "seed=-1", "data=csv", "+model.typo=1", "data.delimiter=[]")
    assert [line.split(":")[0] for line in found.splitlines()[1:]] == [
        "  - data.train", "  - data.delimiter", "  - model.typo", "  - train.epochs", "  - seed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "classes"),
    [
        ("[007,1e3,1.10]", ["007", "1e3", "1.10"]),
        ("[true,False,null]", ["true", "False", "null"]),
        ("[1_000,+5,-0,.5,inf,nan]", ["1_000", "+5", "-0", ".5", "inf", "nan"]),
        ("['a, 1',\"2, b\",c 3, 4 ]", ["a, 1", "2, b", "c 3", "4"]),
        ("[a\\,1,b]", ["a,1", "b"]),
        ("7", ["7"]),
        ("null", None),
    ],
)
def test_a_text_is_what_was_typed(typed: str, classes: list[str] | None) -> None:
    assert to_settings(composed("train", f"data.classes={typed}"), TrainRun).data.classes == classes
    if classes is not None and len(classes) == 3:
        assert to_settings(composed("train", f"run={classes[1]}"), TrainRun).run == classes[1]


def test_a_text_in_a_yaml_is_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nrun: 2024_10\nseed: 7\ndata:\n  classes: [007, 1e3, 1.10, no, null, 2024-10-01, 0x1F]\n"
        "  max_tokens: null\ntrain: {learning_rate: 1e-4, cpu: yes, epochs: 2}\n"
    )
    settings = to_settings(composed("train", "experiment=mine", f"hydra.searchpath=[{tmp_path}]"), TrainRun)
    assert settings.data.classes == ["007", "1e3", "1.10", "no", "null", "2024-10-01", "0x1F"]
    assert (settings.run, settings.seed, settings.train.epochs) == ("2024_10", 7, 2)
    assert (settings.train.learning_rate, settings.train.cpu, settings.data.max_tokens) == (1e-4, True, None)


@pytest.mark.parametrize(
    ("folder", "text", "message"),
    [
        (
            "train",
            "defaults:\n  - /settings/train@_here_\n  - _self_\n\nepoch: 3\n",
            "train.epoch: unknown setting; did",
        ),
        (
            "train",
            "defaults:\n  - /settings/train@_here_\n  - _self_\n\nepochs: many\n",
            "train.epochs: expected whole",
        ),
        ("experiment", "# @package _global_\ntrain:\n  epochs: many\n", "train.epochs: expected"),
        ("experiment", "# @package _global_\nhydra:\n  run: {dir: x}\n", "hydra.run.dir: not used by the scripts"),
        ("experiment", "# @package _global_\ndata: csv\n", "data: expected settings such as data.classes, found csv"),
        (
            "data",
            "train: a.csv\n",
            "data.train: expected one of these in the `defaults:` of the chosen YAML: /settings",
        ),
    ],
)
def test_a_wrong_line_of_a_yaml_names_the_file(tmp_path: Path, folder: str, text: str, message: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "mine.yaml").write_text(text)
    found = refused(f"{folder}=mine", f"hydra.searchpath=[{tmp_path}]")
    assert message in found
    assert f"{folder}/mine.yaml)" in found


def test_a_broken_yaml_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.yaml").write_text("epochs: [3\n")
    assert "mine.yaml" in refused("train=mine", f"hydra.searchpath=[{tmp_path}]")


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_the_example_of_a_script_is_complete(stage: str) -> None:
    words = shlex.split(example(stage, CONFIGS))
    assert words[:2] == ["python", f"scripts/{stage}.py"]
    given = [f"action={word}" if word in ("give", "push", "take") else word for word in words[2:]]
    if stage == "train":  # `composed` chooses a data set.
        given = ["data=auto", *given]
    assert to_settings(composed(stage, *given), STAGES[stage])


def test_a_missing_setting_ends_in_a_complete_command() -> None:
    with pytest.raises(SettingsError) as error:
        to_settings(composed("export"), ExportRun, example("export", CONFIGS))
    assert str(error.value).splitlines() == [
        "These settings cannot be used:",
        "  - run: expected a value (folder of the run), found none; set run=",
        "  - bundle: expected a value (folder of the bundle to write), found none; set bundle=",
        "A complete command: python scripts/export.py run=runs/mine bundle=bundles/mine",
    ]


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 75), (errno.EROFS, 64), (errno.EACCES, 64)])
def test_a_path_that_cannot_be_written_is_not_a_bug(
    number: int, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def stage() -> None:
        raise OSError(number, os.strerror(number), "runs/mine/evaluation.json")

    assert _run("train", stage, "", CONFIGS) == (status, None)
    errors = capsys.readouterr().err
    assert "error: runs/mine/evaluation.json: " in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_another_error_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def stage() -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(SystemExit) as left:
        _run("train", stage, "", CONFIGS)
    assert left.value.code == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.slow
def test_a_missing_package_of_an_extra_is_not_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    def stage() -> None:
        raise ModuleNotFoundError("No module named 'cleanlab.filter'", name="cleanlab.filter")

    def broken() -> None:
        raise ModuleNotFoundError("No module named 'tagsmith.nothing'", name="tagsmith.nothing")

    assert _run("train", stage, "", CONFIGS) == (64, None)
    errors = capsys.readouterr().err
    assert (
        errors == "error: python scripts/train.py needs the package cleanlab.filter: pip install 'tagsmith[train]'.\n"
    )
    with pytest.raises(SystemExit) as left:
        _run("train", broken, "", CONFIGS)
    assert left.value.code == 70


@pytest.mark.parametrize("missing", ["hydra", "omegaconf"])
def test_scripts_report_a_missing_hydra(missing: str) -> None:
    script = CONFIGS.parent / "scripts" / "classify.py"
    code = f"import runpy, sys; sys.modules['{missing}'] = None; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith(f"error: scripts need the package {missing}")
    assert "pip install 'tagsmith[train]'" in done.stderr
