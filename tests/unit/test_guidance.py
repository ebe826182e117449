"""Each kind of guidance on figures small enough to check by hand: when it is given, when not, and what it says."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.core.schema import indicators_of_names
from tagsmith.decision.intervals import class_intervals
from tagsmith.decision.metrics import figures
from tagsmith.decision.significance import holm, more_than, proportions_differ
from tagsmith.evaluate.guidance.collision_lines import beyond_chance, by_chance, confusions, merged
from tagsmith.evaluate.guidance.guidance import Facts, guidance
from tagsmith.evaluate.guidance.lines import KINDS, named
from tagsmith.evaluate.report import guidance_text
from tagsmith.evaluate.report.class_table import class_rows
from tagsmith.evaluate.report.confusion import missed_and_invented

RULE = {"max_tokens": 64, "long_documents": "head", "overlap": 32, "max_windows": 8}

Pairs = list[tuple[str, str]]


class Case:
    """An evaluation with nothing to remark but that it is not calibrated; a test changes one thing in it."""

    def __init__(self, pairs: list[tuple[Any, Any]], classes: list[str], multi_label: bool = False):
        def names(given: Any) -> list[str]:
            return given if isinstance(given, list) else [given]

        self.rows = [
            {
                "id": f"t{i}", "text": f"text {i}", "labels": names(true), "predicted": names(said),
                "scores": {name: 0.9 if name in names(said) else 0.1 for name in classes},
            }
            for i, (true, said) in enumerate(pairs)
        ]  # fmt: skip
        truth, predicted = (
            indicators_of_names([row[key] for row in self.rows], classes) for key in ("labels", "predicted")
        )
        self.facts = Facts("runs/mine", "finetune", RULE, classes, multi_label)
        scores = np.where(predicted == 1, 0.9, 0.1).astype(np.float32)
        self.evaluation = {"split": "test", "threshold": 0.5 if multi_label else None}
        self.evaluation |= figures(scores, truth, classes, multi_label, 0.5)
        support = {name: self.evaluation["classes"][name]["support"] for name in classes}
        counts = ("true_positives", "false_positives", "false_negatives")
        self.analysis: dict[str, Any] = {
            "split": "test",
            "intervals": {
                "classes": {
                    name: class_intervals(*(row[count] for count in counts))
                    for name, row in self.evaluation["classes"].items()
                }
            },
            "baselines": {"probe": None, "tfidf": None},
            "learning_curve": None,
            "data": {
                "classes": {name: {"train": 5 * count, "test": count} for name, count in support.items()},
                "documents": {"train": 5 * len(pairs), "test": len(pairs)},
                "tokens": {split: {"p50": 9, "p95": 20, "max": 30, "cut": 0} for split in ("train", "test")},
            },
            "near_duplicates": {
                "within": {}, "across": [], "across_documents": {}, "differently_tagged": [],
                "differently_tagged_pairs": 0, "same_text_differently_tagged": 0, "without": None,
                "compared": {"train": 5 * len(pairs), "test": len(pairs)},
            },
            "explanations": {"by": "occlusion", "documents": {}},
        }  # fmt: skip

    def lines(self, kind: str | None = None) -> list[dict[str, Any]]:
        found = guidance(self.evaluation, self.analysis, self.rows, self.facts)
        assert found == guidance(self.evaluation, self.analysis, self.rows, self.facts)
        json.dumps(found)
        return [line for line in found if kind in (None, line["kind"])]

    def line(self, kind: str) -> dict[str, Any]:
        (line,) = self.lines(kind)
        return line


def right(classes: list[str], each: int) -> Pairs:
    return [(name, name) for name in classes for _ in range(each)]


@pytest.fixture
def calm() -> Case:
    return Case(right(["a", "b", "c"], 60), ["a", "b", "c"])


def test_a_good_run_gets_little_guidance(calm: Case) -> None:
    assert [line["kind"] for line in calm.lines()] == ["not_calibrated"]
    line = calm.line("not_calibrated")
    assert line["severity"] == "note"
    assert line["remedy"] == "python scripts/calibrate.py run=runs/mine"
    calm.evaluation["scores"] = {"calibrated": False}
    assert calm.lines("not_calibrated")
    calm.evaluation["scores"] = {"calibrated": True}
    assert calm.lines() == []


def test_few_documents(calm: Case) -> None:
    for name, count in (("a", 14), ("b", 15), ("c", 49)):
        calm.analysis["data"]["classes"][name]["train"] = count
    problem, advice = calm.lines("few_documents")
    assert (problem["severity"], problem["classes"], problem["figure"]["missing"]) == ("problem", ["a"], 1)
    assert (advice["severity"], advice["classes"], advice["figure"]["missing"]) == ("advice", ["b", "c"], 36)
    assert "Tag 36 more documents of these classes" in advice["remedy"]
    calm.analysis["data"]["classes"]["c"]["train"] = 50
    assert calm.lines("few_documents")[1]["classes"] == ["b"]


def test_absent_from_test(calm: Case) -> None:
    calm.analysis["data"]["classes"]["b"] = {"train": 300}
    line = calm.line("absent_from_test")
    assert line["severity"] == "problem"
    assert line["classes"] == ["b"]
    assert line["title"] == "1 class has no documents in test: b."


def test_imbalance(calm: Case) -> None:
    calm.analysis["data"]["classes"]["b"]["train"] = 31
    assert not calm.lines("imbalance")
    calm.analysis["data"]["classes"]["b"]["train"] = 30
    line = calm.line("imbalance")
    assert line["classes"] == ["b"]
    assert line["figure"] == {"largest": 300, "smallest": 30, "by_class": {"b": 30}}


def test_other_mix(calm: Case) -> None:
    data = calm.analysis["data"]
    data["documents"] = {"train": 1000, "test": 300}
    data["classes"] = {
        "a": {"train": 100, "test": 90},
        "b": {"train": 500, "test": 150},
        "c": {"train": 400, "test": 60},
    }
    line = calm.line("other_mix")
    assert line["classes"] == ["a", "c"]  # The surest first; b has half of both.
    assert line["figure"]["by_class"]["a"]["train"] == pytest.approx(0.1)
    assert line["figure"]["by_class"]["a"]["test"] == pytest.approx(0.3)
    assert "10.0% of the training documents and 30.0% of test" in line["reason"]
    data["documents"] = {"train": 1_000_000, "test": 1_000_000}
    data["classes"] = {name: {"train": 330_000, "test": 330_000} for name in "abc"}
    data["classes"]["a"]["test"] = 340_000  # Sure, and of no importance.
    assert proportions_differ(330_000, 1_000_000, 340_000, 1_000_000) < 1e-9
    assert not calm.lines("other_mix")


def test_significance_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04: times 3, 2, 1, never falling.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.01], tests=10) == pytest.approx([0.1])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    # Fisher's exact test of 3 of 3 against 0 of 3: 2 / C(6, 3).
    assert proportions_differ(3, 3, 0, 3) == pytest.approx(0.1)
    assert proportions_differ(0, 5, 0, 7) == 1
    assert more_than(1, 0.5) == pytest.approx(1 - np.exp(-0.5))
    assert more_than(0, 0.5) == 1


def collided(there: int, back: int) -> Case:
    """40 documents of each of ten classes; so many of a are given to b, and back; one of c to each of d, e and f."""
    pairs = right(list("abcdefghij"), 40)
    for i in range(there):
        pairs[i] = ("a", "b")
    for i in range(back):
        pairs[40 + i] = ("b", "a")
    for i, name in enumerate("def"):
        pairs[80 + i] = ("c", name)
    return Case(pairs, list("abcdefghij"))


def test_a_collision_with_what_merging_would_give() -> None:
    case = collided(5, 3)
    line = case.line("collision")
    assert line["severity"] == "problem"  # 8 of 80
    assert line["classes"] == ["a", "b"]
    figure = line["figure"]
    assert (figure["documents"], figure["a -> b"], figure["b -> a"], figure["support"]) == (8, 5, 3, 80)
    assert figure["accuracy"] == pytest.approx(389 / 400)
    assert figure["accuracy_merged"] == pytest.approx(397 / 400)
    # As one class a and b are perfect; c has F1 74/77, each of d, e and f 80/81, the other four 1.
    assert figure["macro_f1_merged"] == pytest.approx((1 + 74 / 77 + 3 * 80 / 81 + 4) / 9)
    assert figure["macro_f1"] == pytest.approx(case.evaluation["macro"]["f1"])
    assert [(e["labels"], e["predicted"]) for e in line["examples"]] == [(["a"], ["b"])] * 3 + [(["b"], ["a"])] * 3
    assert all(e["split"] == "test" for e in line["examples"])
    # 8 errors of a and b fall on nine other classes: 5/9 + 3/9 by chance.
    assert figure["p"] == pytest.approx(45 * more_than(8, 5 / 9 + 3 / 9), rel=0.05)


def test_no_collision_one_way_or_by_chance() -> None:
    assert not collided(8, 0).lines("collision")
    assert not collided(1, 1).lines("collision")


def test_classes_that_attract_errors_by_their_size_alone() -> None:
    truth, predicted = (indicators_of_names([[name] for name in names], "abc") for names in ("aabbc", "babac"))
    assert confusions(truth, predicted).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    even = by_chance(truth, predicted, np.array([99, 99, 99]), False)
    assert even[0, 1] == pytest.approx(0.5)
    large = by_chance(truth, predicted, np.array([99, 899, 99]), False)
    assert large[0, 1] == pytest.approx(0.9)
    assert beyond_chance(np.array([[0, 9], [9, 0]]), np.array([[0, 9.0], [9.0, 0]])) == []  # Two classes: all errors.


def test_many_confused_pairs_share_a_line() -> None:
    names = [f"{i:02}" for i in range(40)]
    pairs = right(names, 40)
    for k in range(0, 16, 2):
        for i in range(3):
            pairs[k * 40 + i] = (names[k], names[k + 1])
            pairs[(k + 1) * 40 + i] = (names[k + 1], names[k])
    lines = Case(pairs, names).lines("collision")
    assert len(lines) == 6
    assert lines[-1]["title"] == "3 further pairs of classes are confused: 10 / 11, 12 / 13 and 14 / 15."
    assert lines[-1]["figure"]["documents"] == 18


def test_multi_label_confusions_are_missed_and_invented_pairs() -> None:
    pairs: list[tuple[Any, Any]] = [(["a", "c"], ["b", "c"])] * 4 + [(["b"], ["a"])] * 3
    pairs += [(["a"], ["a"]), (["b"], ["b"]), (["c"], ["c"]), ([], [])] * 60
    case = Case(pairs, ["a", "b", "c"], multi_label=True)
    line = case.line("collision")
    assert line["classes"] == ["a", "b"]
    assert line["title"] == "a and b are predicted in place of each other: 7 documents."
    assert line["figure"]["accuracy_merged"] == 1
    truth, predicted = (indicators_of_names([row[key] for row in case.rows], "abc") for key in ("labels", "predicted"))
    # 4 documents lack a, and 4 of the 184 without b have b invented; and the other way round.
    chance = by_chance(truth, predicted, np.zeros(3), True)
    assert chance[0, 1] == pytest.approx(4 * 4 / (247 - 63))
    assert merged(truth, predicted, 1, 0)["accuracy_merged"] == merged(truth, predicted, 0, 1)["accuracy_merged"] == 1


def near(**changes: Any) -> dict[str, Any]:
    return {
        "id": "t0", "split": "test", "other_id": "r0", "other_split": "train", "similarity": 0.9, "text": "one text",
        "other_text": "one text.", "labels": ["a"], "other_labels": ["a"], **changes,
    }  # fmt: skip


def test_near_duplicates(calm: Case) -> None:
    found = calm.analysis["near_duplicates"]
    found |= {"across": [near()], "across_documents": {"test": 1, "validation": 4}}
    found["without"] = {"documents": 179, "accuracy": 0.999, "micro_f1": 0.999, "macro_f1": 0.999}
    line = calm.line("near_duplicates")
    assert line["severity"] == "note"  # 1 of 180, and accuracy all but the same
    assert [example["id"] for example in line["examples"]] == ["t0", "r0"]
    assert line["examples"][1] == {"id": "r0", "text": "one text.", "labels": ["a"], "split": "train"}
    assert line["figure"]["macro_f1_without"] == 0.999
    assert "instead of 1.0000" in line["reason"]
    found["without"]["accuracy"] = 0.98
    assert calm.line("near_duplicates")["severity"] == "problem"
    assert "group" in calm.line("near_duplicates")["remedy"]
    found["without"] = None
    assert "No document of test is left" in calm.line("near_duplicates")["reason"]
    found["across_documents"] = {"validation": 4}
    assert not calm.lines("near_duplicates")


def test_differently_tagged(calm: Case) -> None:
    found = calm.analysis["near_duplicates"]
    pair = near(labels=["a"], other_labels=["b"])
    found |= {"differently_tagged": [pair, near(labels=["c"], other_labels=["b"])], "differently_tagged_pairs": 2}
    line = calm.line("differently_tagged")
    assert line["severity"] == "advice"
    assert line["classes"] == ["b", "a", "c"]
    assert line["figure"]["by_class"] == {"b": 2, "a": 1, "c": 1}
    assert [example["labels"] for example in line["examples"][:2]] == [["a"], ["b"]]
    found["differently_tagged_pairs"] = 11  # of 1,080
    assert calm.line("differently_tagged")["severity"] == "problem"


def test_texts_tagged_in_several_ways_come_before_everything_else(calm: Case) -> None:
    found = calm.analysis["near_duplicates"]
    same = near(similarity=1.0, labels=["b"], other_labels=["c"])
    pairs = [same, near(labels=["a"], other_labels=["b"])]
    found |= {"differently_tagged": pairs, "differently_tagged_pairs": 12, "same_text_differently_tagged": 1}
    line, near_line = calm.line("contradictions"), calm.line("differently_tagged")
    assert (line["severity"], line["figure"]["texts"], line["classes"]) == ("advice", 1, ["b", "c"])
    assert line["title"] == "1 text is tagged in several ways: b and c."
    assert (near_line["severity"], near_line["figure"]["pairs"], near_line["classes"]) == ("problem", 11, ["a", "b"])
    assert calm.lines()[0]["kind"] == "contradictions"


def test_documents_cut(calm: Case) -> None:
    calm.analysis["data"]["tokens"]["train"] |= {"cut": 54, "max": 700}
    line = calm.line("documents_cut")
    assert line["severity"] == "note"  # 5 % of 1,080
    assert line["figure"] == {
        "documents": 54, "share": 0.05, "max_tokens": 64, "longest": 700, "by_split": {"train": 54},
    }  # fmt: skip
    assert "data.long_documents=windows" in line["remedy"]
    calm.analysis["data"]["tokens"]["test"]["cut"] = 1
    assert calm.line("documents_cut")["severity"] == "advice"


def test_wide_interval() -> None:
    pairs = [*right(["a", "b"], 100), *right(["c"], 4)]
    case = Case(pairs, ["a", "b", "c"])
    line = case.line("wide_interval")
    assert line["classes"] == ["c"]
    low, high = (class_intervals(4, 0, 0)["f1"]) or [0, 0]
    needed = line["figure"]["by_class"]["c"]["needed"]
    # The width goes with one over the root: so many documents make it 0.2.
    assert (high - low) * (4 / needed) ** 0.5 <= 0.2 < (high - low) * (4 / (needed - 1)) ** 0.5
    assert line["figure"]["more_documents"] == needed - 4
    assert str(needed - 4) in line["remedy"]


def test_the_page_judges_a_class_as_guidance_does() -> None:
    trained = {"a": 600, "b": 61, "c": 60, "d": 50, "e": 49, "f": 15, "g": 14, "h": 0}
    supports = dict(zip(trained, (100, 35, 30, 20, 10, 5, 1, 0), strict=True))
    case = Case([(name, name) for name, support in supports.items() for _ in range(support)], list(trained))
    for name, count in trained.items():
        case.analysis["data"]["classes"][name] = {"train": count, "test": supports[name]}
    kinds = {"few_documents": "training document", "imbalance": "imbalanced", "wide_interval": "F1 is uncertain"}
    of_guidance = {(kind, name) for line in case.lines() if (kind := line["kind"]) in kinds for name in line["classes"]}
    page = class_rows(case.evaluation, case.analysis, missed_and_invented(case.rows, list(trained)))
    of_page = {
        (kind, row.name)
        for row in page
        for sentence in row.meaning
        for kind, words in kinds.items()
        if words in sentence.partition(":")[0]
    }
    assert of_page == of_guidance
    assert {name for kind, name in of_page if kind == "few_documents"} == set("efgh")
    assert {name for kind, name in of_page if kind == "imbalance"} == set("cdefg")
    assert {name for kind, name in of_page if kind == "wide_interval"} == set("fg")


def lead(found: float, low: float, high: float) -> dict[str, Any]:
    return {"found": found, "interval": [low, high]}


def test_behind_baseline(calm: Case) -> None:
    better, unsure, worse = lead(0.1, 0.05, 0.15), lead(0.01, -0.02, 0.04), lead(-0.1, -0.15, -0.05)
    found = {"accuracy": 0.9, "micro_f1": 0.9, "macro_f1": 0.9, "documents": 100}
    baselines = calm.analysis["baselines"]
    for name in ("probe", "tfidf"):
        baselines[name] = found | {"lead": {"macro_f1": better, "micro_f1": better}}
    assert not calm.lines("behind_baseline")
    baselines["probe"] = found | {"lead": {"macro_f1": unsure, "micro_f1": better}}
    assert not calm.lines("behind_baseline")
    baselines["probe"] = found | {"lead": {"macro_f1": unsure, "micro_f1": unsure}}
    assert calm.line("behind_baseline")["severity"] == "advice"
    baselines["probe"] = found | {"lead": {"macro_f1": worse, "micro_f1": worse}}
    line = calm.line("behind_baseline")
    assert line["severity"] == "problem"
    assert line["figure"]["difference"] == -0.1
    assert "0.8000, compared with 0.9000" in line["reason"]
    assert "train=probe" in line["remedy"]
    calm.facts = Facts("runs/mine", "probe", RULE, ["a", "b", "c"], False)
    assert not calm.lines("behind_baseline")  # It is the probe.


def test_where_a_baseline_leaves_no_room_it_is_a_note(calm: Case) -> None:
    # 58 documents, 57 right: even a model without a mistake could not be shown to be better than 53 right.
    calm = Case([*right(["a", "b"], 28), ("b", "b"), ("a", "b")], ["a", "b"])
    level = lead(0.0, -0.05, 0.05)
    for correct, severity in ((57, "note"), (53, "note"), (52, "problem")):
        macro = 57 / 58
        calm.analysis["baselines"]["tfidf"] = {
            "accuracy": correct / 58, "micro_f1": macro, "macro_f1": macro, "documents": 100,
            "lead": {"macro_f1": level, "micro_f1": level},
        }  # fmt: skip
        line = calm.line("behind_baseline")
        assert line["severity"] == severity
        assert line["reason"].startswith("Macro F1 is the same, 0.9828 (95% interval -0.0500 to +0.0500,")
        if severity == "note":
            assert "Check the tags" not in line["remedy"]
            assert "on 58 documents: no model could be shown to be better." in line["title"]
    worse = lead(-0.05, -0.09, -0.01)
    calm.analysis["baselines"]["tfidf"] |= {"accuracy": 1.0, "lead": {"macro_f1": worse, "micro_f1": worse}}
    assert calm.line("behind_baseline")["severity"] == "problem"


def test_learning_curve(calm: Case) -> None:
    points = [{"share": s, "documents": int(900 * s), "macro_f1": 0.8, "low": 0.7, "high": 0.9} for s in (0.25, 1)]
    gains = {
        name: {"gain": g, "low": g - 0.02, "high": g + 0.02} for name, g in zip("abc", (0.005, 0.03, 0.05), strict=True)
    }
    gain = {"documents": 450, "macro_f1": 0.03, "low": 0.01, "high": 0.05}
    calm.analysis["learning_curve"] = {"points": points, "gain": gain, "classes": gains}
    line = calm.line("learning_curve")
    assert line["severity"] == "advice"
    assert line["classes"] == ["c", "b"]
    assert "(450 in the same mix) bring +0.030 (95% interval +0.010 to +0.050)" in line["reason"]
    assert line["figure"]["by_class"]["c"]["gain"] == 0.05
    assert (line["figure"]["macro_f1"], line["figure"]["gain"]) == (0.8, 0.03)
    assert "is predicted too often" in line["remedy"]
    assert "scripts/improve.py run=runs/mine" in line["remedy"]
    gain["low"] = -0.01
    assert calm.line("learning_curve")["severity"] == "note"
    assert calm.line("learning_curve")["reason"].endswith("not certain.")
    calm.facts = replace(calm.facts, multi_label=True)
    assert "is predicted too often" not in calm.line("learning_curve")["remedy"]
    gain["macro_f1"] = 0.001
    assert "less than 0.01 of macro F1" in calm.line("learning_curve")["title"]
    calm.analysis["learning_curve"] = {"points": points, "gain": None, "classes": gains}
    assert not calm.lines("learning_curve")


def test_figures_of_training_documents(calm: Case) -> None:
    calm.analysis["split"] = "train"
    first = calm.lines()[0]
    assert (first["kind"], first["severity"]) == ("trained_on", "problem")
    assert not calm.lines("other_mix")


def test_the_most_important_comes_first() -> None:
    case = collided(5, 3)
    case.analysis["data"]["classes"]["d"] = {"train": 3, "test": 0}
    lines = case.lines()
    severities = [line["severity"] for line in lines]
    assert severities == sorted(severities, key=["problem", "advice", "note"].index)
    problems = [line["kind"] for line in lines if line["severity"] == "problem"]
    assert problems == sorted(problems, key=KINDS.index)
    assert problems == ["absent_from_test", "collision", "few_documents"]
    assert all(line["title"] and line["reason"] and line["remedy"] for line in lines)


def test_names_in_a_sentence() -> None:
    assert named([]) == "none"
    assert named(["a"]) == "a"
    assert named(["a", "b"]) == "a and b"
    assert named(list("abcde")) == "a, b, c and 2 more"


def test_the_first_lines_on_the_terminal(tmp_path: Path) -> None:
    lines = [{"severity": "advice", "title": f"Title {i}.", "remedy": "Do." if i < 2 else f"Do {i}."} for i in range(6)]
    path = tmp_path / "guidance.json"
    path.write_text(json.dumps(lines))
    shown = guidance_text(path, most=3).splitlines()
    expected = ["advice: Title 0.", "    Do.", "advice: Title 1.", "advice: Title 2.", "    Do 2."]
    assert shown == ["what to do next:", *expected, f"and 3 more, with reasons and examples: {path}"]
