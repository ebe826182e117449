"""A shadow gets the documents of a deployment, and slows nobody."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.composition import to_settings
from tagsmith.config.settings import ServeRun
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tests.bundles import make_bundle
from tests.integration.test_serve import CAT, Slow
from tests.serving import Served
from tests.serving import serving as serving_at_pace
from tests.unit.test_config import composed

serving = partial(serving_at_pace, shadow_seconds=0.0)

TEXTS = [CAT, "soup with rice", "a hammer near the saw", "the cat likes cheese"]


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def shadow_of(served: Served) -> dict[str, Any]:
    (listed,) = served.get("/deployments").json()["deployments"]
    found: dict[str, Any] = listed["shadow"]
    return found


def compared(served: Served) -> int:
    return int((shadow_of(served)["compared"] or {"documents": 0})["documents"])


def test_answers_are_compared_and_never_returned(tmp_path: Path) -> None:
    bundle, contrary = make_bundle(tmp_path / "b"), make_bundle(tmp_path / "c", vote=-2.0)
    with serving({"production": bundle}) as running:
        alone = running.post("/classify", json={"texts": TEXTS}).json()
        assert running.get("/deployments").json()["deployments"][0]["shadow"] is None
    link = tmp_path / "candidate"
    link.symlink_to("b")
    with serving({"production": bundle}, shadows={"production": str(link)}, watch_seconds=0.05) as running:
        assert running.post("/classify", json={"texts": TEXTS}).json() == alone
        until(lambda: compared(running) == 4)
        found = shadow_of(running)
        assert found["version"] == alone["version"]
        assert (found["compared"]["equal"], found["compared"]["mean_score_difference"]) == (1, 0)
        assert found["compared"]["classes"]["animals"]["both"] == sum(
            one["label"] == "animals" for one in alone["documents"]
        )
        assert found["seen"]["documents"] == 4
        # The next candidate: the comparison begins anew.
        (tmp_path / "next").symlink_to("c")
        (tmp_path / "next").rename(link)
        until(lambda: shadow_of(running)["version"] != alone["version"])
        assert running.post("/classify", json={"texts": TEXTS}).json() == alone
        until(lambda: compared(running) == 4)
        found = shadow_of(running)["compared"]
        assert found["equal"] < 1
        assert found["mean_score_difference"] > 0.1
        counts = found["classes"]["animals"]
        assert counts["both"] < counts["sent"]
        lines = running.get("/metrics").text.splitlines()
        assert 'tagsmith_shadow_documents{deployment="production"} 4.0' in lines
        assert f'tagsmith_shadow_equal{{deployment="production"}} {found["equal"]}' in lines
        assert any(line.startswith('tagsmith_shadow_predictions{class="animals"') for line in lines)
        # A broken one is refused, and the one before stays.
        version = shadow_of(running)["version"]
        (contrary / "onnx" / "model.onnx").write_bytes(b"damaged")
        running.run(running.service.deployments.reload_all())
        assert shadow_of(running)["newer_refused"] is True
        assert shadow_of(running)["version"] == version


def test_while_somebody_waits_documents_are_dropped(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    with serving({"production": bundle}, shadows={"production": str(bundle)}, shadow_documents=3) as running:
        slow = Slow(running)
        slow.go_on.set()
        shadow = running.service.deployments.shadows["production"]
        quiet, shadow._quiet = shadow._quiet, lambda: False
        running.post("/predict", json={"inputs": [[CAT]] * 10})
        until(lambda: shadow_of(running)["dropped"] == 7)
        assert (shadow_of(running)["waiting"], compared(running)) == (3, 0)
        slow.go_on.clear()
        slow.begun.clear()
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(running.post, "/predict", json={"inputs": CAT})
            assert slow.begun.wait(10)
            shadow._quiet = quiet
            time.sleep(0.2)  # One is in the encoder: not quiet, however long.
            assert compared(running) == 0
            slow.go_on.set()
            assert held.result().status_code == 200
        until(lambda: compared(running) >= 3)


def test_pauses_make_it_rare_that_a_request_meets_a_shadow(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    with serving_at_pace({"production": bundle}, shadows={"production": str(bundle)}) as running:
        started = time.monotonic()
        running.post("/predict", json={"inputs": [[CAT]] * 10})
        until(lambda: compared(running) == 2)
        assert time.monotonic() - started >= 1
        assert shadow_of(running)["waiting"] == 8


def test_a_shadow_that_fails_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle(tmp_path / "b")
    with serving({"production": bundle}, shadows={"production": str(bundle)}) as running:

        def fail(*_: Any) -> None:
            raise ValueError("a secret")

        monkeypatch.setattr("tagsmith.serve.shadow.calls", fail)
        assert running.post("/predict", json={"inputs": CAT}).status_code == 200
        until(lambda: shadow_of(running)["failed"] == 1)
        monkeypatch.undo()
        assert running.post("/predict", json={"inputs": CAT}).status_code == 200
        until(lambda: compared(running) == 1)


def test_other_classes_are_compared_by_name(tmp_path: Path) -> None:
    single, tags = make_bundle(tmp_path / "s"), make_bundle(tmp_path / "t", multi_label=True)
    with serving({"production": single}, shadows={"production": str(tags)}) as running:
        running.post("/classify", json={"texts": TEXTS})
        until(lambda: compared(running) == 4)


def test_what_cannot_be_a_shadow_is_said(tmp_path: Path) -> None:
    bundle, empty = make_bundle(tmp_path / "b"), tmp_path / "store"
    empty.mkdir()
    with serving({"production": bundle}, shadows={"production": str(empty)}) as running:
        assert running.post("/predict", json={"inputs": CAT}).status_code == 200
        assert (shadow_of(running)["version"], shadow_of(running)["waiting"]) == (None, 0)
    with pytest.raises(InputMissing), serving({"production": bundle}, shadows={"production": str(tmp_path / "x")}):
        pass
    (bundle / "schema.json").write_text("{}")
    with (
        pytest.raises(DataError),
        serving({"production": make_bundle(tmp_path / "c")}, shadows={"production": str(bundle)}),
    ):
        pass
    with pytest.raises(SettingsError, match=r"serve\.shadows: expected names of deployments, found staging"):
        to_settings(composed("serve", "serve.deployments={production: b}", "serve.shadows={staging: c}"), ServeRun)
