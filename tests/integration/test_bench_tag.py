"""scripts/bench_tag.py: a simulated person tags on the page, through its HTTP interface."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tagsmith.bench.tagging import many_people
from tagsmith.bench.tagging.bench_tagging import measure
from tagsmith.bench.tagging.tag_results import Cold, Tagged, bench_table
from tagsmith.config.settings import BenchTagRun, CacheSettings, ModelSettings, TableSettings
from tagsmith.core.errors import DataError
from tests.conftest import make_documents, write_jsonl

pytestmark = pytest.mark.slow


def test_a_person_tags_in_each_order_and_two_at_once(
    tmp_path: Path, encoder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = make_documents(60, multi_label=False)
    write_jsonl(tmp_path / "train.jsonl", documents)
    write_jsonl(tmp_path / "test.jsonl", make_documents(20, multi_label=False, seed=1))
    names = sorted({str(one["label"]) for one in documents})
    guidelines = tmp_path / "guidelines.jsonl"
    write_jsonl(guidelines, [{"class": name, "guideline": f"about {name}"} for name in names])
    settings = BenchTagRun(
        documents=14, step=7, goal=0.01, wrong_share=0.2, guidelines=str(guidelines), cpu=True,
        data=TableSettings(train=str(tmp_path / "train.jsonl"), test=str(tmp_path / "test.jsonl")),
        model=ModelSettings(path=str(encoder)), cache=CacheSettings(folder=None),
    )  # fmt: skip
    results = list(measure(settings))
    cold = [one for one in results if isinstance(one, Cold)]
    assert [one.named_by for one in cold] == ["names", "guidelines"]
    runs = [one for one in results if isinstance(one, Tagged)]
    assert (runs[0].order, runs[0].named_by) == ("page", "names")
    assert [(one.order, one.wrong_share) for one in runs[1:]] == [
        (order, share) for share in (0.0, 0.2) for order in ("page", "random", "uncertain")
    ]
    for one in runs:
        assert one.tags == [7, 14]
        assert one.enough in (7, 14)
        assert one.keys == one.keys_from_list == 1.0  # Digits choose among few classes.
    assert runs[1].named_by == "guidelines"
    assert all(json.dumps(one.as_dict()) for one in results)
    Console(width=130).print(bench_table(results))
    printed = capsys.readouterr().out
    assert "before the first tag, by guidelines" in printed

    monkeypatch.setattr(many_people, "SECONDS", 2.0)
    monkeypatch.setattr(many_people, "PAUSE", 0.05)
    (waited,) = measure(replace(settings, people=2))
    assert isinstance(waited, many_people.Waited)
    assert 4 <= waited.decisions <= 60  # No document goes to both.
    assert 0 < waited.decision_p50 <= waited.decision_p95
    Console(width=130).print(bench_table([waited]))
    assert "2 people, 60 documents" in capsys.readouterr().out

    write_jsonl(guidelines, [{"class": names[0], "guideline": "alone"}])
    with pytest.raises(DataError, match="expected a guideline for each class, found none for"):
        list(measure(settings))
