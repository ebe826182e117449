"""Two runs on the same documents: figures by hand, intervals by simulation, and what cannot be compared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.analysis.intervals import overall_intervals
from tagsmith.comparison.differences import compare, losses
from tagsmith.comparison.page import comparison_page
from tagsmith.comparison.pairs import read_pair
from tagsmith.comparison.stage import changed, comparison_of, verdict
from tagsmith.errors import DataError, InputMissing, SettingsError
from tagsmith.run import RunFolder
from tagsmith.schema import Schema, Task
from tagsmith.schema_changes import SchemaChanges

Lines = list[tuple[str, list[str], list[str]]]


def one_hot(ids: Any, classes: int = 2) -> Any:
    return np.eye(classes, dtype=np.int8)[np.asarray(ids)]


def write_run(
    folder: Path,
    lines: Lines,
    classes: tuple[str, ...] = ("a", "b"),
    task: Task = Task.single_label,
    split: str = "test",
) -> RunFolder:
    """A run with predictions: id, labels, predicted; the text is that of the id, scores are 0.8 and the rest."""
    folder.mkdir()
    run = RunFolder(folder)
    run.settings.write_text("{}")
    Schema(classes, task).save(run.schema)
    run.evaluation.write_text(json.dumps({"split": split}))
    with run.predictions.open("w") as file:
        for name, labels, predicted in lines:
            scores = {each: 0.8 if each in predicted else 0.2 / (len(classes) - 1) for each in classes}
            line = {"id": name, "text": f"text {name}", "labels": labels, "predicted": predicted, "scores": scores}
            file.write(json.dumps(line) + "\n")
    return run


FIRST: Lines = [("1", ["a"], ["a"]), ("2", ["a"], ["b"]), ("3", ["b"], ["b"]), ("4", ["b"], ["a"])]
SECOND: Lines = [("1", ["a"], ["a"]), ("2", ["a"], ["a"]), ("3", ["b"], ["b"]), ("4", ["b"], ["a"])]


def test_four_documents_by_hand(tmp_path: Path) -> None:
    pair = read_pair(write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", SECOND))
    found = comparison_of(pair, 500, 0)
    accuracy, macro = found["figures"]["accuracy"], found["figures"]["macro_f1"]
    assert (accuracy["first"], accuracy["second"], accuracy["difference"]) == (0.5, 0.75, 0.25)
    # First: precision and recall 1/2 in both. Second: a 2/3 and 1, b 1 and 1/2.
    assert macro["difference"] == pytest.approx((0.8 + 2 / 3) / 2 - 0.5)
    assert found["mcnemar"] == {"gained": 1, "lost": 0, "p_value": 1.0}
    assert found["figures"]["log_loss"]["difference"] == pytest.approx((np.log(0.2) - np.log(0.8)) / 4)
    assert [(line["id"], line["change"]) for line in found["changed"]] == [("2", "gained")]
    assert found["classes"]["b"]["recall"]["difference"] == 0
    assert json.loads(json.dumps(found)) == found


def test_a_run_against_its_own_copy_differs_in_nothing(tmp_path: Path) -> None:
    pair = read_pair(write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", FIRST))
    found = comparison_of(pair, 200, 0)
    assert all(row["difference"] == 0 and row["interval"] == [0, 0] for row in found["figures"].values())
    assert all(row["p_value"] == 1 for row in found["classes"].values())
    assert found["changed"] == []
    assert found["verdict"].startswith("No difference can be told")


def simulated(documents: int, rates: tuple[float, float], seed: int) -> tuple[Any, tuple[Any, Any]]:
    """Truth and two predictions that are wrong together where both are: right so often of all documents."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, documents)
    hard = draw.random(documents)
    return one_hot(truth), tuple(one_hot(np.where(hard < rate, truth, 1 - truth)) for rate in rates)  # type: ignore[return-value]


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        truth, predicted = simulated(300, (0.80, 0.86), seed)
        nothing = np.zeros(300)
        low, high = compare(truth, predicted, (nothing, nothing), ("a", "b"), 300, seed)["figures"]["accuracy"][
            "interval"
        ]
        held += low <= 0.06 <= high
    assert 182 <= held <= 198


def test_pairs_say_more_than_two_intervals() -> None:
    truth, predicted = simulated(1000, (0.80, 0.84), 0)
    nothing = np.zeros(1000)
    low, high = compare(truth, predicted, (nothing, nothing), ("a", "b"), 500, 0)["figures"]["accuracy"]["interval"]
    alone = overall_intervals(truth, predicted[0], 500, 0)["accuracy"]
    assert low > 0
    assert high - low < (alone[1] - alone[0]) / 1.5


def test_losses_of_documents() -> None:
    scores = np.asarray([[0.7, 0.3], [0.2, 0.8]], dtype=np.float32)
    truth = one_hot([0, 0])
    assert losses(scores, truth, False) == pytest.approx([-np.log(0.7), -np.log(0.2)], rel=1e-6)
    both = [-(np.log(0.7) + np.log(0.7)) / 2, -(np.log(0.2) + np.log(0.2)) / 2]
    assert losses(scores, truth, True) == pytest.approx(both, rel=1e-6)


def test_the_verdict_says_how_many_documents_would_tell() -> None:
    told = verdict({"macro_f1": {"difference": 0.01, "interval": [-0.02, 0.04]}}, 500)
    assert "No difference can be told" in told
    assert "about 4,500 test documents would be needed; there are 500" in told
    assert "worse by 3.0 points" in verdict({"macro_f1": {"difference": -0.03, "interval": [-0.05, -0.01]}}, 500)


def test_documents_are_the_same_by_id_and_text_and_judged_by_the_second_runs_tags(tmp_path: Path) -> None:
    first = write_run(tmp_path / "x", [*FIRST, ("5", ["a"], ["a"])])
    second = write_run(tmp_path / "y", [("9", ["a"], ["a"]), ("4", ["a"], ["a"]), *SECOND[:3]])
    pair = read_pair(first, second)
    assert sorted(pair.ids) == ["1", "2", "3", "4"]
    assert (pair.first.alone, pair.second.alone, pair.retagged) == (1, 1, 1)
    assert changed(pair)[0]["id"] == "2"


def test_classes_that_changed_are_told_in_what_both_know(tmp_path: Path) -> None:
    old: Lines = [
        ("1", ["a"], ["b"]),
        ("2", ["b"], ["b"]),
        ("3", ["c"], ["c"]),
        ("4", ["d"], ["c"]),
        ("5", ["c"], ["d"]),
    ]
    new: Lines = [
        ("1", ["ab"], ["ab"]), ("2", ["ab"], ["c1"]), ("3", ["c1"], ["c2"]), ("4", ["e"], ["ab"]),
        ("5", ["c2"], ["c2"]),
    ]  # fmt: skip
    changes = SchemaChanges({"a": "ab", "b": "ab"}, {"c": ("c1", "c2")}, ("e",), ("d",))
    pair = read_pair(
        write_run(tmp_path / "x", old, ("a", "b", "c", "d")),
        write_run(tmp_path / "y", new, ("ab", "c1", "c2", "e")),
        changes,
    )
    assert pair.classes == ("ab", "c")
    assert pair.untold == 1
    assert pair.ids == ["1", "2", "3", "5"]
    assert pair.first.predicted.tolist() == [[1, 0], [1, 0], [0, 1], [0, 0]]
    assert pair.second.predicted.tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]
    # The scores of a and b together: 0.2 / 3 and 0.8.
    assert pair.first.scores[0].tolist() == pytest.approx([0.8 + 0.2 / 3, 0.2 / 3])


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"classes": ("a", "c"), "lines": [("1", ["a"], ["c"])]}, "in the first alone: b; in the second alone: c"),
        ({"task": Task.multi_label}, "expected one task"),
        ({"split": "validation"}, "found test and validation"),
        ({"lines": [("7", ["a"], ["a"])]}, "no common document"),
    ],
)
def test_runs_that_cannot_be_compared(tmp_path: Path, second: dict[str, Any], told: str) -> None:
    first = write_run(tmp_path / "x", FIRST)
    lines = second.pop("lines", FIRST)
    with pytest.raises(SettingsError, match=told):
        read_pair(first, write_run(tmp_path / "y", lines, **second))


def test_a_run_against_itself_and_runs_that_are_not_whole(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", FIRST)
    with pytest.raises(SettingsError, match="two different runs"):
        read_pair(first, RunFolder(tmp_path / "z" / ".." / "x"))
    with pytest.raises(InputMissing):
        read_pair(first, RunFolder(tmp_path / "nowhere"))
    second.predictions.write_text("{")
    with pytest.raises(DataError, match="evaluate the run again"):
        read_pair(first, second)
    second.evaluation.write_text("[]")
    with pytest.raises(DataError, match="cannot be read"):
        read_pair(first, second)
    second.predictions.unlink()
    with pytest.raises(InputMissing, match=r"scripts/evaluate\.py"):
        read_pair(first, second)


def test_changes_that_do_not_lead_to_the_second_run(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", FIRST)
    with pytest.raises(SettingsError, match="missing there c, more there b"):
        read_pair(first, second, SchemaChanges({"b": "c"}))


def test_what_a_document_holds_is_text_on_the_page(tmp_path: Path) -> None:
    classes = ("a<script>", "b&c")
    first = write_run(tmp_path / "x", [("<b>1", [classes[0]], [classes[0]])], classes)
    second = write_run(tmp_path / "y", [("<b>1", [classes[0]], [classes[1]])], classes)
    html = comparison_page(comparison_of(read_pair(first, second), 100, 0))
    assert "a<script>" not in html
    assert "text <b>1" not in html
    assert "a&lt;script&gt;" in html
    assert "script-src ;" in html
