"""Subject and body from a spreadsheet to an answer over HTTP: what training joins, everything after it joins."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tagsmith.classify.classifier import Classifier
from tagsmith.classify.files.classify_files import classify_files
from tagsmith.config.settings import ClassifyRun, ExportRun, Recipe, TrainRun
from tagsmith.export.export_run import export
from tagsmith.train.train_run import train
from tests.conftest import make_documents
from tests.serving import serving

ROWS = [
    {"Subject": record["text"].split()[0], "Body": record["text"], "Queue": record["label"]}
    for record in make_documents(60, multi_label=False)
]


@pytest.mark.slow
def test_subject_and_body_are_joined_wherever_the_model_reads(
    settings: Callable[..., TrainRun], tmp_path: Path
) -> None:
    with (tmp_path / "tickets.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(ROWS[0]))
        table.writeheader()
        table.writerows(ROWS)
    fields = {"text_field": ["subject", "body"], "label_field": "queue"}
    run, _ = train(settings(tmp_path / "tickets.csv", recipe=Recipe.probe, **fields))
    assert run.read_record()["text_fields"] == ["subject", "body"]
    bundle = export(ExportRun(run=str(run.path), bundle=str(tmp_path / "bundle")))
    assert json.loads((bundle / "manifest.json").read_text())["text_fields"] == ["subject", "body"]
    joined = [f"{row['Subject']}\n{row['Body']}" for row in ROWS]
    expected = [prediction.label for prediction in Classifier.load(bundle).predict(joined)]

    output = tmp_path / "out.jsonl"
    classify_files(ClassifyRun(bundle=str(bundle), input=str(tmp_path / "tickets.csv"), output=str(output)))
    assert [json.loads(line)["label"] for line in output.read_text().splitlines()] == expected

    with serving({"production": bundle}) as served:
        sent = [{"Subject": row["Subject"], "Body": row["Body"]} for row in ROWS[:5]]
        answer = served.post("/classify", json={"texts": [*sent, joined[5]]})
        assert [document["label"] for document in answer.json()["documents"]] == expected[:6]
        refused = served.post("/classify", json={"texts": [{"Body": "no subject"}]})
        assert refused.status_code == 422
        assert "Document 0: expected text in subject, body, found Body" in refused.text
