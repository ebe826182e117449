"""Two runs on the same documents: figures by hand, intervals by simulation, and what cannot be compared."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.config.settings import BestMetric, CompareRuns, FailIf, Retagged
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, Task
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.decision.bootstrap import OVERALL
from tagsmith.decision.intervals import overall_intervals
from tagsmith.decision.metrics import figures
from tagsmith.evaluate.comparison.changes import changed
from tagsmith.evaluate.comparison.compare_runs import compare_runs, comparison_of
from tagsmith.evaluate.comparison.page import comparison_page
from tagsmith.evaluate.comparison.paired import Decided, compare_answers, documents_needed, losses, mcnemar
from tagsmith.evaluate.comparison.pairs import Pair, pair_of, read_runs
from tagsmith.evaluate.comparison.table import comparison_text
from tests.documented import documented, fields
from tests.made_runs import class_names, make_run

Lines = list[tuple[str, list[str], list[str]]]
ACCURACY, MICRO, MACRO = (OVERALL.index(name) for name in ("accuracy", "micro_f1", "macro_f1"))
FIRST: Lines = [("1", ["a"], ["a"]), ("2", ["a"], ["b"]), ("3", ["b"], ["b"]), ("4", ["b"], ["a"])]
SECOND: Lines = [("1", ["a"], ["a"]), ("2", ["a"], ["a"]), ("3", ["b"], ["b"]), ("4", ["b"], ["a"])]
SETTINGS = CompareRuns(runs=["x", "y"], resamples=300)


def one_hot(ids: Any, classes: int = 2) -> Any:
    return np.eye(classes, dtype=np.int8)[np.asarray(ids)]


def decided(predicted: Any) -> Decided:
    return Decided(predicted, np.zeros(len(predicted)))


def write_run(
    folder: Path,
    lines: Lines,
    classes: tuple[str, ...] = ("a", "b"),
    task: Task = Task.single_label,
    split: str = "test",
    asks: str | None = None,
) -> RunFolder:
    """A run with predictions: id, labels, predicted; the text is that of the id, scores are 0.8 and the rest.

    Args:
        asks: the ids, of a letter each, that go to a person; None: the run knows of no person.
    """
    folder.mkdir()
    run = RunFolder(folder)
    versions = dict.fromkeys(("tagsmith", "torch", "transformers"), "1")
    settings = {f"model.{name}": "m" for name in ("path", "name", "package")}
    run.settings.write_text(json.dumps({"settings": settings, "versions": versions, "started": "2026-11-25"}))
    Schema(classes, task).save(run.schema)
    evaluation: dict[str, Any] = {"split": split, "documents": len(lines), "classes": {name: {} for name in classes}}
    evaluation["operating_point"] = None if asks is None else {"threshold": 0.5}
    run.evaluation.write_text(json.dumps(evaluation))
    with run.predictions.open("w") as file:
        for name, labels, predicted in lines:
            scores = {each: 0.8 if each in predicted else 0.2 / max(1, len(classes) - 1) for each in classes}
            line = {"id": name, "text": f"text {name}", "labels": labels, "predicted": predicted, "scores": scores}
            file.write(json.dumps(line | ({} if asks is None else {"to_person": name in asks})) + "\n")
    return run


def pair(first: RunFolder, second: RunFolder, **more: Any) -> Pair:
    files = read_runs([first, second])
    return pair_of((first, second), (files[0], files[1]), **more)


def test_four_documents_by_hand(tmp_path: Path) -> None:
    both = pair(write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", SECOND))
    found = comparison_of(both, SETTINGS)
    accuracy, macro = found["figures"]["accuracy"], found["figures"]["macro_f1"]
    assert (accuracy["first"], accuracy["second"], accuracy["difference"]) == (0.5, 0.75, 0.25)
    # First: precision and recall 1/2 in both. Second: a 2/3 and 1, b 1 and 1/2.
    assert macro["difference"] == pytest.approx((0.8 + 2 / 3) / 2 - 0.5)
    assert found["mcnemar"] == {"gained": 1, "lost": 0, "p_value": 1.0}
    assert found["figures"]["log_loss"]["difference"] == pytest.approx((np.log(0.2) - np.log(0.8)) / 4)
    assert [(line["id"], line["change"]) for line in found["changed"]] == [("2", "gained")]
    assert found["changed"][0]["scores"] == {"a": [0.2, 0.8], "b": [0.8, 0.2]}
    a, b = found["classes"]["a"], found["classes"]["b"]
    assert (a["recall"]["difference"], b["recall"]["difference"]) == (0.5, 0)
    assert a["precision"]["difference"] == pytest.approx(2 / 3 - 1 / 2)
    # One document changed: exchanged or not, the difference is as large.
    assert (a["p_value"], b["p_value"]) == (1, 1)
    assert found["verdict"]["better"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_run_against_its_own_copy_differs_in_nothing(tmp_path: Path) -> None:
    found = comparison_of(pair(write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", FIRST)), SETTINGS)
    rows = [*found["figures"].values(), *(row["f1"] for row in found["classes"].values())]
    assert all(row["difference"] == 0 and row["interval"] == [0, 0] and row["p_value"] == 1 for row in rows)
    assert found["changed"] == []
    assert found["verdict"]["sentences"] == ["y and x predict the same for every document: no difference in macro F1."]


@pytest.mark.parametrize("multi_label", [False, True])
def test_figures_are_those_of_an_evaluation(tmp_path: Path, multi_label: bool) -> None:
    runs = [RunFolder(make_run(tmp_path / name, documents=150, multi_label=multi_label)) for name in "xy"]
    lines = [json.loads(line) for line in runs[1].predictions.read_text().split("\n") if line]
    for line, other in pairwise(lines):
        line["predicted"], line["scores"] = other["predicted"], other["scores"]  # Mostly wrong: another's answers.
    runs[1].predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    both = pair(*runs)
    found = comparison_of(both, SETTINGS)
    for place, side in (("first", both.first), ("second", both.second)):
        expected = figures(side.scores, both.truth, list(both.classes), multi_label, 0.5, side.predicted)
        assert found["figures"]["accuracy"][place] == pytest.approx(expected["accuracy"])
        assert found["figures"]["micro_f1"][place] == pytest.approx(expected["micro"]["f1"])
        assert found["figures"]["macro_f1"][place] == pytest.approx(expected["macro"]["f1"])
        assert found["figures"]["log_loss"][place] == pytest.approx(expected["log_loss"], rel=2e-3)
        for name, row in expected["classes"].items():
            for figure in ("precision", "recall", "f1"):
                assert (found["classes"][name][figure][place] or 0) == pytest.approx(row[figure])
    assert found["figures"]["macro_f1"]["p_value"] < 0.01
    assert found["verdict"]["better"] == "x"


def simulated(documents: int, rates: tuple[float, float], seed: int) -> tuple[Any, Decided, Decided]:
    """Truth and two predictions that are right so often; half of what decides is common to both."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, documents)
    common, shared = draw.random(documents), draw.random(documents) < 0.5
    hard = [np.where(shared, common, draw.random(documents)) for _ in rates]
    answers = [one_hot(np.where(own < rate, truth, 1 - truth)) for own, rate in zip(hard, rates, strict=True)]
    return one_hot(truth), decided(answers[0]), decided(answers[1])


@pytest.fixture(scope="module")
def few_exchanges() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tagsmith.evaluate.comparison.paired.EXCHANGES", 400)
        yield


@pytest.mark.slow
def test_the_interval_holds_the_true_difference_as_often_as_it_says(few_exchanges: None) -> None:
    held = np.zeros(2)
    for seed in range(200):
        found = compare_answers(*simulated(300, (0.80, 0.86), seed), 300, seed).overall
        # Both classes are alike, so that macro F1 is the accuracy where there are many documents.
        held += (found.low[[ACCURACY, MACRO]] <= 0.06) & (found.high[[ACCURACY, MACRO]] >= 0.06)
    assert (held >= 180).all()
    assert (held <= 198).all()


@pytest.mark.slow
def test_one_in_twenty_equal_runs_is_called_better(few_exchanges: None) -> None:
    chances = [compare_answers(*simulated(120, (0.8, 0.8), seed), 100, seed).overall.chance for seed in range(300)]
    for figure in (MACRO, ACCURACY):
        called = sum(one[figure] < 0.05 for one in chances)
        assert 3 <= called <= 26


@pytest.mark.slow
def test_no_class_of_equal_runs_is_called_different() -> None:
    """A bootstrap alone calls one so in 1 of 10 such comparisons: it takes few documents for more than they are."""
    classes, each = 40, 25
    truth, called = np.repeat(np.arange(classes), each), 0
    for seed in range(12):
        draw = np.random.default_rng(seed)
        hard = draw.random((2, len(truth))) < 0.08
        first, second = (decided(one_hot(np.where(one, (truth + 1) % classes, truth), classes)) for one in hard)
        called += bool((compare_answers(one_hot(truth, classes), first, second, 100, 0).corrected < 0.05).any())
    assert called <= 2


def test_a_class_that_is_learnt_at_last_is_called_different() -> None:
    truth = np.repeat(np.arange(5), 40)
    before, after = decided(one_hot(np.where(truth == 3, 4, truth), 5)), decided(one_hot(truth, 5))
    found = compare_answers(one_hot(truth, 5), before, after, 200, 0)
    assert (found.corrected < 0.05).tolist() == [False, False, False, True, True]
    # Class 3 was never predicted before: it had no precision, but an F1.
    assert np.isnan(found.classes.low[3, 0])
    assert found.classes[3, 2]["difference"] == 1


def test_a_paired_interval_is_narrower_than_two() -> None:
    truth, first, second = simulated(1000, (0.80, 0.84), 0)
    found = compare_answers(truth, first, second, 500, 0).overall
    alone = [overall_intervals(truth, one.predicted, 500, 0)["accuracy"] for one in (first, second)]
    unpaired = np.hypot(*(high - low for low, high in alone))
    assert found.high[ACCURACY] - found.low[ACCURACY] < 0.85 * unpaired


def test_randomization_agrees_with_mcnemars_test_on_accuracy() -> None:
    truth, first, second = simulated(200, (0.75, 0.85), 3)
    found = compare_answers(truth, first, second, 100, 0)
    # Of one class a document, micro F1 is the accuracy; it is judged by the exchange, the accuracy by the exact test.
    assert found.overall.chance[MICRO] == pytest.approx(found.mcnemar, abs=0.02)
    assert found.overall.chance[ACCURACY] == found.mcnemar
    assert mcnemar(1, 9) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(0, 0) == 1


def test_the_seed_is_deterministic_and_the_order_of_runs_changes_the_sign() -> None:
    truth, first, second = simulated(150, (0.75, 0.85), 1)
    ours = [compare_answers(truth, first, second, 200, 7).overall for _ in range(2)]
    theirs = compare_answers(truth, second, first, 200, 7).overall
    assert np.array_equal(ours[0].low, ours[1].low, equal_nan=True)
    assert theirs.difference[:4] == pytest.approx(-ours[0].difference[:4])
    assert theirs.low[:4] == pytest.approx(-ours[0].high[:4])
    assert theirs.chance[:4] == pytest.approx(ours[0].chance[:4], abs=0.02)


def test_losses_of_documents() -> None:
    scores = np.asarray([[0.7, 0.3], [0.2, 0.8]], dtype=np.float32)
    truth = one_hot([0, 0])
    assert losses(scores, truth, False) == pytest.approx([-np.log(0.7), -np.log(0.2)], rel=1e-6)
    both = [-(np.log(0.7) + np.log(0.7)) / 2, -(np.log(0.2) + np.log(0.2)) / 2]
    assert losses(scores, truth, True) == pytest.approx(both, rel=1e-6)
    assert losses(np.zeros((1, 2), dtype=np.float32), truth[:1], False) == pytest.approx([np.log(2e6)])


def test_documents_needed_to_detect_a_difference() -> None:
    # With a standard error of 2 points, a difference of (1.96 + 0.84) * 2 points shows in 4 of 5 cases.
    assert documents_needed(0.02, 500, 0.01) == pytest.approx(500 * 5.603**2, rel=1e-3)
    assert documents_needed(0.001, 500, 0.01) == 500
    draw, shown = np.random.default_rng(0), 0
    error = 0.02 * (500 / documents_needed(0.02, 500, 0.02)) ** 0.5
    for found in draw.normal(0.02, error, 2000):
        shown += found > 1.96 * error
    assert 1550 <= shown <= 1650


def answers(right: Callable[[int], bool], documents: int = 200) -> Lines:
    tags = ["ab"[i % 2] for i in range(documents)]
    return [(str(i), [tag], [tag if right(i) else "ab"[i % 2 - 1]]) for i, tag in enumerate(tags)]


def sentences_of(folder: Path, first: Lines, second: Lines, by: BestMetric = BestMetric.macro_f1) -> list[str]:
    folder.mkdir(exist_ok=True)
    runs = [write_run(folder / name, lines) for name, lines in (("before", first), ("after", second))]
    found = comparison_of(pair(*runs), CompareRuns(runs=["before", "after"], resamples=300, by=by))
    sentences: list[str] = found["verdict"]["sentences"]
    return sentences


@pytest.mark.parametrize("by", BestMetric)
def test_the_verdict_names_the_better_run(tmp_path: Path, by: BestMetric) -> None:
    good, bad = answers(lambda i: i % 10 > 1), answers(lambda i: i % 10 > 4)
    first, *_ = sentences_of(tmp_path / "1", bad, good, by)
    other, *_ = sentences_of(tmp_path / "2", good, bad, by)
    assert first.startswith("after is better than before by ")
    assert other.startswith("before is better than after by ")
    # The same amount, and an interval above none.
    assert other.split("(")[0].split(" by ")[1] == first.split("(")[0].split(" by ")[1]
    assert "-" not in first + other


def test_the_verdict_says_when_a_difference_is_not_significant(tmp_path: Path) -> None:
    sentences = sentences_of(tmp_path, answers(lambda i: i % 20 > 2), answers(lambda i: i % 20 not in (3, 4, 5, 6)))
    assert sentences[0].startswith("No significant difference in macro F1: after has ")
    assert sentences[1].startswith("To detect a difference of 1 point in 80% of cases, ")
    assert sentences[1].endswith("more test documents like these would be needed.")
    assert "30 went from wrong to right and 40 from right to wrong with after" in sentences[2]


def test_a_significant_difference_may_be_irrelevant(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "x", answers(lambda i: i % 10 > 4)), write_run(tmp_path / "y", answers(bool))]
    found = comparison_of(pair(*runs), CompareRuns(runs=["x", "y"], resamples=100, smallest=0.9))
    assert found["verdict"]["better"] == "y"
    assert found["verdict"]["sentences"][1] == "That is less than the smallest relevant difference, 90 points."


def test_a_verdict_that_is_decided_asks_for_no_more_documents(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "x", answers(lambda i: i % 10 > 4)), write_run(tmp_path / "y", answers(bool))]
    assert comparison_of(pair(*runs), SETTINGS)["verdict"]["documents_needed"] is None
    # One more right and one less: whatever the difference is, it is below 5 points.
    runs = [write_run(tmp_path / f"{i}", answers(lambda k, i=i: k != i)) for i in (20, 31)]
    found = comparison_of(pair(*runs), CompareRuns(runs=["20", "31"], resamples=300, smallest=0.05))["verdict"]
    assert (found["better"], found["documents_needed"]) == (None, None)
    assert found["sentences"][0].startswith("No significant difference in macro F1: both have the same (95% interval ")
    assert found["sentences"][1] == "Any difference is below the smallest relevant one, 5 points."


def test_a_handful_of_changed_documents_is_no_proof(tmp_path: Path) -> None:
    """All five became right: the bootstrap interval excludes 0, but chance brings as much in 1 of 16 cases."""
    before = answers(lambda i: i % 10 > 1 and i not in (2, 23, 44, 65, 86))
    runs = [write_run(tmp_path / "x", before), write_run(tmp_path / "y", answers(lambda i: i % 10 > 1))]
    found = comparison_of(pair(*runs), SETTINGS)
    assert found["figures"]["macro_f1"]["interval"][0] > 0
    assert found["mcnemar"]["p_value"] == 2 / 2**5
    assert found["verdict"]["better"] is None


def test_documents_are_the_same_by_id_and_text_and_judged_by_the_second_runs_tags(tmp_path: Path) -> None:
    first = write_run(tmp_path / "x", [*FIRST, ("5", ["a"], ["a"]), ("6", ["a"], ["a"])])
    second = write_run(tmp_path / "y", [("9", ["a"], ["a"]), ("4", ["a"], ["a"]), *SECOND[:3], ("6", ["b"], ["b"])])
    second.predictions.write_text(second.predictions.read_text().replace("text 6", "text of old"))
    both = pair(first, second)
    assert sorted(both.ids) == ["1", "2", "3", "4"]
    assert (both.first.alone, both.second.alone, both.other_text) == (2, 2, 1)
    assert [(one.id, one.first, one.second) for one in both.retagged] == [("4", ["b"], ["a"])]
    assert changed(both)[0]["id"] == "2"
    found = comparison_of(both, SETTINGS)
    # By its new tag, document 4 is right in both.
    assert found["figures"]["accuracy"]["second"] == 1
    text = comparison_text(found)
    assert "2 documents that only x was evaluated on, 2 that only y was; 1 id with different texts in the two." in text
    assert "1 document tagged differently in the two runs: judged by the tags of y." in text
    without = pair(first, second, retagged=Retagged.left_out)
    assert sorted(without.ids) == ["1", "2", "3"]
    assert len(without.retagged) == 1


def test_what_runs_handle_alone(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, FIRST, asks=asks) for name, asks in (("x", "4"), ("y", "24"))]
    found = comparison_of(pair(*runs), SETTINGS)["operating_point"]
    assert (found["coverage"]["first"], found["coverage"]["second"]) == (0.75, 0.5)
    assert (found["precision"]["first"], found["precision"]["second"]) == (pytest.approx(2 / 3), 1)
    plain = write_run(tmp_path / "z", FIRST)
    assert comparison_of(pair(runs[0], plain), SETTINGS)["operating_point"] is None


def test_the_order_of_classes_does_not_matter(tmp_path: Path) -> None:
    both = pair(write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", FIRST, ("b", "a")))
    assert (both.first.predicted == both.second.predicted).all()
    assert both.first.scores == pytest.approx(both.second.scores)


def test_changed_classes_are_compared_as_common_classes(tmp_path: Path) -> None:
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
    both = pair(
        write_run(tmp_path / "x", old, ("a", "b", "c", "d")),
        write_run(tmp_path / "y", new, ("ab", "c1", "c2", "e")),
        changes=changes,
    )
    assert both.classes == ("ab", "c")
    assert both.other_classes == 1
    assert both.ids == ["1", "2", "3", "5"]
    assert both.first.predicted.tolist() == [[1, 0], [1, 0], [0, 1], [0, 0]]
    assert both.second.predicted.tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]
    # The scores of a and b together: 0.2 / 3 and 0.8.
    assert both.first.scores[0].tolist() == pytest.approx([0.8 + 0.2 / 3, 0.2 / 3])
    assert "1 document of classes that only one of the runs has" in comparison_text(comparison_of(both, SETTINGS))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"classes": ("a", "c"), "lines": [("1", ["a"], ["c"])]}, "only in the first: b; only in the second: c"),
        ({"task": Task.multi_label}, "expected the same task, found single_label in .* and multi_label"),
        ({"split": "validation"}, "expected the same split, found test in .* and validation"),
        ({"lines": [("7", ["a"], ["a"])]}, "no common document.* 0 ids .* 0 texts"),
    ],
)
def test_runs_that_cannot_be_compared(tmp_path: Path, second: dict[str, Any], message: str) -> None:
    first = write_run(tmp_path / "x", FIRST)
    lines = second.pop("lines", FIRST)
    with pytest.raises(SettingsError, match=message):
        pair(first, write_run(tmp_path / "y", lines, **second))


def test_all_retagged_leaves_nothing_to_judge(tmp_path: Path) -> None:
    other: Lines = [(id, ["b" if tags == ["a"] else "a"], predicted) for id, tags, predicted in FIRST]
    first, second = write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", other)
    with pytest.raises(SettingsError, match="retagged=later_run"):
        pair(first, second, retagged=Retagged.left_out)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace('"b": 0.8', '"b": NaN', 1), "line 2: expected scores from 0 to 1"),
        (lambda text: text.replace('"b": 0.8', '"b": 1.5', 1), "line 2: expected scores from 0 to 1"),
        (lambda text: text.replace('"labels": ["a"]', '"labels": ["a", "b"]', 1), "line 1: expected one tag"),
        (lambda text: text.replace('"predicted": ["b"]', '"predicted": []', 1), "line 2: expected one tag"),
        (lambda text: text.replace('"labels": ["a"]', '"labels": ["z"]', 1), "evaluate the run again"),
        (lambda text: text.replace('"id": "2"', '"id": "1"'), "id 1: expected once, found 2 times"),
        (lambda text: text.replace('"id": "2"', '"id": 2'), "evaluate the run again"),
        (lambda text: text.replace('"scores"', '"score"', 1), "evaluate the run again"),
        (lambda text: text.replace('{"id": "2"', '"id": "2"'), r"predictions\.jsonl:2: expected a JSON object"),
        (lambda text: text.replace("}\n", "]\n", 1), r"predictions\.jsonl:1: expected a JSON object"),
        (lambda text: text[: text.rindex('{"id"')], "as many predictions as documents"),
    ],
)
def test_damaged_predictions(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    first, second = write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", FIRST)
    text = second.predictions.read_text()
    assert damage(text) != text
    second.predictions.write_text(damage(text))
    with pytest.raises(DataError, match=message):
        pair(first, second)


def test_a_run_against_itself_and_runs_that_are_not_whole(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", FIRST)
    with pytest.raises(SettingsError, match="different runs"):
        pair(first, RunFolder(tmp_path / "y" / ".." / "x"))
    with pytest.raises(InputMissing):
        pair(first, RunFolder(tmp_path / "nowhere"))
    second.evaluation.write_text("[]")
    with pytest.raises(DataError, match="expected a JSON object"):
        pair(first, second)
    second.predictions.unlink()
    with pytest.raises(InputMissing, match=r"scripts/evaluate\.py"):
        pair(first, second)


def test_changes_that_do_not_lead_to_the_second_run(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", FIRST)
    with pytest.raises(SettingsError, match="missing in the second: c; only in the second: b"):
        pair(first, second, changes=SchemaChanges({"b": "c"}))


@pytest.mark.slow
def test_folders_of_comparisons(tmp_path: Path) -> None:
    lines = {"x": FIRST, "y": SECOND, "z": FIRST}
    runs = [str(write_run(tmp_path / name, lines[name]).path) for name in lines]
    found = compare_runs(CompareRuns(runs=runs, resamples=100))
    assert [one.folder for one in found] == [tmp_path / "y/compared/x", tmp_path / "z/compared/x"]
    assert [one.found["mcnemar"]["gained"] for one in found] == [1, 0]
    content = found[0].json.read_text()
    assert json.loads(content) == found[0].found
    compare_runs(CompareRuns(runs=runs[:2], resamples=100, out=str(tmp_path / "out")))
    assert (tmp_path / "out/comparison.json").read_text() == content
    assert (tmp_path / "out/comparison.html").read_text() == found[0].page.read_text()
    compare_runs(CompareRuns(runs=runs, resamples=100, out=str(tmp_path / "out")))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"comparison.json", "comparison.html", "y", "z"}
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="found a file"):
        compare_runs(CompareRuns(runs=runs[:2], out=str(tmp_path / "file/in")))
    (tmp_path / "deep").mkdir()
    twin = str(write_run(tmp_path / "deep/y", FIRST).path)
    with pytest.raises(SettingsError, match="two runs for"):
        compare_runs(CompareRuns(runs=[*runs[:2], twin], out=str(tmp_path / "other")))
    assert not (tmp_path / "other").exists()


def test_nothing_is_written_if_one_run_cannot_be_compared(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "x", FIRST), write_run(tmp_path / "y", SECOND)]
    runs.append(write_run(tmp_path / "z", FIRST, ("a", "c", "b")))
    with pytest.raises(SettingsError, match="only in the second: c"):
        compare_runs(CompareRuns(runs=[str(run.path) for run in runs]))
    assert not (tmp_path / "y/compared").exists()


@pytest.mark.parametrize(("runs", "problem"), [([], "found 0"), (["a"], "found 1"), (["a", " "], "found an empty one")])
def test_settings_that_name_no_two_runs(runs: list[str], problem: str) -> None:
    assert any(problem in one for one in CompareRuns(runs=runs).problems())


def test_the_readme_names_every_field_of_the_comparison(tmp_path: Path) -> None:
    runs = [RunFolder(make_run(tmp_path / name, documents=60, seed=seed)) for seed, name in enumerate("xy")]
    lines = [json.loads(line) for line in runs[0].predictions.read_text().split("\n") if line]
    lines[0]["text"] = lines[1]["text"]
    for i, run in enumerate(runs):
        # The same documents, one of them tagged differently, and one with another text.
        mine = [json.loads(line) for line in run.predictions.read_text().split("\n") if line]
        for line, other in zip(mine, lines, strict=True):
            line["text"], line["labels"] = other["text"], other["labels"]
        mine[2]["labels"] = [class_names(5)[i]]
        run.predictions.write_text("".join(json.dumps(line) + "\n" for line in mine))
    found = comparison_of(pair(*runs), SETTINGS)
    there = fields(found, {"runs", "settings", "classes", "changed[].scores"}) | {"settings.*"}
    # A figure has the same fields everywhere, and is described once.
    figures = [name for name in there if name.startswith(("figures.", "operating_point.")) or name.count(".") == 3]
    there = there - set(figures) | {name.rpartition(".")[0] for name in figures}
    there |= {f"FIGURE.{name.rpartition('.')[2]}" for name in figures}
    assert documented("evaluate", "### comparison.json") == there


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (lambda i: i % 10 > 4, lambda i: i % 10 > 1, "better"),
        (lambda i: i % 10 > 1, lambda i: i % 10 > 4, "worse"),
        (lambda i: i % 10 > 1, lambda i: i % 10 > 1, "equal"),
        (lambda i: i != 20, lambda i: i != 31, "undecided"),
        (lambda i: i % 20 > 2, lambda i: i % 20 not in (3, 4, 5, 6), "undecided"),
    ],
)
def test_equal_is_not_undecided(tmp_path: Path, first: Any, second: Any, outcome: str) -> None:
    runs = [write_run(tmp_path / name, answers(right)) for name, right in (("x", first), ("y", second))]
    verdict = comparison_of(pair(*runs), SETTINGS)["verdict"]
    assert verdict["outcome"] == outcome
    assert verdict["fails"] is None


def test_one_document_each_way_is_equal_where_more_matters(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"{i}", answers(lambda k, i=i: k != i)) for i in (20, 31)]
    found = comparison_of(pair(*runs), CompareRuns(runs=["x", "y"], resamples=300, smallest=0.05))
    assert found["verdict"]["outcome"] == "equal"


def test_a_script_can_fail_if_a_run_is_worse_or_not_better(tmp_path: Path) -> None:
    good, bad = answers(lambda i: i % 10 > 1), answers(lambda i: i % 10 > 4)
    runs = {name: write_run(tmp_path / name, lines) for name, lines in (("good", good), ("same", good), ("bad", bad))}

    def fails(first: str, second: str, by: BestMetric = BestMetric.macro_f1, **more: Any) -> str | None:
        settings = CompareRuns(runs=[first, second], resamples=300, by=by, **more)
        found: str | None = comparison_of(pair(runs[first], runs[second]), settings)["verdict"]["fails"]
        return found

    assert fails("good", "same", fail_if=FailIf.worse) is None
    assert fails("bad", "good", fail_if=FailIf.worse) is None
    assert fails("bad", "good", fail_if=FailIf.not_better) is None
    for by in BestMetric:
        worse = fails("good", "bad", by, fail_if=FailIf.worse)
        assert worse is not None
        assert worse.startswith("fail_if=worse: bad may be worse than good by ")
        assert fails("bad", "good", by, fail_if=FailIf.worse) is None
        assert fails("good", "bad", by, fail_if=FailIf.worse, margin=2.0) is None
    assert fails("good", "same", fail_if=FailIf.not_better) == (
        "fail_if=not_better: same is not significantly better than good in macro F1."
    )


def test_documents_are_shown_as_text_on_the_page(tmp_path: Path) -> None:
    classes = ("a<script>", "b&c")
    first = write_run(tmp_path / "x<b>", [("<b>1", [classes[0]], [classes[0]])], classes)
    second = write_run(tmp_path / "y", [("<b>1", [classes[0]], [classes[1]])], classes)
    html = comparison_page(comparison_of(pair(first, second), SETTINGS))
    assert "a<script>" not in html
    assert "text <b>1" not in html
    assert "x<b>" not in html
    assert "a&lt;script&gt;" in html
    assert "a\\u003cscript\\u003e" in html
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in html
