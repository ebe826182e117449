"""The round trip, changed classes and the comparison of two runs, by the real scripts."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Script
from tests.conftest import make_documents, write_jsonl

pytestmark = pytest.mark.slow


def test_queue_out_tags_in_classes_changed_runs_compared(
    script: Script, tiny: Callable[..., list[str]], tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(90, multi_label=False))
    data = ["data=jsonl", "data.train=train.jsonl"]
    first = script("train", *data, "train=probe", "run=first", *tiny())
    assert first.returncode == 0, first.stderr
    (tmp_path / "first/improve").mkdir()
    queue = [{"id": "new", "text": "the cat of some cow", "score": 1.0, "suggested": "food", "tag": None}]
    write_jsonl(tmp_path / "first/improve/tag_next.jsonl", queue)
    given = script("annotate", "give", "run=first", "tool=csv")
    assert given.returncode == 0, given.stderr
    take, train = (shlex.split(line)[2:] for line in given.stdout.splitlines()[-2:])
    assert take == ["take", "run=first", "tool=csv", "export=first/improve/for_csv/documents.csv"]
    assert train[:3] == [*data, "train=probe"]
    assert train[-3:] == ["data.tagged=[first/improve/from_csv.jsonl]", "data.split_from=first", "run=first_tagged"]
    table = tmp_path / "first/improve/for_csv/documents.csv"
    table.write_text(table.read_text(encoding="utf-8-sig").replace(",,,", ",,animals,"), encoding="utf-8")
    taken = script("annotate", *take)
    assert taken.returncode == 0, taken.stderr
    assert "1 document tagged" in taken.stdout

    (tmp_path / "changes.yaml").write_text("rename: {animals: zoo}\nsplit: {food: [sweet, salty]}\n")
    tags = "data.tagged=[first/improve/from_csv.jsonl]"
    second = script(
        "train", *data, "train=finetune", "train.epochs=1", "run=second", "data.schema_changes=changes.yaml", tags,
        "data.split_from=first", "train.start_from=first", *tiny(),
    )  # fmt: skip
    assert second.returncode == 0, second.stderr
    assert "added 1 training document" in second.stderr
    waiting = [json.loads(line) for line in (tmp_path / "second/split_classes.jsonl").read_text().splitlines()]
    assert {line["tag"] for line in waiting} == {None}
    assert waiting[0]["choices"] == ["sweet", "salty"]
    assert json.loads((tmp_path / "second/schema.json").read_text())["classes"] == ["zoo", "sweet", "salty", "tools"]

    refused = script("compare", "runs=[first,second]")
    assert refused.returncode == 64
    assert "schema_changes=FILE" in refused.stderr
    compared_all = script(
        "compare", "runs=[first,second]", "schema_changes=changes.yaml", "resamples=100", "margin=1", "fail_if=worse"
    )
    assert compared_all.returncode == 0, compared_all.stderr
    third = script("train", *data, "train=probe", "run=third", "data.split_from=first", "seed=3", *tiny())
    assert third.returncode == 0, third.stderr
    compared = script("compare", "runs=[first,third]", "resamples=100", "fail_if=not_better")
    assert compared.returncode == 3, compared.stderr
    assert compared.stderr.endswith("third is not significantly better than first in macro F1.\n")
    assert "macro F1" in compared.stdout
    found = json.loads((tmp_path / "third/compared/first/comparison.json").read_text())
    assert found["figures"]["accuracy"]["difference"] == 0
    assert "Content-Security-Policy" in (tmp_path / "third/compared/first/comparison.html").read_text()
    for words in (["runs=[first]"], ["runs=[first,nowhere]"], ["runs=[first,first]"]):
        assert script("compare", *words).returncode in (64, 66)
    assert script("label_studio", "push", "run=first", LABEL_STUDIO_TOKEN="").returncode == 64
