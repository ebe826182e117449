"""The table of a sweep's jobs, from their files."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tagsmith.config.sweep import compare, comparison_table, judged
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.run import RunFolder


def write_run(folder: Path, rate: float, macro: float | None, split: str = "test") -> None:
    folder.mkdir(parents=True)
    versions = {"tagsmith": "0", "torch": "0", "transformers": "0"}
    settings = {"model.name": "tiny", "model.path": None, "model.package": None, "train.learning_rate": rate}
    record: dict[str, Any] = {"settings": settings, "versions": versions, "started": "2026"}
    (folder / "settings.json").write_text(json.dumps(record))
    if macro is not None:
        figures = {"accuracy": 0.5, "log_loss": macro, "macro": {"f1": macro}, "micro": {"f1": 0.5}}
        (folder / "validation.json").write_text(json.dumps({"split": "validation", **figures}))
        (folder / "evaluation.json").write_text(json.dumps({"split": split, **figures, "accuracy": 0.25}))


def test_the_table_has_a_row_a_job_and_a_column_a_setting_that_differs(tmp_path: Path) -> None:
    for name, rate, macro in (("10", 3e-4, 0.5), ("2", 2e-4, 0.75), ("0", 1e-4, 0.25)):
        write_run(tmp_path / name, rate, macro)
    write_run(tmp_path / "3", 5e-4, None)
    write_run(tmp_path / "4", 5e-4, 0.5, split="validation")
    (tmp_path / ".submitit").mkdir()
    comparison = compare(tmp_path, "macro_f1")
    with (tmp_path / "comparison.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["run", "train.learning_rate", "validation macro_f1", "test accuracy", "test macro_f1"]
    assert [row[1:] for row in rows] == [
        ["0.0001", "0.25", "0.25", "0.25"],
        ["0.0002", "0.75", "0.25", "0.75"],
        ["0.0005", "", "", ""],
        ["0.0005", "0.5", "", ""],
        ["0.0003", "0.5", "0.25", "0.5"],
    ]
    assert comparison.best is not None
    assert comparison.best.run.path.name == "2"
    console = Console(width=200, record=True)
    console.print(comparison_table(comparison))
    text = console.export_text()
    assert "5 jobs, 1 of them failed or unfinished, best by validation macro_f1" in text
    assert "0.0002" in text
    # What an earlier job has left in the folder of one that has failed now is none of its figures.
    again = compare(tmp_path, "macro_f1", {"2", "4"})
    assert again.best is not None
    assert again.best.run.path.name == "10"
    assert [job.objective for job in again.jobs] == [0.25, None, None, None, 0.5]


def test_of_log_losses_the_smallest_is_best(tmp_path: Path) -> None:
    for name, loss in (("0", 0.5), ("1", 0.25)):
        write_run(tmp_path / name, 1e-4, loss)
    best = compare(tmp_path, "log_loss").best
    assert best is not None
    assert best.run.path.name == "1"
    assert judged(best.run, "log_loss") == -0.25
    assert judged(best.run, "macro_f1") == 0.25
    assert judged(best.run, "accuracy") == 0.5


def test_what_is_not_there_or_damaged_is_said(tmp_path: Path) -> None:
    assert compare(tmp_path, "macro_f1").best is None
    write_run(tmp_path / "0", 1e-4, None)
    run = RunFolder(tmp_path / "0")
    with pytest.raises(InputMissing, match="validation"):
        judged(run, "macro_f1")
    run.validation.write_text("{}")
    with pytest.raises(DataError, match="expected the metric macro_f1"):
        judged(run, "macro_f1")
    run.validation.write_text("{")
    with pytest.raises(DataError, match="expected figures"):
        compare(tmp_path, "macro_f1")


def test_a_launch_that_spreads_the_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from tagsmith.core.errors import SettingsError
    from tagsmith.model.processes import refuse_launch

    refuse_launch()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(SettingsError, match=r"found FSDP; .*train\.shard=true"):
        refuse_launch()
