"""Several jobs in one process: Hydra's --multirun through the door."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from tagsmith.config.composition import register
from tagsmith.config.hydra_door import script
from tagsmith.config.settings import BestMetric, TrainRun
from tagsmith.core.errors import DataError
from tests.unit.test_config import CONFIGS


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(stage: Callable[[TrainRun], None], *overrides: str) -> int:
        source = [] if any("data=" in override for override in overrides) else ["data=bbc_news"]
        monkeypatch.setattr(sys, "argv", ["train.py", "--multirun", *source, *overrides])
        with pytest.raises(SystemExit) as left:
            script("train")(stage)()
        assert isinstance(left.value.code, int)
        return left.value.code

    return call


@pytest.mark.slow
def test_every_job_of_a_sweep_runs_with_its_own_settings(sweep: Callable[..., int]) -> None:
    seen: list[tuple[int, str]] = []
    assert sweep(lambda settings: seen.append((settings.seed, settings.name)), "seed=0,1", "train=probe,finetune") == 0
    assert seen == [(seed, f"bbc_news_minilm_{recipe}") for seed in (0, 1) for recipe in ("probe", "finetune")]


@pytest.mark.slow
def test_a_mistake_in_one_job_leaves_the_others_to_run_and_is_the_exit_status(
    sweep: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def stage(settings: TrainRun) -> None:
        seen.append(settings.seed)
        if settings.seed == 1:
            raise DataError("row 7 is empty")

    assert sweep(stage, "seed=0,1,2") == 65
    assert seen == [0, 1, 2]
    assert capsys.readouterr().err.splitlines() == [
        "job 1: data=bbc_news seed=0",
        "job 2: data=bbc_news seed=1",
        "error: row 7 is empty",
        "job 3: data=bbc_news seed=2",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("raised", "status"), [(ZeroDivisionError, 70), (KeyboardInterrupt, 75)])
def test_a_bug_and_an_interruption_end_a_sweep(
    sweep: Callable[..., int], raised: type[BaseException], status: int
) -> None:
    seen = []

    def stage(settings: TrainRun) -> None:
        seen.append(settings.seed)
        raise raised

    assert sweep(stage, "seed=0,1") == status
    assert seen == [0]


@pytest.mark.slow
def test_wrong_settings_of_a_job_are_a_mistake_like_any_other(sweep: Callable[..., int]) -> None:
    seen: list[int] = []
    assert sweep(lambda settings: seen.append(settings.seed), "seed=-1,0") == 64
    assert seen == [0]
    assert sweep(lambda settings: seen.append(settings.seed), "data=bbc_news,nowhere") == 64
    assert seen == [0]


@pytest.mark.slow
def test_jobs_have_folders_of_their_own_and_end_in_a_table(
    sweep: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str | None, object]] = []
    stage: Callable[[TrainRun], None] = lambda settings: seen.append((settings.run, settings.objective))  # noqa: E731
    assert sweep(stage, "experiment=sweep", "hydra.sweep.dir=mine", "seed=0,1", "train.best_metric=log_loss") == 0
    assert seen == [("mine/0", BestMetric.log_loss), ("mine/1", BestMetric.log_loss)]
    assert (tmp_path / "mine" / "comparison.csv").read_text().startswith("run,validation log_loss,")
    assert "0 jobs" in capsys.readouterr().out


def test_optuna_chooses_the_next_job_by_what_the_stage_returns(sweep: Callable[..., int], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra `sweep`")
    rates: list[float] = []

    def stage(settings: TrainRun) -> float:
        rate = settings.train.learning_rate
        assert rate is not None
        rates.append(rate)
        if len(rates) == 2:
            raise DataError("row 7 is empty")
        return rate

    assert sweep(stage, "experiment=search", "hydra.sweeper.n_trials=4") == 65
    assert len(set(rates)) == 4
    found = (tmp_path / "runs" / "search" / "optimization_results.yaml").read_text()
    assert str(max(rates[:1] + rates[2:])) in found


def test_jobs_go_to_slurm_by_composition() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra `slurm`")
    register()
    given = ["experiment=sweep", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", [*given, "name=x"], return_hydra_config=True)
    assert config.hydra.launcher._target_.endswith("SlurmLauncher")
    assert config.hydra.launcher.submitit_folder == "runs/sweep/.submitit/%j"
