"""Expected figures without tags: by hand, and against the truth of documents whose mix and difficulty shift."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tagsmith.classify.bundle.command_line import main
from tagsmith.classify.bundle.reference import Reference, bins_for, reference_of
from tagsmith.classify.bundle.tested import AtTest
from tagsmith.classify.classifier import Classifier
from tagsmith.classify.files.classify_files import classify_files
from tagsmith.classify.production import Production
from tagsmith.config.settings import ClassifyRun
from tagsmith.config.settings.serve import ServeBounds
from tagsmith.core.errors import DataError
from tagsmith.core.schema import Schema, Task
from tagsmith.decision.expected import BINS, Reliability, Sums, bins_of, expect
from tagsmith.decision.metrics import figures
from tagsmith.decision.rule import DecisionRule, softmax
from tagsmith.serve.answers import Answer
from tagsmith.serve.attention import attention
from tests.bundles import make_bundle
from tests.conftest import make_documents, write_jsonl

Floats = NDArray[np.float32]
CLASSES = tuple("abcde")


def exact() -> Reliability:
    """Scores that many tagged documents have shown to be exactly calibrated."""
    scores = np.full(BINS, 5e8)
    return Reliability(np.full(BINS, 1e9), scores, scores)


def test_figures_of_hand_computed_examples() -> None:
    # Predicted a (0.8), a (0.6), b (0.7): hits of a 1.4, of b 0.7; misses of a 0.3, of b 0.2 + 0.4.
    scores = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]], dtype=np.float32)
    predicted = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.int8)
    sums = Sums(2, multi_label=False)
    sums.add(scores, predicted, scores.max(axis=1))
    found = expect(sums, exact())
    assert found.accuracy.value == pytest.approx(2.1 / 3)
    assert found.true == pytest.approx([1.7, 1.3])
    assert found.precision == pytest.approx([0.7, 0.7])
    assert found.recall == pytest.approx([1.4 / 1.7, 0.7 / 1.3])
    assert found.macro_f1.value == pytest.approx((2.8 / 3.7 + 1.4 / 2.3) / 2)
    # What is left is that these three vary around it: a variance of (0.16 + 0.24 + 0.21) / 9, in bins of mean scores.
    assert found.accuracy.high == 1
    assert found.accuracy.low == pytest.approx(0.7 - 1.96 * (0.61 / 9) ** 0.5, abs=5e-3)
    # Multi-label: each pair by itself.
    sums = Sums(2, multi_label=True)
    sums.add(scores, np.array([[1, 0], [1, 1], [0, 1]], dtype=np.int8), np.full(3, 0.5, dtype=np.float32))
    found = expect(sums, exact(), exact())
    assert found.accuracy.value == pytest.approx(0.5)
    assert found.predicted.tolist() == [2, 2]
    assert found.precision == pytest.approx([0.7, 0.55])
    assert found.recall == pytest.approx([1.4 / 1.7, 1.1 / 1.3])


def test_what_tagged_documents_show_is_added_by_bin() -> None:
    scores = np.array([0.95] * 45 + [0.55] * 20)
    holds = np.array([True] * 40 + [False] * 5 + [True] * 6 + [False] * 14)
    gaps, variances = Reliability.of(scores, holds).gaps()
    high, low = bins_of(np.array([0.95, 0.55]))
    assert gaps[high] == pytest.approx((40 - 45 * 0.95) / 47)
    assert gaps[low] == pytest.approx((6 - 11) / 22)
    assert variances[low] == pytest.approx((7.1 / 22) * (14.9 / 22) / 23)
    assert not gaps[[i for i in range(BINS) if i not in (high, low)]].any()
    # A bin of which nothing is known is uncertain.
    assert variances[bins_of(np.array(0.75))] == pytest.approx(0.75 * 0.25 / 3)


@dataclass
class Made:
    """Documents whose scores are exact by construction: the truth is drawn from them."""

    scores: Floats
    truth: NDArray[np.int8]


def made(draw: np.random.Generator, documents: int, hard: float, favoured: float, multi_label: bool) -> Made:
    """A share `hard` of the documents is uncertain; `favoured` moves the mix towards the first class."""
    sharp = np.where(draw.random(documents) < hard, 1.0, 5.0)[:, None]
    logits = draw.normal(0, 1, (documents, 5)) * sharp
    logits[:, 0] += favoured
    if multi_label:
        exact_scores = 1 / (1 + np.exp(-logits))
        truth = (draw.random((documents, 5)) < exact_scores).astype(np.int8)
        return Made(exact_scores.astype(np.float32), truth)
    exact_scores = softmax(logits.astype(np.float32)).astype(np.float64)
    chosen = (draw.random(documents)[:, None] > exact_scores.cumsum(axis=1)).sum(axis=1).clip(max=4)
    return Made(exact_scores.astype(np.float32), np.eye(5, dtype=np.int8)[chosen])


def distorted(scores: Floats, power: float, multi_label: bool) -> Floats:
    """Scores of a model that is too certain."""
    if multi_label:
        a, b = scores.astype(np.float64) ** power, (1 - scores.astype(np.float64)) ** power
        return np.asarray(a / (a + b), dtype=np.float32)
    return softmax(power * np.log(np.maximum(scores, 1e-12)))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("power", [1.0, 1.5])
def test_the_truth_lies_in_the_interval_when_mix_and_difficulty_shift(multi_label: bool, power: float) -> None:
    """Tagged documents are mostly easy, those of production mostly hard and of another mix."""
    draw = np.random.default_rng(7)
    schema = Schema(CLASSES, Task.multi_label if multi_label else Task.single_label)
    rule = DecisionRule.plain(schema, 0.5)
    inside, errors, without, draws = np.zeros(2), np.zeros(2), np.zeros(2), 40
    for _ in range(draws):
        tagged, new = (made(draw, n, hard, f, multi_label) for n, hard, f in ((600, 0.3, 0.0), (1000, 0.7, 1.0)))
        seen, scores = (distorted(one.scores, power, multi_label) for one in (tagged, new))
        before, now = rule.decide(seen), rule.decide(scores)
        documents = Reliability.of(before.confidence, (before.predicted == tagged.truth).all(axis=1))
        pairs = Reliability.of(seen, tagged.truth) if multi_label else None
        sums = Sums(5, multi_label)
        sums.add(scores, now.predicted, now.confidence)
        found = expect(sums, documents, pairs)
        alone = expect(sums, exact(), exact())
        right = figures(scores, new.truth, list(CLASSES), multi_label, 0.5, now.predicted)
        for i, (figure, bare, true) in enumerate(
            (
                (found.accuracy, alone.accuracy, right["accuracy"]),
                (found.macro_f1, alone.macro_f1, right["macro"]["f1"]),
            )
        ):
            inside[i] += figure.low <= true <= figure.high
            errors[i] += abs(figure.value - true)
            without[i] += abs(bare.value - true)
    # Of a 95% interval, after a large shift, and for a model that was never calibrated.
    assert (inside >= 0.8 * draws).all(), inside
    assert (errors / draws < 0.03).all(), errors / draws
    if power > 1:
        assert (errors < 0.5 * without).all(), (errors / draws, without / draws)


def test_sums_of_parts_are_those_of_the_whole() -> None:
    draw = np.random.default_rng(0)
    for multi_label in (False, True):
        scores = made(draw, 300, 0.5, 0.0, multi_label).scores
        schema = Schema(CLASSES, Task.multi_label if multi_label else Task.single_label)
        decisions = DecisionRule.plain(schema, 0.5).decide(scores)
        parts = []
        for rows in np.array_split(np.arange(300), 7):
            part = Sums(5, multi_label)
            part.add(scores[rows], decisions.predicted[rows], decisions.confidence[rows])
            parts.append(part)
        whole = Sums(5, multi_label)
        whole.add(scores, decisions.predicted, decisions.confidence)
        found, expected = (expect(s, Reliability.unknown()) for s in (Sums.total(parts, 5, multi_label), whole))
        assert found.accuracy.as_dict() == expected.accuracy.as_dict()
        assert found.macro_f1.as_dict() == expected.macro_f1.as_dict()


SCHEMA = Schema(CLASSES, Task.single_label)


def reference(distances: bool = True) -> tuple[Reference, list[Answer]]:
    """A reference of 2,000 documents, and these documents."""
    draw = np.random.default_rng(3)
    one = made(draw, 2000, 0.3, 0.0, False)
    decisions = DecisionRule.plain(SCHEMA, 0.5).decide(one.scores)
    found = draw.uniform(0, 0.5, 2000).astype(np.float32)
    decisions = replace(decisions, distances=found if distances else None)
    tokens = draw.geometric(0.1, 2000) + 2
    tested = AtTest.of(one.truth, one.scores, decisions, 0.495, False, bins_for(2000))
    kept = reference_of("test", CLASSES, decisions.predicted, one.scores, tokens, tested)
    answers = [
        Answer(
            row,
            row,
            (CLASSES[int(row.argmax())],),
            float(row.max()),
            False,
            int(count),
            0,
            float(distance) if distances else None,
            bool(distance > 0.495),
        )
        for row, count, distance in zip(one.scores, tokens, found, strict=True)
    ]
    return kept, answers


def test_a_reference_with_what_the_test_has_shown_is_read_back(tmp_path: Path) -> None:
    kept, _ = reference()
    kept.save(tmp_path / "reference.json")
    read = Reference.load(tmp_path / "reference.json")
    assert read is not None
    assert read.tested is not None
    assert kept.tested is not None
    assert json.dumps(read.tested.as_dict()) == json.dumps(kept.tested.as_dict())
    assert read.tested.out_of_scope == pytest.approx(0.01, abs=0.01)
    content = json.loads((tmp_path / "reference.json").read_text())
    changes: list[dict[str, Any]] = [{"edges": [0.5]}, {"accuracy": 1.5}, {"documents": {"statements": [1]}}]
    for change in changes:
        wrong = content | {"tested": content["tested"] | change}
        (tmp_path / "reference.json").write_text(json.dumps(wrong))
        with pytest.raises(DataError, match="export the run again"):
            Reference.load(tmp_path / "reference.json")


def test_like_the_test_documents_nothing_is_doubtful() -> None:
    kept, answers = reference()
    production = Production(SCHEMA, kept, 10_000)
    assert production.report().doubts == ("there are no documents",)
    production.add(answers[:50])
    assert production.report().doubts == ("there are 50 documents; expected at least 100",)
    production.add(answers[50:])
    report = production.report()
    assert kept.tested is not None
    assert report.expected is not None
    assert report.expected.accuracy.value == pytest.approx(kept.tested.accuracy, abs=0.005)
    assert report.expected.macro_f1.value == pytest.approx(kept.tested.macro_f1, abs=0.01)
    assert report.doubts == ()
    assert set(report.drift) == {"class", "score", "tokens", "distance"}
    assert attention(report, kept, ServeBounds()) == []


def test_what_cannot_be_trusted_is_said() -> None:
    kept, answers = reference()
    changed = {
        "unlike all training documents": [replace(a, foreign=i % 10 == 0) for i, a in enumerate(answers)],
        "the distances to the nearest training document have drifted": [
            replace(a, out_of_scope=(a.out_of_scope or 0) + 0.3) for a in answers
        ],
        "the predicted classes have drifted": [a for a in answers if a.chosen[0] in "ab"],
    }
    for reason, documents in changed.items():
        production = Production(SCHEMA, kept, 10_000)
        production.add(documents)
        (doubt,) = production.report().doubts
        assert reason in doubt
        (passed,) = attention(production.report(), kept, ServeBounds())
        assert passed["value"] > passed["bound"]
    # Without distances, the scores have to say it; and harder documents alone do not when there are distances.
    for distances, doubts in ((True, 1), (False, 1)):
        kept, answers = reference(distances)
        production = Production(SCHEMA, replace(kept, tested=None), 10_000)
        production.add(answers)
        assert len(production.report().doubts) == doubts
        assert "export the run again" in production.report().doubts[0]
    production = Production(SCHEMA, kept, 10_000)
    production.add([a for a in answers if a.confidence < 0.7])
    assert any("the scores have drifted" in doubt for doubt in production.report().doubts)


def test_bounds_of_a_fall_and_of_what_a_person_gets() -> None:
    kept, answers = reference()
    production = Production(SCHEMA, kept, 10_000)
    production.add([replace(a, to_person=a.confidence < 0.6) for a in answers if a.confidence < 0.9])
    loose = ServeBounds(drift=9, to_person=0.0, accuracy=0.0)
    assert [one["figure"] for one in attention(production.report(), kept, loose)] == ["to_person", "accuracy"]
    assert attention(production.report(), kept, ServeBounds(drift=9, to_person=1, accuracy=1)) == []


def test_only_the_last_documents_count() -> None:
    kept, answers = reference()
    production = Production(SCHEMA, kept, 400)
    for answer in answers[:500]:
        production.add([replace(answer, to_person=True)])
    for answer in answers[500:1000]:
        production.add([answer])
    report = production.report()
    assert 380 <= report.documents <= 400
    assert report.to_person == 0


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_a_file_of_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], multi_label: bool, suffix: str
) -> None:
    documents = [{"text": one["text"], "id": i} for i, one in enumerate(make_documents(150, multi_label=multi_label))]
    write_jsonl(tmp_path / "new.jsonl", [*documents, {"text": ""}])
    bundle = make_bundle(tmp_path / "b", multi_label=multi_label)
    output = tmp_path / f"found.{suffix}"
    classify_files(ClassifyRun(bundle=str(bundle), input=str(tmp_path / "new.jsonl"), output=str(output)))
    assert main(["expect", str(bundle), str(output), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    predictions = Classifier.load(bundle).predict([str(one["text"]) for one in documents])
    assert (found["documents"], found["errors"]) == (150, 1)
    assert found["accuracy"]["value"] == pytest.approx(np.mean([one.score for one in predictions]), abs=1e-4)
    assert found["trusted"] is False
    assert sum(one["predicted"] for one in found["classes"].values()) == sum(len(one.labels) for one in predictions)
    assert main(["expect", str(bundle), str(output)]) == 0
    printed = capsys.readouterr().out
    assert "150 documents; 1 row with an error left out" in printed
    assert "These figures cannot be trusted:\n- the bundle does not say" in printed


def test_another_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(tmp_path / "b")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"text": "a"}, "KeyError"),
        ({"label": "animals", "scores": {"animals": 1}}, "scores of animals"),
        ({"label": "x", "scores": {"animals": 1, "food": 0, "tools": 0}}, "KeyError"),
        ({"label": "food", "scores": {"animals": 2, "food": 0, "tools": 0}}, "not between 0 and 1"),
    ]
    for line, about in wrong:
        write_jsonl(tmp_path / "other.jsonl", [line])
        assert main(["expect", str(bundle), str(tmp_path / "other.jsonl")]) == 65
        error = capsys.readouterr().err
        assert "other.jsonl:1: expected a file that scripts/classify.py has written with this bundle" in error
        assert about in error
    assert main(["expect", str(bundle), str(tmp_path / "nowhere.jsonl")]) == 66
    write_jsonl(tmp_path / "errors.jsonl", [{"row": 1, "error": "empty"}])
    assert main(["expect", str(bundle), str(tmp_path / "errors.jsonl")]) == 65
