"""A loaded bundle under the hands of services: threads, processes, streams."""

import json
import pickle
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tagsmith.classify.classifier import Classifier, Prediction
from tagsmith.classify.session import CPU, Graph, shares
from tagsmith.errors import DataError, SettingsError
from tests.conftest import FILLERS, TOPICS

BUNDLES = Path(__file__).parents[1] / "fixtures" / "format_1"


def texts(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    words = [*FILLERS, *(word for words in TOPICS.values() for word in words), "never-seen"]
    return [" ".join(draw.choices(words, k=draw.randint(1, 90))) for _ in range(count)]


@pytest.fixture(params=["single", "multi"])
def classifier(request: pytest.FixtureRequest) -> Classifier:
    return Classifier.load(BUNDLES / request.param, threads=1)


def same(found: list[Prediction], expected: list[Prediction]) -> None:
    assert [prediction.labels for prediction in found] == [prediction.labels for prediction in expected]
    np.testing.assert_allclose([p.score for p in found], [p.score for p in expected], atol=1e-6)


def test_a_stream_gives_what_a_list_does_in_its_order(classifier: Classifier) -> None:
    given = texts(50)
    expected = classifier.predict(given)
    for window in (1, 7, 50, 1000):
        same(list(classifier.classify_stream(iter(given), window=window)), expected)
    assert list(classifier.classify_stream([])) == []


def test_a_stream_holds_one_window(classifier: Classifier) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"a cat {read}"

    stream = classifier.classify_stream(endless(), window=8)
    for i in range(30):
        next(stream)
        assert read == 8 * (i // 8 + 1)


def test_a_stream_refuses_what_is_no_stream_of_strings(classifier: Classifier) -> None:
    with pytest.raises(TypeError, match="one string"):
        classifier.classify_stream("a cat")
    with pytest.raises(TypeError, match="list of strings"):
        list(classifier.classify_stream(["a cat", None]))  # type: ignore[list-item]
    with pytest.raises(ValueError, match="window"):
        classifier.classify_stream(["a cat"], window=0)


def test_threads_share_a_classifier(classifier: Classifier) -> None:
    parts = [texts(20, seed) for seed in range(24)]
    expected = [classifier.predict_proba(part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            found = list(pool.map(classifier.predict_proba, parts))
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)


def test_a_pickled_classifier_is_the_same(classifier: Classifier) -> None:
    given = texts(20)
    raw = pickle.dumps(classifier)
    assert len(raw) < 1000
    again = pickle.loads(raw)
    np.testing.assert_array_equal(again.predict_proba(given), classifier.predict_proba(given))
    same(again.predict(given), classifier.predict(given))


def test_another_bundle_in_the_folder_is_not_taken_for_the_pickled_one(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(BUNDLES / "single", folder)
    raw = pickle.dumps(Classifier.load(folder, threads=1))
    shutil.rmtree(folder)
    shutil.copytree(BUNDLES / "multi", folder)
    with pytest.raises(DataError, match="another bundle"):
        pickle.loads(raw)


def test_a_provider_that_is_not_there_is_told() -> None:
    with pytest.raises(SettingsError, match="found NoSuchProvider") as told:
        Classifier.load(BUNDLES / "single", providers=["NoSuchProvider"])
    assert "CPUExecutionProvider" in str(told.value)
    one = Classifier.load(BUNDLES / "single", threads=1, providers=["CPUExecutionProvider"])
    assert len(one.predict(["a cat"])) == 1


def test_counts_of_tokens_and_decisions_of_what_was_encoded(classifier: Classifier) -> None:
    given = ["a cat", " ".join(["cat"] * 100)]
    encoded = classifier.encoded(given)
    assert encoded.tokens.tolist() == [4, 102]
    assert (encoded.unread > 0).tolist() == [False, True]
    np.testing.assert_array_equal(classifier.decide_encoded(encoded)[0], classifier.predict_proba(given))


def test_the_package_is_imported_without_what_it_needs_later() -> None:
    code = (
        "import sys, json, tagsmith; before = sorted(sys.modules); from tagsmith import Classifier; "
        "print(json.dumps([before, sorted(sys.modules)]))"
    )
    before, after = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert not {"numpy", "onnxruntime", "tokenizers", "tagsmith.classify.classifier"} & set(before)
    assert {"numpy", "onnxruntime", "tokenizers"} <= set(after)
    assert not {"torch", "transformers", "datasets", "hydra", "pyarrow", "rich", "sklearn"} & set(after)


@pytest.mark.parametrize(("threads", "expected"), [(1, (1, 1)), (2, (2, 1)), (4, (2, 2)), (6, (3, 2)), (16, (4, 4))])
def test_calls_at_once_use_the_threads_that_there_are(threads: int, expected: tuple[int, int]) -> None:
    assert shares(threads) == expected


def test_calls_at_once_give_what_one_after_the_other_gives(classifier: Classifier) -> None:
    given = texts(200)
    graph = BUNDLES / ("multi" if classifier.schema.multi_label else "single")
    for threads in (2, 3, 4):
        several = Classifier.load(graph, threads=threads)
        np.testing.assert_allclose(several.predict_proba(given, 64), classifier.predict_proba(given, 64), atol=1e-6)


def test_calls_are_made_at_once_and_an_error_of_one_is_told() -> None:
    graph = Graph(BUNDLES / "single" / "onnx" / "model.onnx", 2, [CPU])
    meeting = threading.Barrier(2, timeout=20)
    made = []

    def call(batch: int) -> None:
        meeting.wait()  # Passed by two together, or never.
        made.append(batch)

    graph.each(call, range(6))
    assert sorted(made) == list(range(6))

    def fail(batch: int) -> None:
        if batch == 3:
            raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        graph.each(fail, range(6))
