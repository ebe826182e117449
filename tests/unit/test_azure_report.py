"""Azure's answers beside a run's: thresholds by hand, the one sentence, what is left out, the page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.azure.confidence import Decisions, thresholds
from tagsmith.azure.exit_folder import ExitFolder
from tagsmith.azure.report import answer, report
from tagsmith.config.settings import LeaveAction, LeaveAzure
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tests.made_runs import HOSTILE, make_run

AZURE = Decisions(np.array([0.95, 0.9, 0.8, 0.6]), np.array([True, True, False, True]))
RUN = Decisions(np.array([0.7, 0.6, 0.5, 0.4]), np.array([True, False, True, True]))


def test_thresholds_by_hand() -> None:
    half, most, none = thresholds(AZURE, RUN, (0.5, 0.85, 0.96))
    # Azure: three of four right; the run reaches 75% with all four, down to the half of the lowest.
    assert (half["azure"]["decisions"], half["azure"]["right"], half["azure"]["precision"]) == (4, 3, 0.75)
    assert (half["run"]["threshold"], half["run"]["decisions"], half["run"]["right"]) == (0.2, 4, 3)
    # Above 0.85 both are right; the run is never right without exception but above 0.65.
    assert (most["azure"]["decisions"], most["azure"]["precision"]) == (2, 1.0)
    assert (most["run"]["threshold"], most["run"]["decisions"]) == (0.65, 1)
    assert (most["same_number"]["threshold"], most["same_number"]["decisions"]) == (0.55, 2)
    assert most["same_number"]["precision"] == 0.5
    assert none == {"confidence": 0.96, "azure": None, "run": None, "same_number": None}


def test_no_threshold_reaches_the_precision_of_azure() -> None:
    (row,) = thresholds(AZURE, Decisions(RUN.confidence, np.zeros(4, dtype=bool)), (0.85,))
    assert row["run"] is None
    assert row["same_number"]["right"] == 0


def test_equal_confidences_are_on_one_side_of_a_threshold() -> None:
    tied = Decisions(np.array([0.5, 0.5, 0.5, 0.2]), np.array([True, True, True, False]))
    (row,) = thresholds(AZURE, tied, (0.85,))
    assert (row["run"]["threshold"], row["run"]["decisions"]) == (0.35, 3)
    assert row["same_number"]["decisions"] == 3


def test_decisions_of_one_class_a_document_and_of_several() -> None:
    scores, truth = np.array([[0.7, 0.3], [0.0, 0.6]]), np.array([[1, 0], [1, 1]])
    predicted = (scores > 0.5).astype(np.int8)
    one = Decisions.of(scores, predicted, np.array([[1, 0], [1, 0]]), multi_label=False)
    assert (one.confidence.tolist(), one.right.tolist()) == ([0.7, 0.6], [True, False])
    several = Decisions.of(scores, predicted, truth, multi_label=True)
    assert (several.confidence.tolist(), several.right.tolist()) == ([0.7, 0.3, 0.6], [True, False, True])


@pytest.mark.parametrize(
    ("outcome", "not_worse", "figure", "expected", "sentence"),
    [
        ("better", True, (0.03, 0.01, 0.05), "better",
         "mine is better than Azure by 3 points of macro F1 (1.0 to 5.0)."),
        ("undecided", True, (0.0, -0.01, 0.01), "not_worse",
         "mine is not worse than Azure by more than 2 points of macro F1 (-1.0 to 1.0)."),
        ("worse", False, (-0.08, -0.12, -0.04), "worse",
         "mine is worse than Azure by 8 points of macro F1 (-12.0 to -4.0)."),
        ("undecided", False, (-0.01, -0.08, 0.06), "undecided",
         "Whether mine is as good as Azure cannot be decided with 42 documents: it has 1 point less of macro F1 "
         "(-8.0 to 6.0); about 1,100 would show a difference of 2 points."),
        ("equal", False, (0.0, 0.0, 0.0), "undecided",
         "Whether mine is as good as Azure cannot be decided with 42 documents: both answer the same for all, and so "
         "few may hide a difference of 2 points."),
    ],
)  # fmt: skip
def test_the_one_sentence(
    outcome: str, not_worse: bool, figure: tuple[float, float, float], expected: str, sentence: str
) -> None:
    difference, low, high = figure
    one = {"difference": difference, "interval": [low, high], "standard_error": 0.035 if low < high else 0.0}
    found = {
        "documents": 42,
        "figures": {"macro_f1": one},
        "runs": {"first": {"name": "Azure"}, "second": {"name": "mine"}},
        "verdict": {"outcome": outcome, "not_worse": not_worse},
    }
    kind, said = answer(found, 0.02)
    assert (kind, said.replace("95% interval ", "").replace(" points)", ")")) == (expected, sentence)


def taken(folder: Path, run: Path, multi_label: bool = False) -> ExitFolder:
    """A folder with answers of Azure to the documents of a run: right, with confidences of 0.6 to 0.99."""
    found = ExitFolder(folder)
    found.begin({"endpoint": "e", "project": "p", "deployment": "production", "deployed": "2026-01-02", "model": None})
    lines = []
    for i, row in enumerate(predictions(run)):
        classes = [{"category": name.upper() if i == 1 else name, "confidenceScore": 0.6 + i % 40 / 100}
                   for name in row["labels"]]  # fmt: skip
        lines.append({"id": row["id"], "text": row["text"], "classes": classes, "warnings": []})
    write(found.answers("test"), lines)
    return found


def predictions(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def settings(folder: ExitFolder, run: Path, **changes: Any) -> LeaveAzure:
    return LeaveAzure(action=LeaveAction.report, out=str(folder.path), run=str(run), **changes)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_report(tmp_path: Path, multi_label: bool) -> None:
    run = make_run(tmp_path / "mine", documents=200, multi_label=multi_label, hostile=not multi_label)
    folder = taken(tmp_path / "exit", run, multi_label)
    lines = [json.loads(line) for line in folder.answers("test").read_text().split("\n")[:-1]]
    lines[2] = {"id": lines[2]["id"], "text": lines[2]["text"], "error": "not sent: the text has 200,000 characters"}
    lines[3] = {"id": lines[3]["id"], "text": lines[3]["text"], "error": "not sent: the text is empty"}
    lines[4] |= {"id": "elsewhere"}
    write(folder.answers("test"), lines)
    write(folder.answers("also"), [lines[4] | {"id": "1"}, lines[5] | {"id": "2"}])  # Texts that were tagged since.
    made = report(settings(folder, run))
    found = json.loads(made.json.read_text())
    assert found["documents"] == 198
    assert found["runs"]["first"]["name"] == "Azure (production)"
    assert found["figures"]["accuracy"]["first"] == 1.0
    assert "log_loss" not in found["figures"]
    assert found["azure"]["outcome"] == "worse"
    assert found["azure"]["sentences"][0].startswith("mine is worse than Azure (production) by ")
    assert "Not compared, for want of an answer: 2 not sent." in found["azure"]["sentences"]
    assert "Not compared: 1 answer to documents not in the run's test." in found["azure"]["sentences"]
    assert [row["confidence"] for row in found["azure"]["thresholds"]] == [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    row = found["azure"]["thresholds"][3]
    assert row["azure"]["precision"] == 1.0
    assert found["changed"]
    page = made.page.read_text(encoding="utf-8")
    assert found["azure"]["sentence"] in page
    assert 'id="thresholds"' in page
    assert HOSTILE not in page
    assert "macro F1" in str(made.table.columns[0]._cells)


def test_without_answers_the_evaluation_of_azure_is_its_side(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine", documents=50)
    folder = ExitFolder(tmp_path / "exit")
    folder.begin({"endpoint": "e", "project": "p", "deployment": None, "model": "m 1"})
    (folder.export).write_text(json.dumps({"assets": {"documents": []}}))
    results = []
    for row in predictions(run):
        (folder.data / row["id"]).write_text(row["text"])
        predicted = {"expectedClass": row["labels"][0], "predictedClass": row["predicted"][0]}
        results.append({"location": row["id"], "customSingleLabelClassificationResult": predicted})
    folder.model("m 1").mkdir(parents=True)
    (folder.model("m 1") / "results.json").write_text(json.dumps([{"value": results[:30]}, {"value": results[30:]}]))
    found = report(settings(folder, run)).found
    assert found["runs"]["first"]["name"] == "Azure (m 1)"
    assert found["figures"]["macro_f1"]["difference"] == 0
    assert (found["azure"]["answers"], found["azure"]["thresholds"]) == ("evaluation", None)
    # Equal answers, but fifty documents cannot exclude a difference of two points.
    assert found["azure"]["outcome"] == "undecided"


def test_what_cannot_be_reported(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine", documents=20)
    with pytest.raises(InputMissing, match="nothing was taken"):
        report(settings(ExitFolder(tmp_path / "empty"), run))
    folder = taken(tmp_path / "exit", run)
    lines = [json.loads(line) for line in folder.answers("test").read_text().split("\n")[:-1]]
    write(folder.answers("test"), [line | {"id": f"x{line['id']}"} for line in lines])
    with pytest.raises(
        SettingsError, match=r"was not evaluated on documents that Azure .production. has answered; train it with"
    ):
        report(settings(folder, run))
    lines[0]["classes"][0]["category"] = "gone"
    write(folder.answers("test"), lines)
    with pytest.raises(SettingsError, match="found none called gone"):
        report(settings(folder, run))
    folder.answers("test").write_text('{"id": "1"}\n')
    with pytest.raises(DataError, match="expected id, text and classes or error"):
        report(settings(folder, run))
    folder.answers("test").unlink()
    with pytest.raises(SettingsError, match="has neither answers of a deployment nor an evaluation"):
        report(settings(folder, run))


def test_answers_of_comprehend(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine", documents=60)
    rows = predictions(run)
    (tmp_path / "asked.txt").write_text("\n".join(["not in the run", *(row["text"] for row in rows)]))
    found = [{"File": "asked.txt", "Line": "0", "Classes": [{"Name": rows[0]["labels"][0], "Score": 0.9}]}]
    for i, row in enumerate(rows, 1):
        other = next(name for name in row["scores"] if name != row["labels"][0])
        classes = [{"Name": other, "Score": 0.1}, {"Name": row["labels"][0], "Score": 0.8}]
        found.append({"File": "asked.txt", "Line": str(i), "Classes": classes})
    found[5] = {"File": "asked.txt", "Line": "5", "ErrorCode": "X", "ErrorMessage": "Too long."}
    write(tmp_path / "predictions.jsonl", found)
    where = {"answers": str(tmp_path / "predictions.jsonl"), "asked": str(tmp_path / "asked.txt")}
    folder = ExitFolder(tmp_path / "exit")
    about = report(settings(folder, run, **where)).found
    assert about["runs"]["first"]["name"] == "Comprehend"
    assert (about["documents"], about["figures"]["accuracy"]["first"]) == (59, 1.0)
    assert "Not compared, for want of an answer: 1 Too long." in about["azure"]["sentences"]
    write(tmp_path / "predictions.jsonl", [found[0] | {"Line": "99"}])
    with pytest.raises(SettingsError, match=r"has no line 99 \(from 0\)"):
        report(settings(folder, run, **where))
    write(tmp_path / "predictions.jsonl", [{"File": "asked.txt", "Line": "1"}])
    with pytest.raises(DataError, match="expected File, Line and Classes or Labels"):
        report(settings(folder, run, **where))
