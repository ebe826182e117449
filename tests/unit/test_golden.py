"""Golden answers: their inputs, and which differences are accepted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tagsmith.classify.bundle import golden
from tagsmith.core.errors import DataError
from tagsmith.core.schema import Schema, Task
from tagsmith.decision.rule import DecisionRule, Decisions
from tagsmith.decision.scope import Scope

SCHEMA = Schema(("a_b", "c", "d"), Task.multi_label)
RULE = replace(DecisionRule.plain(SCHEMA, 0.5), thresholds=(0.5, 0.3, 0.7), abstain_below=0.4, set_from=(0.1, 0.1, 0.1))
REFERENCES = np.eye(4, dtype=np.float32)


def model(rule: DecisionRule, change: float = 0.0) -> golden.Decide:
    """Scores and vectors that depend only on the text."""

    def decide(texts: list[str], batch_tokens: int) -> tuple[golden.Floats, Decisions]:
        draws = [np.random.default_rng(sum(map(ord, text))) for text in texts]
        scores = np.array([draw.uniform(0.1, 0.9, 3) for draw in draws], dtype=np.float32) + np.float32(change)
        vectors = np.array([draw.normal(size=4) for draw in draws], dtype=np.float32)
        return scores, rule.decide(scores, vectors)

    return decide


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "golden.jsonl"
    golden.write(path, golden.inputs(SCHEMA, 32, None), SCHEMA, model(RULE), model(RULE, 0.05))
    return path


def test_the_inputs_hold_no_documents_by_default() -> None:
    documents = ["a private letter", "short", " ", "short", "x" * 500]
    synthetic = golden.inputs(SCHEMA, 32, None)
    assert "a b" in synthetic
    assert not any("private" in text for text in synthetic)
    assert len(set(synthetic)) == len(synthetic) >= 11
    assert sum(len(text.split()) > 32 for text in synthetic) == 1
    own = golden.inputs(SCHEMA, 32, documents)
    assert own[:3] == ["short", "a private letter", "x" * 500]
    assert "a b" not in own
    many = Schema(tuple(f"class {i}" for i in range(100)), Task.single_label)
    assert len(golden.inputs(many, 32, None)) == 17


def test_equal_answers_are_counted(written: Path) -> None:
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    assert set(lines[0]) == {"text", "scores", "labels", "to_person", "set", "out_of_scope", "quantized"}
    assert golden.check(written, SCHEMA, RULE, model(RULE)) == len(lines)
    assert golden.check(written, SCHEMA, RULE, model(RULE), thorough=False) == len(lines) - 1
    assert golden.check(written, SCHEMA, RULE, model(RULE, 0.05), quantized=True) == len(lines)
    # Within the tolerance, although some scores now cross a threshold.
    golden.check(written, SCHEMA, RULE, model(RULE, 9e-4))


def test_other_scores_are_refused(written: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: a score differs by 0\.002 \(allowed: 0\.001\)"):
        golden.check(written, SCHEMA, RULE, model(RULE, 0.002))
    golden.check(written, SCHEMA, RULE, model(RULE, 0.002), tolerance=0.01)
    with pytest.raises(DataError, match="line 1: a score differs"):
        golden.check(written, SCHEMA, RULE, model(RULE, float("nan")))
    with pytest.raises(DataError, match=r"line 1: a score differs by 0\.05"):
        golden.check(written, SCHEMA, RULE, model(RULE), quantized=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": (0.99, 0.99, 0.99)}, "expected labels"),
        ({"abstain_below": 0.99}, "expected to_person"),
        ({"set_from": (0.9, 0.9, 0.9)}, "expected set"),
        ({"set_from": None}, "expected set"),
    ],
)
def test_another_rule_is_refused(written: Path, change: dict[str, object], message: str) -> None:
    rule = replace(RULE, **change)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        golden.check(written, SCHEMA, rule, model(rule))


def test_another_order_of_classes_is_refused(written: Path) -> None:
    swapped = Schema(("c", "a_b", "d"), Task.multi_label)
    with pytest.raises(DataError, match="a score differs"):
        golden.check(written, swapped, RULE, model(RULE))


def test_another_scope_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    near = replace(RULE, scope=Scope(REFERENCES, 0.3))
    golden.write(path, golden.inputs(SCHEMA, 32, None), SCHEMA, model(near))
    golden.check(path, SCHEMA, near, model(near))
    wide = replace(RULE, scope=Scope(REFERENCES, 2.0))
    with pytest.raises(DataError, match="expected to_person"):
        golden.check(path, SCHEMA, wide, model(wide))
    other = replace(RULE, scope=Scope(-REFERENCES, 0.3))
    with pytest.raises(DataError, match="expected the distance"):
        golden.check(path, SCHEMA, other, model(other))


@pytest.mark.parametrize("content", ["", "{", "[]\n", '{"text": "a"}\n', '{"text": 5, "scores": {}}\n', "\u2028"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"expected (texts with their scores|a JSON object)"):
        golden.check(path, SCHEMA, RULE, model(RULE))
    path.unlink()
    with pytest.raises(DataError, match=r"expected (texts with their scores|a JSON object)"):
        golden.check(path, SCHEMA, RULE, model(RULE))
