"""A loaded bundle in services: threads, processes, streams."""

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tagsmith.classify.classifier import Classifier, Prediction
from tagsmith.classify.session import CPU, Graph, shares
from tagsmith.core.errors import DataError, SettingsError
from tagsmith.core.files import digest
from tagsmith.serve.answers import calls
from tests.bundles import make_bundle
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


def test_a_stream_returns_what_a_list_does_in_order(classifier: Classifier) -> None:
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


def test_a_stream_refuses_other_types(classifier: Classifier) -> None:
    with pytest.raises(TypeError, match="one string"):
        classifier.classify_stream("a cat")
    with pytest.raises(TypeError, match="list of strings"):
        list(classifier.classify_stream(["a cat", None]))  # type: ignore[list-item]
    with pytest.raises(ValueError, match="window"):
        classifier.classify_stream(["a cat"], window=0)


@pytest.mark.slow
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


def test_unpickling_refuses_another_bundle_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(BUNDLES / "single", folder)
    raw = pickle.dumps(Classifier.load(folder, threads=1))
    shutil.rmtree(folder)
    shutil.copytree(BUNDLES / "multi", folder)
    with pytest.raises(DataError, match="a different bundle"):
        pickle.loads(raw)


def test_an_unavailable_provider_is_refused() -> None:
    with pytest.raises(SettingsError, match="found NoSuchProvider") as refused:
        Classifier.load(BUNDLES / "single", providers=["NoSuchProvider"])
    assert "CPUExecutionProvider" in str(refused.value)
    one = Classifier.load(BUNDLES / "single", threads=1, providers=["CPUExecutionProvider"])
    assert len(one.predict(["a cat"])) == 1


@pytest.mark.parametrize("threads", [0, -2])
def test_zero_threads_are_refused(threads: int) -> None:
    with pytest.raises(SettingsError, match=f"threads: expected at least 1, or None for one per core, found {threads}"):
        Classifier.load(BUNDLES / "single", threads=threads)


def test_logits_that_are_not_finite_are_refused(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.zeros((2, len(classifier.classes)), dtype=np.float32)
    vectors = np.zeros((2, 1), dtype=np.float32)
    logits[1, 0] = np.inf
    monkeypatch.setattr(Classifier, "outputs_of_call", lambda *_: (logits, vectors))
    (call,) = calls(classifier, ["one", "two"])
    with pytest.raises(FloatingPointError):
        call.answers()


@pytest.mark.parametrize("name", ["single", "multi"])
def test_calls_cover_every_document_once_with_the_answers_of_predict(name: str) -> None:
    classifier = Classifier.load(BUNDLES / name)
    texts = [text * (1 + i % 7) for i, text in enumerate(["a cat", "the dog and the cat", "a", "dogs " * 200] * 20)]
    found = calls(classifier, texts)
    assert sorted(i for call in found for i in call.documents) == list(range(len(texts)))
    assert len(found) > 1
    scores, predictions = classifier.predict_proba(texts), classifier.predict(texts)
    for call in found:
        for i, answer in zip(call.documents, call.answers(), strict=True):
            np.testing.assert_array_equal(answer.scores, scores[i])
            assert (answer.chosen, answer.to_person) == (predictions[i].labels, predictions[i].to_person)
            assert answer.scores.dtype == answer.logits.dtype == np.float32


def test_token_counts_and_decisions_of_encoded_documents(classifier: Classifier) -> None:
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
    assert {"numpy", "tokenizers"} <= set(after)
    assert not {"onnxruntime", "openvino"} & set(after)  # Each is imported when a bundle is loaded with it.
    assert not {"torch", "transformers", "datasets", "hydra", "pyarrow", "rich", "sklearn"} & set(after)


@pytest.mark.parametrize(("threads", "expected"), [(1, (1, 1)), (2, (2, 1)), (4, (2, 2)), (6, (3, 2)), (16, (4, 4))])
def test_concurrent_calls_share_the_threads(threads: int, expected: tuple[int, int]) -> None:
    assert shares(threads) == expected


@pytest.mark.slow
def test_concurrent_calls_give_the_same_scores_as_sequential_ones(classifier: Classifier) -> None:
    given = texts(200)
    graph = BUNDLES / ("multi" if classifier.schema.multi_label else "single")
    for threads in (2, 3, 4):
        several = Classifier.load(graph, threads=threads)
        np.testing.assert_allclose(several.predict_proba(given, 64), classifier.predict_proba(given, 64), atol=1e-6)


def test_calls_run_concurrently_and_an_error_is_raised() -> None:
    graph = Graph(BUNDLES / "single" / "onnx" / "model.onnx", 2, [CPU])
    meeting = threading.Barrier(2, timeout=20)
    made = []

    def call(batch: int) -> None:
        meeting.wait()  # Blocks until two calls run concurrently.
        made.append(batch)

    graph.run_all(call, range(6))
    assert sorted(made) == list(range(6))

    def fail(batch: int) -> None:
        if batch == 3:
            raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        graph.run_all(fail, range(6))


@pytest.mark.slow
def test_no_call_starts_after_an_error_or_ctrl_c() -> None:
    code = """
import os, signal, sys, time
from pathlib import Path
from tagsmith.classify.session import CPU, Graph

graph = Graph(Path(sys.argv[1]), 2, [CPU])
for wrong in (MemoryError, StopIteration, KeyboardInterrupt):
    made = []

    def call(batch):
        made.append(batch)
        under_way.add(batch)
        time.sleep(0.001)
        if batch == 3:
            if wrong is KeyboardInterrupt:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.3)
            else:
                under_way.discard(batch)
                raise wrong
        under_way.discard(batch)

    under_way = set()
    try:
        graph.run_all(call, range(100_000))
    except wrong:
        assert len(made) < 1000, len(made)
        assert not under_way, under_way  # A call that still runs while Python exits aborts the process.
    else:
        raise AssertionError(f"{wrong}: not raised")
    graph.run_all(made.append, range(6))  # All slots are free.
"""
    run_alone(code)


def run_alone(code: str) -> str:
    """The output of a separate process, which must end within a minute."""
    command = [sys.executable, "-W", "ignore", "-c", code, str(BUNDLES / "single" / "onnx" / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_classifying_works_after_the_main_thread_has_ended() -> None:
    code = """
import atexit, sys, threading
from pathlib import Path
from tagsmith import Classifier

classifier = Classifier.load(Path(sys.argv[1]).parents[1], threads=2)
main = threading.main_thread()

def work():
    main.join()
    say()

def say():
    print(len(classifier.predict(["a cat " * (i % 40 + 1) for i in range(200)])))

atexit.register(say)
threading.Thread(target=work).start()
"""
    assert run_alone(code).split() == ["200", "200"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_during_calls_leaves_no_slot_taken() -> None:
    code = """
import os, sys, threading
from pathlib import Path
from tagsmith.classify.session import CPU, Graph

graph = Graph(Path(sys.argv[1]), 2, [CPU])
inside, leave = threading.Barrier(3), threading.Event()

def call(batch):
    inside.wait()
    leave.wait()

computing = threading.Thread(target=graph.run_all, args=(call, range(2)))
computing.start()
inside.wait()
child = os.fork()
made = []
if not child:
    graph.run_all(made.append, range(4))
    os._exit(len(made))
status = os.waitpid(child, 0)[1]
leave.set()
computing.join()
assert os.waitstatus_to_exitcode(status) == 4
"""
    run_alone(code)


def test_more_threads_than_slots_wait_and_no_call_is_lost() -> None:
    graph = Graph(BUNDLES / "single" / "onnx" / "model.onnx", 4, [CPU])
    inside, most, lock = 0, 0, threading.Lock()

    def ask(count: int) -> list[int] | None:
        made = []

        def call(batch: int) -> None:
            nonlocal inside, most
            with lock:
                inside, most = inside + 1, max(most, inside + 1)
            time.sleep(0.001)
            with lock:
                inside -= 1
            if batch == 13:
                raise ValueError
            made.append(batch)

        try:
            graph.run_all(call, range(count))
        except ValueError:
            return None
        return sorted(made)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, [0, 1, 5, 20] * 8))
    assert found == [[], [0], [0, 1, 2, 3, 4], None] * 8
    assert most == shares(4)[0]


def test_zero_one_and_many_windows_in_order(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle", max_tokens=10)
    decision = json.loads((folder / "decision.json").read_text())
    decision["window_rule"] |= {"long_documents": "windows", "overlap": 2, "max_windows": 8}
    (folder / "decision.json").write_text(json.dumps(decision))
    seal(folder)
    one, several = (Classifier.load(folder, threads=threads) for threads in (1, 4))
    assert several.predict([]) == []
    assert several.predict_proba([]).shape == (0, len(several.classes))
    given = texts(120)
    alone = np.concatenate([one.logits([text]) for text in given])
    assert len(np.unique(alone, axis=0)) > 20  # They differ.
    for budget in (None, 1, 40, 100_000):
        np.testing.assert_allclose(several.logits(given, budget), alone, atol=1e-5)
        np.testing.assert_allclose(several.logits(given[::-1], budget), alone[::-1], atol=1e-5)
    np.testing.assert_array_equal(several.logits(given[:1]), alone[:1])


def seal(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        entry["sha256"] = digest(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_used_classifier_survives_fork_and_spawn() -> None:
    code = """
import multiprocessing, pickle, sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tagsmith import Classifier

def ask(texts):
    return classifier.predict_proba(texts).tolist()

classifier = Classifier.load(Path(sys.argv[1]).parents[1], threads=2)
texts = ["a cat " * (i % 40 + 1) for i in range(200)]
expected = ask(texts)
with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
    assert pool.submit(ask, texts).result(30) == expected
    assert pool.submit(Classifier.predict_proba, classifier, texts).result(30).tolist() == expected
with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
    assert pool.submit(Classifier.predict_proba, classifier, texts).result(30).tolist() == expected
"""
    run_alone(code)
