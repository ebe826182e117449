"""Promotion and the way back: what is in production always verifies, whatever fails or is interrupted."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tagsmith.classify.bundle import contents as layout
from tagsmith.classify.verify import verify as verify_here
from tagsmith.config.settings import RefreshRun
from tagsmith.config.settings.refresh import RunningService
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.refresh import promote as module
from tagsmith.refresh.promote import Promotion, earlier, pending, promote, rollback, verify
from tagsmith.refresh.retention import clean_up, prune
from tagsmith.refresh.store import Store, Version
from tests.made_stores import add_version, damage, make_store
from tests.serving import KEY, Served, serving


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify in this process, which is ten times as fast; the slow tests do it as a refresh does."""
    monkeypatch.setattr(module, "verify", lambda bundle: verify_here(bundle))


def settings_of(store: Store, **serve: object) -> RefreshRun:
    settings = RefreshRun(store=str(store.path))
    settings.serve = RunningService(**serve)  # type: ignore[arg-type]
    return settings


def named(version: Version | None) -> str | None:
    return version and version.name


def promoted(store: Store, *names: str) -> None:
    for name in names:
        assert promote(settings_of(store), store, store.version(name)).outcome == "promoted"


@pytest.mark.usefixtures("here")
def test_versions_come_into_production_and_go_back_one_by_one(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", 4)
    settings = settings_of(store)
    first = promote(settings, store, store.version("1"))
    assert first == Promotion("promoted", 0, "0001 is in production")
    second = promote(settings, store, store.version("3"))
    assert second.sentence == "0003 is in production in place of 0001"
    promoted(store, "0004")
    assert [one.name for one in earlier(store)] == ["0003", "0001"]
    assert rollback(settings, store).name == "0003"
    assert named(store.current()) == "0003"
    # 0004 was taken back: a later rollback does not go there.
    promoted(store, "0002")
    assert [one.name for one in earlier(store)] == ["0003", "0001"]
    assert [rollback(settings, store).name for _ in range(2)] == ["0003", "0001"]
    with pytest.raises(InputMissing, match="no version is left that was in production before 0001"):
        rollback(settings, store)
    assert named(store.current()) == "0001"


@pytest.mark.usefixtures("here")
def test_a_rollback_passes_over_what_does_not_verify_is_gone_or_unfinished(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(tmp_path / "store", 5)
    promoted(store, "1", "2", "3", "4", "5")
    damage(store.version("4"))
    store.version("3").path.rename(tmp_path / "gone")
    store.version("2").decision.unlink()
    assert rollback(settings_of(store), store).name == "0001"
    promoted(store, "5")
    damage(store.version("1"))
    with pytest.raises(DataError, match="no version that was in production before 0005 verifies"):
        rollback(settings_of(store), store)
    assert named(store.current()) == "0005"


@pytest.mark.usefixtures("here")
def test_a_rollback_from_a_version_that_is_lost(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", 3)
    promoted(store, "1", "2", "3")
    store.version("3").path.rename(tmp_path / "gone")
    with pytest.raises(DataError, match="has no bundle"):
        store.current()
    assert rollback(settings_of(store), store).name == "0002"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("lost", ["", "{", '{"before": 7}', '{"before": ["../../etc", 3]}'])
def test_a_lost_record_of_a_promotion_falls_back_to_the_numbers(tmp_path: Path, lost: str) -> None:
    store = make_store(tmp_path / "store", 3)
    promoted(store, "1", "2", "3")
    (store.version("3").path / "promoted.json").write_text(lost)
    assert [one.name for one in earlier(store)] == ["0002", "0001"]


@pytest.mark.usefixtures("here")
def test_a_bundle_that_does_not_verify_changes_nothing(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", 2)
    damage(store.version("2"))
    with pytest.raises(DataError, match="changed, its SHA-256 differs"):
        promote(settings_of(store), store, store.version("2"))
    assert store.current() is None
    promoted(store, "1")
    with pytest.raises(DataError):
        promote(settings_of(store), store, store.version("2"))
    assert named(store.current()) == "0001"
    assert not (store.version("2").path / "promoted.json").exists()


@pytest.mark.usefixtures("here")
def test_what_a_kill_after_the_move_left_is_taken_back_if_it_does_not_verify(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", 2)
    promoted(store, "1", "2")
    damage(store.version("2"))
    with pytest.raises(DataError):
        promote(settings_of(store), store, store.version("2"))
    assert named(store.current()) == "0001"


def test_a_rollback_to_unchanged_bytes_needs_no_second_look_at_the_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(tmp_path / "store", 3)
    looked: list[str] = []
    monkeypatch.setattr(module, "verify", lambda bundle: looked.append(bundle.parent.name))
    promoted(store, "1", "2", "3")
    looked.clear()
    assert rollback(settings_of(store), store).name == "0002"
    assert looked == []
    # Other software may give other answers.
    monkeypatch.setattr(module, "installed", lambda name: "99")
    assert rollback(settings_of(store), store).name == "0001"
    assert looked == ["0001"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "0002"),
        ([{"version": "0002", "status": 75}, {"version": None, "status": 4}], "0002"),
        ([{"version": "0002", "status": 64}], "0002"),
        ([{"version": "0002", "status": 0}], None),
        ([{"version": "0002", "status": 65}, {"version": "0002", "status": 75}], None),
    ],
)
def test_a_promotion_that_has_not_ended_is_pending(
    tmp_path: Path, lines: list[dict[str, object]], expected: str | None
) -> None:
    store = make_store(tmp_path / "store", 2)
    for line in lines:
        store.add_to_history(line)
    assert named(pending(store)) == expected
    add_version(store, promote=False)
    assert pending(store) is None


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three versions, the first in production, deployed by `served`."""
    store = make_store(tmp_path / "store", 3)
    store.point_to(store.version("1"))
    return store


@pytest.fixture
def served(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("TAGSMITH_API_KEYS", f" {KEY}, another")
    with serving({"production": store.link / "bundle"}, watch_seconds=0.05) as running:
        yield running


def version_of(served: Served) -> str:
    return str(served.get("/deployments").json()["deployments"][0]["version"])


@pytest.mark.slow
def test_a_promotion_waits_until_the_service_serves_it(store: Store, served: Served) -> None:
    before = version_of(served)
    found = promote(settings_of(store, url=f"{served.url}/", seconds=20), store, store.version("2"))
    assert found == Promotion("promoted", 0, "0002 is in production in place of 0001, and served")
    assert version_of(served) != before
    assert rollback(settings_of(store, url=served.url, seconds=20), store).name == "0001"
    assert version_of(served) == before


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_version_that_the_service_refuses_is_taken_back_at_once(
    store: Store, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, start = version_of(served), time.monotonic()
    monkeypatch.setattr(module, "verify", lambda bundle: None)
    damage(store.version("2"))
    found = promote(settings_of(store, url=served.url, seconds=60), store, store.version("2"))
    assert (found.outcome, found.status) == ("rolled_back", 65)
    assert "/deployments refuses it" in found.sentence
    assert found.sentence.endswith("0001 stays in production")
    assert time.monotonic() - start < 30
    assert named(store.current()) == "0001"
    assert version_of(served) == before


@pytest.mark.usefixtures("here")
def test_a_service_that_is_down_does_not_get_a_version(store: Store) -> None:
    found = promote(settings_of(store, url="http://127.0.0.1:9", seconds=0.3), store, store.version("2"))
    assert (found.outcome, found.status) == ("rolled_back", 75)
    assert "does not answer (ConnectionError); 0001 stays in production" in found.sentence
    assert named(store.current()) == "0001"
    store.link.unlink()
    found = promote(settings_of(store, url="http://127.0.0.1:9", seconds=0.3), store, store.version("2"))
    assert found.sentence.endswith("there is still none in production")
    assert store.current() is None


@pytest.mark.usefixtures("here")
def test_a_wrong_address_key_or_name_changes_nothing(
    store: Store, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expect(message: str, **serve: object) -> None:
        with pytest.raises(SettingsError, match=message):
            promote(settings_of(store, **serve), store, store.version("2"))
        assert named(store.current()) == "0001"

    expect("serve.url: expected an address such as", url="localhost:8080")
    expect("serve.deployment: expected one of production, found staging", url=served.url, deployment="staging")
    expect("expected the deployments of scripts/serve.py", url=f"{served.url}/v2/health")
    monkeypatch.setenv("TAGSMITH_API_KEYS", "wrong")
    expect("refuses the key", url=served.url)
    # A rollback goes on: what is in production is worse than a wrong setting.
    promoted(store, "2")
    assert rollback(settings_of(store, url=served.url), store).name == "0001"


@pytest.mark.usefixtures("here")
def test_an_interruption_while_it_waits_takes_the_version_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        assert named(store.current()) == "0002"
        raise KeyboardInterrupt

    monkeypatch.setattr("tagsmith.refresh.running_service.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        promote(settings_of(store, url="http://127.0.0.1:9"), store, store.version("2"))
    assert named(store.current()) == "0001"


@pytest.mark.slow
def test_verifying_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "store", 1)
    (tmp_path / "numpy.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    verify(store.version("1").bundle)
    damage(store.version("1"))
    with pytest.raises(DataError, match="changed, its SHA-256 differs"):
        verify(store.version("1").bundle)


CHANGES = {"os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir"}


def killed_before_step(number: int, work: Callable[[], object]) -> bool:
    """Do the work in a forked process that is killed before its n-th change of a file; returns whether it was."""
    child = os.fork()
    if child == 0:
        left = number

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


@pytest.mark.slow
def test_killed_before_any_change_of_a_file_the_store_has_a_whole_version_in_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a promotion and the removal of old versions; done again, they end as without a kill."""
    monkeypatch.setattr(module, "verify", lambda bundle: None)
    original = make_store(tmp_path / "store", 4)
    promoted(original, "1", "2")

    def work() -> None:
        promote(settings_of(store), store, store.version("4"))
        prune(store, keep=1)

    current, there, number, killed = set(), set(), 0, True
    while killed:
        store = Store(tmp_path / str(number))
        shutil.copytree(original.path, store.path, symlinks=True)
        killed = killed_before_step(number, work)
        in_production = store.current()
        assert in_production is not None
        for version in store.versions():
            layout.check(version.bundle)
        current.add(in_production.name)
        there.add(len(store.versions()))
        work()
        clean_up(store)
        assert named(store.current()) == "0004"
        assert sorted(path.name for path in store.versions_folder.iterdir()) == ["0002", "0004"]
        assert sorted(path.name for path in store.path.iterdir()) == ["current", "test", "versions"]
        shutil.rmtree(store.path)
        number += 1
    assert number > 20
    assert (current, there) == ({"0002", "0004"}, {2, 3, 4})
