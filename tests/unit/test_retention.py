"""Which versions stay, and the space that the next one needs."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tagsmith.config.settings import Recipe, RefreshRun
from tagsmith.core.errors import TryAgainLater
from tagsmith.core.files import write_json
from tagsmith.refresh.retention import clean_up, pin, prune, remove, require_space, size_of, unpin
from tagsmith.refresh.store import Store


def store_of(folder: Path, versions: int, unfinished: tuple[int, ...] = ()) -> Store:
    """A store of versions with a file of 1,000 bytes each."""
    store = Store(folder)
    store.create()
    for number in range(1, versions + 1):
        path = store.versions_folder / f"{number:04}"
        (path / "bundle").mkdir(parents=True)
        (path / "bundle" / "file").write_bytes(b"x" * 1000)
        if number not in unfinished:
            write_json(path / "decision.json", {"promote": True})
    return store


def there(store: Store) -> list[int]:
    return [int(version.name) for version in store.versions()]


def in_production(store: Store, number: int, *before: int) -> None:
    version = store.version(str(number))
    store.point_to(version)
    write_json(version.path / "promoted.json", {"before": [f"{one:04}" for one in before]})


def test_the_newest_those_in_production_and_the_pinned_ones_stay(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", 9)
    in_production(store, 5, 3, 2)
    pin(store.version("1"))
    assert prune(store, keep=2) == ["0002", "0004", "0006", "0007"]
    # 3 is where a rollback would go.
    assert there(store) == [1, 3, 5, 8, 9]
    unpin(store.version("1"))
    assert prune(store, keep=1) == ["0001", "0008"]
    assert prune(store, keep=1) == []
    assert sorted(path.name for path in store.versions_folder.iterdir()) == ["0003", "0005", "0009"]


def test_the_version_in_training_stays_and_does_not_count(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", 5, unfinished=(2, 5))
    in_production(store, 4)
    assert prune(store, keep=2) == ["0001", "0002"]
    assert there(store) == [3, 4, 5]


def test_the_version_that_the_link_names_stays_even_if_it_is_broken(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", 4)
    in_production(store, 1)
    shutil.rmtree(store.version("1").bundle)
    prune(store, keep=1)
    assert there(store) == [1, 4]


def test_nothing_is_removed_from_a_store_without_versions(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert prune(store, keep=1) == []
    clean_up(store)
    assert not store.path.exists()


def test_one_version_is_removed(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", 3)
    remove(store, store.version("3"))
    assert sorted(path.name for path in store.versions_folder.iterdir()) == ["0001", "0002"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", 2)
    in_production(store, 2)
    (store.versions_folder / "0001").rename(store.versions_folder / ".0001.removed")
    (store.path / ".current.123.tmp").symlink_to("versions/0001")
    (store.path / ".history.jsonl.5.tmp").touch()
    for name in (".bundle.7.tmp", ".bundle.7.old", "run"):
        (store.version("2").path / name).mkdir()
    (store.version("2").path / ".run.lock").touch()
    clean_up(store)
    left = sorted(path.relative_to(store.path).as_posix() for path in store.path.rglob("*"))
    assert left == [
        "current", "test", "versions", "versions/0002", "versions/0002/.run.lock", "versions/0002/bundle",
        "versions/0002/bundle/file", "versions/0002/decision.json", "versions/0002/promoted.json", "versions/0002/run",
    ]  # fmt: skip


def test_space_is_asked_for_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path / "store", 0)
    settings = RefreshRun(store=str(store.path), keep=3)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10 * 2**20))
    require_space(settings, store)  # Nothing is known yet.
    store = store_of(tmp_path / "store", 1)
    version = store.version("1")
    version.run.model.mkdir(parents=True)
    version.run.weights.write_bytes(b"x" * 2**20)
    (version.bundle / "file").write_bytes(b"x" * 3 * 2**20)
    assert size_of(version.path) // 2**20 == 4
    # The version, and three checkpoints of four times the weights.
    with pytest.raises(TryAgainLater, match=r"expected 16\.0 MiB of free space .* has 4\.0 MiB\), found 10\.0 MiB"):
        require_space(settings, store)
    settings.train.recipe = Recipe.probe
    require_space(settings, store)  # Twice the version.
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=8 * 2**20))
    with pytest.raises(TryAgainLater, match=r"expected 8\.0 MiB"):
        require_space(settings, store)
