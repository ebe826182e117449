"""The contenders on documents whose figures are known beforehand.

Here they run in the process of the test; `unit/test_bench.py` tests processes of their own, `cli/test_readme.py` runs
the script.
"""

import random
from pathlib import Path

import pytest

from tagsmith.bench.recipes import bench_recipes, compare
from tagsmith.config.settings import BenchTrainRun, EvaluateSettings, ModelSettings, TableSettings, TrainSettings
from tagsmith.core.errors import SettingsError
from tests.conftest import TOPICS, make_documents, write_jsonl

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh interpreter imports for six seconds what this process has imported."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(bench_recipes, "in_own_process", lambda function, *arguments: function(*arguments))


def settings_of(encoder: Path, data: TableSettings, contenders: list[str], **changes: object) -> BenchTrainRun:
    return BenchTrainRun(
        contenders=contenders,
        data=data,
        model=ModelSettings(path=str(encoder)),
        train=TrainSettings(cpu=True, tensorboard=False, epochs=1),
        evaluate=EvaluateSettings(batch_tokens=512),
        **changes,  # type: ignore[arg-type]
    )


def words_of_one_topic(count: int, seed: int) -> list[dict[str, object]]:
    """Documents that no contender can mistake; those of a topic are longer than those of the topic before it."""
    pick, names = random.Random(seed), sorted(TOPICS)
    records: list[dict[str, object]] = []
    for i in range(count):
        name = names[i % 3]
        words = pick.choices(TOPICS[name], k=pick.randint(6, 9) + 8 * (i % 3))
        records.append({"text": " ".join(words), "label": name})
    return records


def test_every_contender_gives_the_figures_that_are_known_beforehand(encoder: Path, tmp_path: Path) -> None:
    train, test = words_of_one_topic(1200, seed=0), words_of_one_topic(30, seed=1)
    names = sorted(TOPICS)
    # 3 of the 10 documents of each topic are tagged as the next one: 7 true positives of 10 predicted and 10 true.
    for i in range(9):
        test[i]["label"] = names[(i + 1) % 3]
    data = TableSettings(
        train=str(write_jsonl(tmp_path / "train.jsonl", train)), test=str(write_jsonl(tmp_path / "test.jsonl", test))
    )
    contenders = ["tagsmith_finetune", "trainer_tuned", "tfidf_svm"]
    rows = list(compare(settings_of(encoder, data, contenders)))
    assert [row.contender for row in rows] == contenders
    tokens = sum(len(str(record["text"]).split()) + 2 for record in train)
    passes = {"tagsmith_finetune": 2, "trainer_tuned": 5}
    for row in rows:
        assert row.skipped is None
        assert (row.accuracy, row.micro_f1, row.macro_f1) == pytest.approx((0.7, 0.7, 0.7))
        assert (row.documents, row.test_documents, row.classes) == (1200, 30, 3)
        assert row.seconds is not None
        assert row.seconds > 0
        assert row.peak_memory is not None
        assert row.peak_memory > 50
        if row.contender in passes:
            assert row.tokens == passes[row.contender] * tokens
            assert row.tokens_per_second == pytest.approx(row.tokens / row.seconds, rel=0.01)
            assert row.padding_share is not None
            assert 0 < row.padding_share < 0.5


def test_multi_label_documents_are_drawn_by_class(encoder: Path, multi_label_file: Path) -> None:
    data = TableSettings(train=str(multi_label_file))
    rows = list(compare(settings_of(encoder, data, ["trainer", "tfidf_svm"], full_data=False, per_class=[8], draws=1)))
    assert [(row.contender, row.per_class) for row in rows] == [("trainer", 8), ("tfidf_svm", 8)]
    assert {row.task for row in rows} == {"multi_label"}
    assert rows[0].documents == rows[1].documents < 120
    assert all(row.accuracy is not None for row in rows)


def test_a_teacher_is_trained_on_the_same_documents_as_its_students(encoder: Path, tmp_path: Path) -> None:
    data = TableSettings(train=str(write_jsonl(tmp_path / "train.jsonl", make_documents(60, multi_label=False))))
    contenders = ["tagsmith_distill", "tagsmith_distill_pool"]
    few = {"full_data": False, "per_class": [8], "draws": 1}
    rows = list(compare(settings_of(encoder, data, contenders, teacher=f"minilm:{encoder}", **few)))
    assert [row.contender for row in rows] == ["teacher", *contenders]
    assert all(row.documents == 24 and row.accuracy is not None for row in rows)
    # One pass over the documents for the head, one to train: the pool adds 24 of the 48 training documents to that.
    tokens = [row.tokens or 0 for row in rows]
    assert tokens[0] == tokens[1] < tokens[2]


def test_without_test_documents_there_is_nothing_to_compare(encoder: Path, tmp_path: Path) -> None:
    data = TableSettings(
        train=str(write_jsonl(tmp_path / "train.jsonl", make_documents(30, multi_label=False))), test_share=0.0
    )
    with pytest.raises(SettingsError, match="no test split"):
        next(compare(settings_of(encoder, data, ["tfidf_svm"])))
