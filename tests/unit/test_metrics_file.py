"""The Prometheus text file, read as Prometheus reads it."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tagsmith.core.files import write_json
from tagsmith.refresh.metrics_file import write_metrics
from tagsmith.refresh.store import Store

README = Path(__file__).parents[2] / "src" / "tagsmith" / "refresh" / "README.md"


def line(hour: int, status: int, outcome: str, **more: Any) -> dict[str, Any]:
    return {"ended": f"2026-11-29T{hour:02}:00:00+0100", "seconds": 60.5, "status": status, "outcome": outcome, **more}


def seconds(hour: int) -> float:
    return datetime.fromisoformat(f"2026-11-29T{hour:02}:00:00+01:00").timestamp()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.create()
    for number in (1, 2):
        path = store.versions_folder / f"{number:04}"
        path.mkdir()
        figures = {
            "frozen": {"documents": 3, "challenger": {"macro_f1": 0.5 + number / 10, "accuracy": 0.25}},
            "0002_2026-11-29": {"documents": 2, "challenger": {"macro_f1": 1.0}},
            "compared": None,
        }
        write_json(path / "decision.json", {"figures": figures, "wear": {"decisions": number, "most": 40}})
    store.point_to(store.version("1"))
    (store.test / "frozen.jsonl").write_text('{"id": 1}\n{"id": 2}\n{"id": 3}\n')
    (store.test / "0001_2026-11-28.jsonl").write_text('{"id": 4}\n')
    (store.test / "0002_2026-11-29.jsonl").write_text('{"id": 5}\n{"id": 6}\n')
    return store


def read(path: Path, store: Store) -> dict[tuple[str, ...], float]:
    """The values by name and the values of the labels beside `store`."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("store") == str(store.path)
            found[sample.name.removeprefix("tagsmith_refresh_"), *labels.values()] = sample.value
    return found


def test_the_file_shows_the_last_refresh_and_what_is_in_production(store: Store, tmp_path: Path) -> None:
    killed = {"ended": None, "seconds": None, "status": None, "outcome": "killed", "action": None}
    for one in (line(1, 0, "promoted"), line(2, 3, "not_promoted", action="refresh"), killed):
        store.add_to_history(one)
    path = tmp_path / "collector" / "tickets.prom"
    write_metrics(path, store, line(3, 65, "refused"))
    found = read(path, store)
    assert found.pop(("store_bytes",)) > 500
    assert found == {
        ("last_run_timestamp_seconds",): seconds(3),
        ("last_success_timestamp_seconds",): seconds(2),
        ("last_promotion_timestamp_seconds",): seconds(1),
        ("last_status",): 65,
        ("last_duration_seconds",): 60.5,
        ("runs_total", "promoted"): 1,
        ("runs_total", "not_promoted"): 1,
        ("runs_total", "refused"): 1,
        ("runs_total", "killed"): 1,
        ("production_info", "0001"): 1,
        ("production_figure", "frozen", "macro_f1"): 0.6,
        ("production_figure", "frozen", "accuracy"): 0.25,
        ("test_documents", "frozen"): 3,
        ("test_documents", "dated"): 3,
        ("frozen_decisions",): 2,
        ("frozen_decisions_limit",): 40,
        ("versions",): 2,
    }
    assert [left.name for left in path.parent.iterdir()] == ["tickets.prom"]


def test_a_refresh_that_is_in_the_history_already_counts_once(store: Store, tmp_path: Path) -> None:
    store.add_to_history(line(1, 4, "nothing_new"))
    write_metrics(tmp_path / "x.prom", store, line(1, 4, "nothing_new"))
    found = read(tmp_path / "x.prom", store)
    assert found["runs_total", "nothing_new"] == 1
    assert found["last_success_timestamp_seconds",] == seconds(1)


def test_an_action_by_hand_is_no_refresh(store: Store, tmp_path: Path) -> None:
    store.add_to_history(line(1, 70, "failed", action="refresh"))
    write_metrics(tmp_path / "x.prom", store, line(2, 0, "promoted_by_hand", action="promote"))
    found = read(tmp_path / "x.prom", store)
    assert (found["last_status",], found["last_run_timestamp_seconds",]) == (70, seconds(1))
    assert found["last_promotion_timestamp_seconds",] == seconds(2)
    assert ("last_success_timestamp_seconds",) not in found


def test_an_empty_store(tmp_path: Path) -> None:
    store = Store(tmp_path / 'st"or\ne')
    store.create()
    write_metrics(tmp_path / "x.prom", store, line(1, 75, "later"))
    found = read(tmp_path / "x.prom", store)
    assert found["versions",] == 0
    assert not {("production_info", ""), ("last_success_timestamp_seconds",), ("frozen_decisions",)} & found.keys()
    assert ("last_status",) in found


def test_a_damaged_decision_leaves_only_its_figures_out(store: Store, tmp_path: Path) -> None:
    for version in store.versions():
        version.decision.write_text("{")
    write_metrics(tmp_path / "x.prom", store, line(1, 0, "promoted"))
    found = read(tmp_path / "x.prom", store)
    assert found["production_info", "0001"] == 1
    assert not [name for name in found if name[0] == "production_figure"]


def test_the_readme_names_every_metric_and_its_alerts_use_them(store: Store, tmp_path: Path) -> None:
    store.add_to_history(line(1, 0, "promoted"))
    write_metrics(tmp_path / "x.prom", store, line(2, 0, "promoted"))
    samples = [
        one for family in text_string_to_metric_families((tmp_path / "x.prom").read_text()) for one in family.samples
    ]
    there = {one.name.removeprefix("tagsmith_refresh_"): {*one.labels} - {"store"} for one in samples}
    text = README.read_text()
    table = text.split("| metric | what it is |")[1].split("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    named = {
        name: set(filter(None, labels.split(", ")))
        for name, labels in re.findall(r"`(\w+)(?:\{([\w, ]+)\})?`", " ".join(cells))
    }
    assert named == there
    (rules,) = re.findall(r"^```yaml\n(groups:.+?)^```$", text, re.M | re.S)
    (group,) = yaml.safe_load(rules)["groups"]
    assert len(group["rules"]) == 2
    for rule in group["rules"]:
        used = re.findall(r"tagsmith_refresh_(\w+)", rule["expr"])
        assert used
        assert set(used) <= there.keys()
