import errno
import functools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig

from tagsmith.config import hydra_door as config
from tagsmith.config.hydra_door import STAGES, explain, register, to_settings
from tagsmith.config.settings import LongDocuments, TableSettings, TrainRun, walk
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
        return compose(stage, [*(["data=bbc_news", "name=x"] if stage == "train" else []), *overrides])


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
    assert to_settings(composed("train", f"train={name}"), TrainRun).train.recipe.value == name


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
        "bench_curve": ["sizes=[100]"],
        "bench_improve": [],
        "train": [],
        "bench_classify": ["bundle=b", "input=i"],
        "bench_train": [],
        "bench_scale": [],
        "check_kills": [],
        "serve": ["serve.deployments={production: b}"],
    }
    overrides = given.get(stage, ["bundle=b", "input=i", "output=o.jsonl"])
    assert isinstance(to_settings(composed(stage, *overrides), STAGES[stage]), STAGES[stage])


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_help_explains_every_setting(stage: str) -> None:
    text = explain(stage)
    for name, item, _ in walk(STAGES[stage]()):
        assert f"  {name}  (" in text
        assert item.metadata["help"] in text


def test_help_shows_the_default_that_the_primary_yaml_sets() -> None:
    assert "  name  (text; default DATA_MODEL_TRAIN)" in explain("train")
    assert "default run)" not in explain("train")


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


@pytest.mark.parametrize("override", ["train.typo=1", "train.epochs=many", "data=nowhere", "task=regression"])
def test_errors_of_hydra_name_the_setting(override: str) -> None:
    with pytest.raises(Exception, match=override.split("=")[0].split(".")[-1]) as error:
        composed("train", override)
    assert isinstance(error.value, Exception)


def test_an_unknown_key_in_a_yaml_names_the_file(tmp_path: Path) -> None:
    import shutil

    configs = shutil.copytree(CONFIGS, tmp_path / "configs")
    (configs / "train" / "mine.yaml").write_text("defaults:\n  - /settings/train@_here_\n  - _self_\n\nepoch: 3\n")
    register()
    with (
        initialize_config_dir(str(configs), version_base="1.3"),
        pytest.raises(ConfigCompositionException, match="train/mine"),
    ):
        compose("train", ["train=mine"])


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 75), (errno.EROFS, 64), (errno.EACCES, 64)])
def test_a_path_that_cannot_be_written_is_not_a_bug(
    number: int, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stage(_: object) -> None:
        raise OSError(number, os.strerror(number), "runs/mine/evaluation.json")

    monkeypatch.setattr(config.HydraConfig, "get", lambda: SimpleNamespace(mode=None))
    assert config._run("train", stage, composed("train")) == (status, None)
    errors = capsys.readouterr().err
    assert "error: runs/mine/evaluation.json: " in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_another_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stage(_: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(config.HydraConfig, "get", lambda: SimpleNamespace(mode=None))
    with pytest.raises(SystemExit) as left:
        config._run("train", stage, composed("train"))
    assert left.value.code == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.slow
def test_a_missing_package_of_an_extra_is_not_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stage(_: object) -> None:
        raise ModuleNotFoundError("No module named 'cleanlab.filter'", name="cleanlab.filter")

    def broken(_: object) -> None:
        raise ModuleNotFoundError("No module named 'tagsmith.nothing'", name="tagsmith.nothing")

    monkeypatch.setattr(config.HydraConfig, "get", lambda: SimpleNamespace(mode=None))
    assert config._run("train", stage, composed("train")) == (64, None)
    errors = capsys.readouterr().err
    assert (
        errors == "error: python scripts/train.py needs the package cleanlab.filter: pip install 'tagsmith[train]'.\n"
    )
    with pytest.raises(SystemExit) as left:
        config._run("train", broken, composed("train"))
    assert left.value.code == 70


@pytest.mark.parametrize("missing", ["hydra", "omegaconf"])
def test_scripts_report_a_missing_hydra(missing: str) -> None:
    script = CONFIGS.parent / "scripts" / "classify.py"
    code = f"import runpy, sys; sys.modules['{missing}'] = None; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith(f"error: scripts need the package {missing}")
    assert "pip install 'tagsmith[train]'" in done.stderr
