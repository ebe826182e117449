"""The checks of a GPU, dry on a CPU; kills and exports, which have tests of their own, are replaced."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tagsmith.bench.gpu import table
from tagsmith.bench.gpu.check_gpu import check_gpu
from tagsmith.config.settings import CheckGpu, CheckKills, Device
from tagsmith.core.errors import SettingsError

pytestmark = pytest.mark.slow


def test_a_dry_run_makes_every_check_and_a_failure_ends_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[CheckKills] = []

    def check_kills(settings: CheckKills) -> list[str]:
        killed.append(settings)
        return ["kill 1", "kill 2"]

    def export(settings: Any) -> Path:
        raise RuntimeError("other scores\nthan those of the run")

    module = sys.modules[check_gpu.__module__]  # The package has a function of the same name.
    monkeypatch.setattr(module, "check_kills", check_kills)
    monkeypatch.setattr(module, "export", export)
    results = check_gpu(CheckGpu(Device.cpu, str(tmp_path / "found.json")))
    outcomes = [(result.what.split(": ")[1].split()[0], result.outcome) for result in results]
    assert outcomes == [
        ("speed", "measured"),
        ("Scores", "passed"),
        ("bf16", "passed"),
        ("Windows", "skipped"),
        ("A", "passed"),
        ("A", "skipped"),
        ("A", "failed"),
    ], results
    assert [settings.kills for settings in killed] == [2]
    speeds = re.findall(r"(tagsmith|Trainer): [\d,]+ tokens/s in steps of ([\d,]+)", results[0].found)
    assert [name for name, _ in speeds] == ["tagsmith", "Trainer"]
    ours, theirs = (int(tokens) for _, tokens in speeds)
    assert 0.8 < theirs / ours < 1.25  # On average over an epoch they are equal.
    assert results[1].found == "logits differ by at most 0 (bound 0.001)"
    assert results[-1].found == "RuntimeError: other scores"
    kept = json.loads((tmp_path / "found.json").read_text())
    assert [line["outcome"] for line in kept["results"]] == [outcome for _, outcome in outcomes]
    assert kept["packages"]["torch"] == torch.__version__
    assert table(results).row_count == len(results)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_script_says_so() -> None:
    with pytest.raises(SettingsError, match="device=cuda: torch finds no GPU here; device=cpu is a dry run"):
        check_gpu(CheckGpu())
