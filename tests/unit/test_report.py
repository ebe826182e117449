"""The page of a run, without a browser: arithmetic, words, escaping, what is missing, size."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.files import digest, write_json
from tagsmith.core.run import RunFolder
from tagsmith.evaluate.guidance.lines import Line, Severity
from tagsmith.evaluate.report import confusion_csv, per_class_table, per_class_text
from tagsmith.evaluate.report.assets import (
    content_policy,
    escaped_json,
    json_text,
    packed_plotly,
    script,
    tables_script,
)
from tagsmith.evaluate.report.charts import LINE_FROM, coverage
from tagsmith.evaluate.report.confusion import Pair, missed_and_invented, most_errors, order_of_classes, pairs
from tagsmith.evaluate.report.matrix import Confusions, matrices
from tagsmith.evaluate.report.page import write_page
from tagsmith.evaluate.report.wording import against, figure, headline, interval, meaning, percent, points, signed_nats
from tagsmith.evaluate.report.wrong_documents import MOST_CHARACTERS, wrong_documents
from tests.made_runs import HOSTILE, HOSTILE_CLASS, make_run


def line(id: str, labels: list[str], predicted: list[str], text: str = "text", **scores: float) -> dict[str, Any]:
    every = dict.fromkeys(("a", "b", "c"), 0.1) | scores
    return {"id": id, "text": text, "labels": labels, "predicted": predicted, "scores": every}


def test_the_tables_are_where_they_were() -> None:
    assert all(callable(table) for table in (confusion_csv, per_class_table, per_class_text))


def test_missed_and_invented_by_hand() -> None:
    lines = [
        line("1", ["a"], ["a"]),
        line("2", ["a"], ["b"]),
        line("3", ["a"], ["b"]),
        line("4", ["a", "b"], ["a", "c"]),  # b missed, c invented
        line("5", ["a", "b"], []),  # both missed, nothing invented
        line("6", [], ["c"]),  # nothing missed, c invented
    ]
    expected = [[0, 2, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0]]
    counts = missed_and_invented(lines, ["a", "b", "c"])
    assert counts.tolist() == expected
    assert pairs(counts) == [Pair(0, 1, 2), Pair(0, None, 1), Pair(1, 2, 1), Pair(1, None, 1), Pair(None, 2, 1)]
    assert most_errors(counts, 2) == [0, 1]  # a: 3, b: 2 + 2, c: 1 + 1
    assert most_errors(counts, 1) == [1]


def test_single_label_counts_are_the_confusion_matrix_without_its_diagonal(tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=6, documents=200)
    lines = [json.loads(text) for text in (run / "predictions.jsonl").read_text().split("\n") if text]
    evaluation = json.loads((run / "evaluation.json").read_text())
    matrix = np.array(evaluation["confusion_matrix"])
    counts = missed_and_invented(lines, list(evaluation["classes"]))
    np.fill_diagonal(matrix, 0)
    assert matrix.sum() > 5
    assert counts[:-1, :-1].tolist() == matrix.tolist()
    assert not counts[-1].any()
    assert not counts[:, -1].any()


def test_confused_classes_are_next_to_each_other() -> None:
    # 0 with 4 and 1 with 3 much, 4 with 1 a little; 2 and 5 with none.
    errors = np.zeros((6, 6), dtype=np.int64)
    errors[0, 4], errors[4, 0], errors[1, 3], errors[4, 1] = 6, 4, 8, 1
    support = np.full(6, 10)
    # The chain of nearest neighbours is 0 4 1 3; the optimal order of the leaves finds it, and its mirror is not taken.
    assert order_of_classes(errors, support) == [0, 4, 1, 3, 2, 5]
    errors[range(6), range(6)] = 99
    assert order_of_classes(errors, support) == [0, 4, 1, 3, 2, 5], "what is right moves no class"
    assert order_of_classes(np.zeros((3, 3), dtype=np.int64), support[:3]) == [0, 1, 2]
    two = np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert order_of_classes(two, np.array([0, 5, 5])) == [0, 2, 1]


def test_a_class_that_is_rare_is_near_by_its_share() -> None:
    # 1 of 2 documents of class 0 goes to 2, 10 of 1,000 of class 1 go to 2.
    errors = np.array([[0, 0, 1], [0, 0, 10], [0, 0, 0]])
    order = order_of_classes(errors, np.array([2, 1000, 1000]))
    assert abs(order.index(0) - order.index(2)) == 1


def test_figures_in_words() -> None:
    assert percent(0.97512) == "97.5%"
    assert interval([0.5, 0.75]) == "50.0% to 75.0%"
    assert interval(None) == ""
    assert points(-1e-9) == "0.0"
    assert points(-0.0123) == "-1.2"
    assert figure({"a": 1200, "b": [0.123456, "x"]}) == "a 1,200, b 0.1235, x"
    assert figure({str(i): i for i in range(3)}, most=2) == "0 0, 1 1 and 1 more"
    assert against(0.9, 0.875) == "2.5 points above"
    assert against(0.9, 0.95) == "5.0 points below"
    assert against(0.9, 0.9003) == "level with"
    row = {"support": 20, "precision": 0.9, "recall": 0.6}
    found = meaning(row, train=10, largest=("d", 100), bounds=[0.5, 0.9], taken_for=("b", 5), taken_from=("c", 1))
    assert found == [
        "only 10 training documents: a class with fewer than 15 is seldom learned",
        "imbalanced: d has 100 training documents",
        "often predicted as b (5 of 20)",
        "predicted too seldom: predictions are mostly right, but many documents are missed",
        "its F1 is uncertain: 50.0% to 90.0%, from 20 documents",
    ]
    calm = {"support": 20, "precision": 0.9, "recall": 0.9}
    assert meaning(calm, 50, ("d", 499), [0.8, 0.95], ("b", 1), None) == ["nothing stands out"]
    assert meaning(calm, 49, ("d", 489), None, None, None) == ["only 49 training documents: 50 are recommended"]
    assert meaning({"support": 0, "precision": 0, "recall": 0}, None, None, None, None, None) == [
        "no evaluated document, so no figures"
    ]


def test_a_difference_of_nothing_has_no_sign() -> None:
    assert [signed_nats(value) for value in (0.00002, -0.00002, 0.0, -0.01)] == [
        "0.0000",
        "0.0000",
        "0.0000",
        "-0.0100",
    ]


def test_the_headline_says_what_it_knows() -> None:
    evaluation = {"documents": 200, "classes": {"a": {}, "b": {}}, "accuracy": 0.95, "macro": {"f1": 0.94},
                  "split": "test"}  # fmt: skip
    bare = headline(evaluation, {})
    assert bare == [
        "Of 200 documents in the test split, with 2 classes, 190 are classified correctly: 95.0%.",
        "Macro F1, in which every class counts the same, is 94.0%.",
    ]
    analysis = {
        "intervals": {"accuracy": [0.92, 0.97], "macro_f1": [0.9, 0.96]},
        "baselines": {"probe": {"macro_f1": 0.92}, "tfidf": None},
    }
    point = {"coverage": 0.82, "precision": 0.951, "target_precision": 0.95}
    full = " ".join(headline(evaluation | {"operating_point": point}, analysis))
    assert "95.0% (95% interval 92.0% to 97.0%)" in full
    assert (
        "2.0 points above a regression on the encoder before training (92.0%), trained on the same documents." in full
    )
    assert "82.0% of the documents alone, with 95.1% precision (target 95.0%); the other 18.0% go to a person" in full


def test_the_most_confident_mistakes_come_first_and_offsets_stay_inside() -> None:
    lines = [
        line("right", ["a"], ["a"], a=0.9),
        line("unsure", ["a"], ["b"], a=0.4, b=0.5),
        line("sure", ["a"], ["b"], a=0.01, b=0.98),
        line("missed", ["a"], [], a=0.05),
    ]
    marks = {"sure": [{"start": 2, "end": 4, "weight": 0.2}, {"start": 0, "end": 1, "weight": 0.5}]}
    rows = wrong_documents(lines, ["a", "b", "c"], {"documents": marks, "classes": {"sure": "b", "unsure": "a"}})
    assert [row["id"] for row in rows] == ["sure", "missed", "unsure"]
    assert rows[0]["tagged"] == [0]
    assert rows[0]["predicted"] == [1]
    assert rows[0]["marks"] == [[0, 1, 0.5], [2, 4, 0.2]]
    assert rows[0]["scores"][0] == [1, 0.98]
    assert rows[0]["explained"] == 1
    assert "explained" not in rows[2], "it has no marks"
    assert rows[1]["predicted"] == []
    long = [line(str(i), ["a"], ["b"], text="x" * (MOST_CHARACTERS if i < 2 else 5)) for i in range(3)]
    cut = {
        row["id"]: row
        for row in wrong_documents(
            long, ["a", "b", "c"], {"documents": {"0": [{"start": 0, "end": MOST_CHARACTERS, "weight": 1}]}}
        )
    }
    assert sum(len(row["text"]) for row in cut.values()) <= MOST_CHARACTERS
    assert len(cut["2"]["text"]) == 5
    assert cut["0"]["more"] == MOST_CHARACTERS - len(cut["0"]["text"])
    assert "marks" not in cut["0"]
    assert "more" not in cut["2"]


@pytest.mark.parametrize("text", [HOSTILE, "</script>", "<!--", "]]>", "\u2028\u2029", "&lt;", "\\u003c", "\udc80"])
def test_json_in_a_script_cannot_end_its_element(text: str) -> None:
    written = json_text({text: [text]})
    assert not re.search("[<>&\u2028\u2029]", written)
    assert json.loads(written) == {text: [text]}


def test_json_has_no_nan() -> None:
    assert json.loads(json_text({"a": [float("nan"), 1.5, float("inf")], "b": (None,)})) == {
        "a": [None, 1.5, None],
        "b": [None],
    }
    assert escaped_json('"<"') == '"\\u003c"'


def test_scripts_can_be_inlined() -> None:
    import base64
    import gzip
    import hashlib

    tables, plotly = tables_script(), packed_plotly()
    assert "<!--" not in tables.text
    assert not re.search(r"\bexport\s*\{", tables.text)
    unpacked = gzip.decompress(base64.b64decode(plotly.text))
    assert plotly.hash == "sha256-" + base64.b64encode(hashlib.sha256(unpacked).digest()).decode()
    assert packed_plotly() == plotly
    assert script("a\r\nb <!-- c").text == "a\nb \\x3C!-- c"
    with pytest.raises(ValueError, match="end tag of its element"):
        script("'</SCRIPT>'")
    policy = content_policy("sha256-x")
    assert policy.startswith("default-src 'none'; script-src 'sha256-x';")
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert "unsafe-eval" not in policy


class Elements(HTMLParser):
    """Scripts, text outside scripts and styles, headings, addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.headings: list[int] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"]] if given.get("id") else []  # type: ignore[list-item]
        self.addresses += [value for name in ("src", "href") if (value := given.get(name))]
        assert not any(name.startswith("on") for name in given), "no handler in an attribute"
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.stack.append(tag)
        if tag == "script":
            self.scripts.append((given, ""))

    def handle_endtag(self, tag: str) -> None:
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif "style" not in self.stack:
            self.text += data


@pytest.mark.slow
@pytest.mark.parametrize("multi_label", [False, True])
def test_documents_and_classes_are_shown_as_text(tmp_path: Path, multi_label: bool) -> None:
    run = RunFolder(make_run(tmp_path, classes=6, documents=120, multi_label=multi_label, hostile=True))
    guidance = json.loads(run.guidance.read_text())
    guidance[0]["title"] = guidance[0]["examples"][0]["text"] = HOSTILE
    run.guidance.write_text(json.dumps(guidance))
    write_page(run)
    text = run.page.read_text(encoding="utf-8")
    found = Elements(text)
    code = [content for given, content in found.scripts if given.get("type") == "module"]
    data = [content for given, content in found.scripts if given.get("type") == "application/json"]
    assert len(code) == 2
    assert {given.get("type") for given, _ in found.scripts} == {"module", "application/json", "text/plain"}
    assert all(json.loads(content) for content in data)
    rows = next(json.loads(content) for given, content in found.scripts if given.get("id") == "document-rows")
    assert HOSTILE in [row["text"] for row in rows["rows"]]
    assert HOSTILE_CLASS in rows["classes"]
    assert found.text.count(HOSTILE) >= 2
    assert HOSTILE_CLASS in found.text
    assert not [address for address in found.addresses if not address.startswith(("#", "data:"))]
    assert len(found.ids) == len(set(found.ids))
    assert all(address[1:] in found.ids for address in found.addresses if address.startswith("#"))
    assert found.headings[0] == 1
    assert all(after - before <= 1 for before, after in zip(found.headings, found.headings[1:], strict=False))


@pytest.mark.slow
def test_the_same_files_give_the_same_page_of_bounded_size(tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, classes=77, documents=1000))
    write_page(run)
    first = run.page.read_bytes()
    write_page(run)
    assert run.page.read_bytes() == first
    assert len(first) < 5_000_000
    assert len(list(tmp_path.glob(".*"))) == 0


def test_missing_files_are_left_out_with_a_reason(tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, documents=60))
    for path in (run.analysis, run.guidance, run.metrics):
        path.unlink()
    evaluation = json.loads(run.evaluation.read_text())
    for key in ("scores", "coverage", "operating_point", "conformal", "out_of_scope"):
        del evaluation[key]
    run.evaluation.write_text(json.dumps(evaluation))
    lines = [json.loads(text) for text in run.predictions.read_text().split("\n") if text]
    bare = [{key: one[key] for key in ("id", "text", "labels", "predicted", "scores")} for one in lines]
    run.predictions.write_text("".join(json.dumps(one) + "\n" for one in bare))
    write_page(run)
    text = Elements(run.page.read_text()).text
    for sentence in (
        f"The run has no analysis.json: scripts/evaluate.py run={run.path} split=test writes it.",
        "The run has no guidance.json",
        "The run has no metrics.jsonl",
        "evaluation.json has no scores",
        "evaluation.json has no coverage",
    ):
        assert sentence in text
    assert "Wrong documents" in text


def test_an_analysis_of_another_split_is_not_shown(tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, documents=60))
    analysis = json.loads(run.analysis.read_text())
    run.analysis.write_text(json.dumps(analysis | {"split": "validation"}))
    write_page(run)
    text = Elements(run.page.read_text()).text
    assert "analysis.json is about another split" in text
    assert "95% interval" not in text.split("What to do next")[1].split("Classes")[0]
    assert "points above" not in text


@pytest.mark.slow
def test_empty_parts_of_the_analysis_are_explained(tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, documents=60))
    analysis = json.loads(run.analysis.read_text()) | {
        "learning_curve": None,
        "baselines": {"probe": None, "tfidf": None},
    }
    analysis["near_duplicates"]["without"] = None
    run.analysis.write_text(json.dumps(analysis))
    evaluation = json.loads(run.evaluation.read_text()) | {
        "operating_point": None,
        "conformal": None,
        "out_of_scope": None,
    }
    run.evaluation.write_text(json.dumps(evaluation))
    run.guidance.write_text("[]")
    write_page(run)
    handles_nothing = {"target_precision": 0.99, "threshold": 1.1, "coverage": 0.0, "precision": None}
    run.evaluation.write_text(json.dumps(evaluation | {"operating_point": handles_nothing}))
    write_page(run)
    assert "the model decides alone: 0.0% of the documents." in Elements(run.page.read_text()).text
    run.evaluation.write_text(json.dumps(evaluation))
    write_page(run)
    text = Elements(run.page.read_text()).text
    assert "This run has none: learning_curve is empty" in text
    assert "No findings." in text
    assert "target_precision= (multi-label: target_exact=) of calibrate.py does" in text


@pytest.mark.slow
def test_a_rule_chosen_after_the_evaluation_is_on_the_page(tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, documents=60))
    held_out = {"ece_before": 0.05, "ece_after": 0.01, "log_loss_before": 0.4, "log_loss_after": 0.3}
    about = {"from": "out_of_fold", "documents": 240, "target": 0.95, "held_out": held_out}
    write_json(run.decision, {"thresholds": [], "abstain_below": 0.625, "about": about})
    note = Line("not_calibrated", Severity.note, "The scores are not calibrated.", "", "").as_dict()
    write_json(run.guidance, [note])
    evaluation = json.loads(run.evaluation.read_text())
    for known, newer in ((None, True), ("of another rule", True), (digest(run.decision), False)):
        write_json(run.evaluation, evaluation | {"decision_sha256": known})
        write_page(run)
        text = Elements(run.page.read_text()).text
        assert ("The run has a decision rule that the figures of this page do not know" in text) is newer
        assert ("error 0.0500 -> 0.0100" in text) is newer
        assert ("below 0.625 go to a person (target precision of the others: 95.0%)" in text) is newer
        assert ("The scores are not calibrated." in text) is not newer


def test_coverage_of_few_documents_is_points_on_an_axis_that_shows_their_weight() -> None:
    few = [{"threshold": 0.5, "coverage": (i + 1) / 58, "precision": 1 - (i == 57) / 58} for i in range(58)]
    chart = coverage(few, None, 58, "0.95 cannot be promised.")
    (trace,), axis = chart.figure.data, chart.figure.layout.yaxis
    assert trace.mode == "markers"
    assert axis.range[0] < 0.92
    assert "With 58 documents, one more mistake is 1.7%. 0.95 cannot be promised." in chart.summary
    assert coverage(few, None, LINE_FROM).figure.data[0].mode == "lines"


def test_the_matrix_has_the_order_of_the_tables() -> None:
    names = [f"class {i}" for i in range(30)]
    errors = np.zeros((31, 31), dtype=np.int64)
    errors[0, 29] = errors[29, 0] = errors[5, 20] = 3
    five = np.full(30, 5)
    worst, everything = matrices(Confusions(names, False, errors, five - 3, five, 150))
    assert everything.figure.layout.xaxis.ticktext == everything.figure.layout.yaxis.ticktext == tuple(names)
    assert "confused classes next to each other" in worst.title
    near = list(worst.figure.layout.xaxis.ticktext)
    assert abs(near.index("class 0") - near.index("class 29")) == 1


def test_inconsistent_files_are_rejected(tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path / "run", documents=60))
    whole = run.predictions.read_text()
    run.predictions.write_text(whole.split("\n")[0] + "\n")
    with pytest.raises(DataError, match="as many predictions as documents"):
        write_page(run)
    run.predictions.write_text(whole + "[]\n")
    with pytest.raises(DataError, match=r"predictions\.jsonl:61: expected a JSON object"):
        write_page(run)
    run.predictions.write_text(whole)
    run.analysis.write_text("{")
    with pytest.raises(DataError, match=r"analysis\.json: expected a JSON object"):
        write_page(run)
    run.analysis.write_text("[]")
    with pytest.raises(DataError, match="expected a JSON object, found"):
        write_page(run)
    run.evaluation.unlink()
    with pytest.raises(InputMissing, match=r"scripts/evaluate\.py run=.+ writes them"):
        write_page(run)
    assert not run.page.exists()
