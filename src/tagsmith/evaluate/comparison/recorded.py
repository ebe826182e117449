"""The records of two runs: settings that differ, training time, size."""

import json
from math import prod
from typing import Any

from safetensors import SafetensorError, safe_open

from tagsmith.core.run import RunFolder
from tagsmith.evaluate.report.inputs import RunFiles

NOT_OF_THE_MODEL = ("run", "name", "resume", "overwrite", "cache.folder", "cache.max_gib")
"""Settings that concern the run folder and the cache."""


def other_settings(first: RunFiles, second: RunFiles) -> dict[str, list[Any]]:
    """The settings that differ between two runs: name -> [first, second]; None: the run has no such setting."""
    mine, other = (run.record["settings"] for run in (first, second))
    names = [name for name in dict.fromkeys([*mine, *other]) if name not in NOT_OF_THE_MODEL]
    return {
        name: [mine.get(name), other.get(name)]
        for name in names
        if json.dumps(mine.get(name), sort_keys=True) != json.dumps(other.get(name), sort_keys=True)
    }


def size_and_time(run: RunFiles, folder: RunFolder) -> dict[str, Any]:
    """parameters (of encoder and head) and training_seconds (of all steps); None: not recorded."""
    timed = [line for line in run.training if line.get("tokens_per_second") and line.get("tokens")]
    seconds = sum(line["tokens"] / line["tokens_per_second"] for line in timed)
    return {"parameters": _parameters(folder), "training_seconds": round(seconds, 1) if timed else None}


def _parameters(folder: RunFolder) -> int | None:
    if not folder.weights.is_file():
        return None
    try:
        with safe_open(folder.weights, "numpy") as file:
            return int(sum(prod(file.get_slice(name).get_shape()) for name in file.keys()))  # noqa: SIM118
    except (SafetensorError, OSError):
        return None  # Evaluating the run reports the damage; here one figure is missing.
