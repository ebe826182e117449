"""Real SIGKILLs at random instants and inside of writing; `scripts/check_kills.py` is the long form."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tagsmith.bench.kills import check_kills
from tagsmith.config.settings import CheckKills, TrainRun
from tests.forked import forkserver_context

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_never_was(
    settings: Make, single_label_file: Path
) -> None:
    forkserver_context()  # The server that the tests of scripts use, instead of one with other imports.
    # Validations, lines of figures and checkpoints fall on different steps.
    recipe = settings(
        single_label_file, "kills", epochs=3, checkpoint_every=4, validate_every=5, log_every=3,
        early_stopping_patience=50,
    )  # fmt: skip
    states = check_kills(CheckKills(**vars(recipe), kills=8))
    assert len(states) == 8
    assert any("into the writing of a checkpoint" in line for line in states)
