import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tagsmith.bench import own_process
from tagsmith.bench.recipes import Measurement, compare, table, training_sets
from tagsmith.bench.recipes.contest import Contest, NotInstalled, Outcome
from tagsmith.bench.recipes.training_sets import Prepared, TrainingSet, draw
from tagsmith.config.settings import CONTENDERS, BenchTrainRun, ModelSettings, Recipe, problems
from tagsmith.core.schema import Schema, Task, indicators


def test_neighbours_are_busy_meanwhile_and_end() -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *given: object, **about: object):
            super().__init__(*given, **about)  # type: ignore[call-overload]
            started.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_process.subprocess, "Popen", Recorded)
        with own_process.busy_processes(2):
            assert [process.poll() for process in started] == [None, None]
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


def test_every_recipe_is_a_contender() -> None:
    assert {f"tagsmith_{recipe.value}" for recipe in Recipe} <= set(CONTENDERS)


def test_a_draw_holds_so_many_documents_of_each_class() -> None:
    labels = [0] * 50 + [1] * 20 + [2] * 5
    truth = indicators(labels, 3)
    drawn = draw(truth, 8, seed=0)
    assert truth[drawn].sum(axis=0).tolist() == [8, 8, 5]
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert drawn.tolist() == draw(truth, 8, seed=0).tolist()
    assert drawn.tolist() != draw(truth, 8, seed=1).tolist()
    assert set(drawn) <= set(draw(truth, 16, seed=0))


def test_a_draw_of_multi_label_documents_counts_each_of_their_classes() -> None:
    random = np.random.default_rng(0)
    truth = (random.random((400, 4)) < [0.5, 0.2, 0.1, 0.02]).astype(np.int8)
    drawn = truth[draw(truth, 8, seed=0)]
    assert (drawn.sum(axis=0) >= np.minimum(8, truth.sum(axis=0))).all()
    assert (~drawn.any(axis=1)).sum() == 8
    # One document at least was needed for each, and none is drawn that no class was short of.
    assert 8 + 8 < len(drawn) <= 5 * 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contenders": ["tfidf_svm", "bert"]}, "contenders: expected null or different ones of tagsmith_probe"),
        ({"contenders": []}, "contenders"),
        ({"contenders": ["setfit", "setfit"]}, "contenders"),
        ({"per_class": [8, 0]}, r"per_class: .* found \[8, 0\]"),
        ({"full_data": False}, "full_data, per_class"),
        ({"draws": 0}, "draws: expected at least 1"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, object], message: str) -> None:
    found = problems(BenchTrainRun(model=ModelSettings(name="x"), **changes))  # type: ignore[arg-type]
    assert len(found) == 1
    assert re.match(message, found[0])


def test_contenders_take_turns_on_each_training_set(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = Schema(("a", "b"), Task.single_label)
    sets = [TrainingSet(Path(f"{i}.jsonl"), 8, i, 16) for i in range(2)]
    contests: list[Contest] = []

    def in_this_process(function: object, argument: object, *_: object) -> object:
        if function is training_sets.prepare:
            return Prepared(schema, sets, Path("test.jsonl"), 4, [])
        assert isinstance(argument, Contest)
        contests.append(argument)
        if argument.contender == "setfit":
            raise NotInstalled("no setfit here")
        return Outcome(2.0, 300, 400, 100.0, 0.5, 0.5, 0.25)

    # The package names the function as its module is named.
    monkeypatch.setattr(import_module("tagsmith.bench.recipes.bench_recipes"), "in_own_process", in_this_process)
    settings = BenchTrainRun(contenders=["tagsmith_probe", "setfit"], per_class=[8], full_data=False, draws=2, seed=5)
    rows = list(compare(settings))
    turns = [(contest.contender, contest.train.name, contest.settings.seed) for contest in contests]
    assert turns == [
        ("tagsmith_probe", "0.jsonl", 5),
        ("setfit", "0.jsonl", 5),
        ("tagsmith_probe", "1.jsonl", 6),
        ("setfit", "1.jsonl", 6),
    ]
    assert contests[0].settings.train.recipe is Recipe.probe
    assert contests[0].settings.data.classes == ["a", "b"]
    assert (rows[0].tokens_per_second, rows[0].padding_share, rows[0].macro_f1) == (150.0, 0.25, 0.25)
    assert (rows[1].skipped, rows[1].accuracy) == ("no setfit here", None)


def test_the_table_shows_means_deviations_and_what_was_skipped() -> None:
    about = {"task": "single_label", "classes": 3, "per_class": 8, "documents": 24, "test_documents": 9}
    rows = [
        Measurement("tfidf_svm", **about, repetition=i, seconds=i, accuracy=share, skipped=None)  # type: ignore[arg-type]
        for i, share in ((1, 0.5), (2, 0.6), (3, 0.7))
    ]
    rows.append(Measurement("setfit", **about, repetition=1, skipped="it needs [more]"))  # type: ignore[arg-type]
    console = Console(width=130)
    with console.capture() as written:
        console.print(table(rows))
    for part in ("0.6000", "± 0.1000", "± 1.0", "setfit: skipped: it needs [more]", "9 test documents"):
        assert part in written.get()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for orphans in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_contender_outlives_its_parent(number: signal.Signals) -> None:
    code = "import time; from tagsmith.bench.own_process import in_own_process; in_own_process(time.sleep, 300)"
    asking = subprocess.Popen([sys.executable, "-c", f"if __name__ == '__main__':\n    {code}"])
    try:
        deadline = time.monotonic() + 60
        working: list[str] = []
        while not working and time.monotonic() < deadline:
            time.sleep(0.05)
            started = Path(f"/proc/{asking.pid}/task/{asking.pid}/children").read_text().split()
            working = [pid for pid in started if b"own_process" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        time.sleep(2)  # Until it sleeps.
        asking.send_signal(number)
        assert asking.wait(20) != 0
        while any(Path(f"/proc/{pid}").exists() for pid in working) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert working
        assert not [pid for pid in working if Path(f"/proc/{pid}").exists()]
    finally:
        asking.kill()
