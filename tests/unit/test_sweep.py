"""Several jobs in one process: Hydra's --multirun through the door."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tagsmith.config import script
from tagsmith.errors import DataError
from tagsmith.settings import TrainRun


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(stage: Callable[[TrainRun], None], *overrides: str) -> int:
        monkeypatch.setattr(sys, "argv", ["train.py", "--multirun", *overrides])
        with pytest.raises(SystemExit) as left:
            script("train")(stage)()
        assert isinstance(left.value.code, int)
        return left.value.code

    return call


def test_every_job_of_a_sweep_runs_with_its_own_settings(sweep: Callable[..., int]) -> None:
    seen: list[tuple[int, str]] = []
    assert sweep(lambda settings: seen.append((settings.seed, settings.name)), "seed=0,1", "train=probe,finetune") == 0
    assert seen == [(seed, f"bbc_news_minilm_{recipe}") for seed in (0, 1) for recipe in ("probe", "finetune")]


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
        "job 1: seed=0",
        "job 2: seed=1",
        "error: row 7 is empty",
        "job 3: seed=2",
    ]


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


def test_wrong_settings_of_a_job_are_a_mistake_like_any_other(sweep: Callable[..., int]) -> None:
    seen: list[int] = []
    assert sweep(lambda settings: seen.append(settings.seed), "seed=-1,0") == 64
    assert seen == [0]
    assert sweep(lambda settings: seen.append(settings.seed), "data=bbc_news,nowhere") == 64
    assert seen == [0]
