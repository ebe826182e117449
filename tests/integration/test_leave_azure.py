"""Leaving Azure: `take` from a server that follows the published reference, with a service of ours as its runtime."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.textanalytics import TextAnalyticsClient
from azure.core.credentials import AzureKeyCredential

from tagsmith.azure import answers as answers_of
from tagsmith.azure.exit_folder import ExitFolder
from tagsmith.azure.import_project import import_project
from tagsmith.azure.report import report
from tagsmith.azure.service import KEY as VARIABLE
from tagsmith.azure.take import take
from tagsmith.azure.texts import ADDRESS
from tagsmith.config.settings import AzureSettings, ExportRun, LeaveAction, LeaveAzure, Recipe
from tagsmith.core.errors import DataError, InputMissing, SettingsError, TagsmithError, TryAgainLater
from tagsmith.data import read_azure
from tagsmith.export.export_run import export
from tagsmith.train.train_run import train
from tests.conftest import make_documents, write_jsonl
from tests.fake_azure import FakeAzure, Fault, azure, error
from tests.integration.conftest import Made, settings_in
from tests.serving import KEY, serving

SINGLE = "CustomSingleLabelClassification"
TEXTS = {
    "sub/1 a.txt": "the cat and the dog",
    "2.txt": "soup with rice",
    "3.txt": "a hammer near the saw",
    "4.txt": "a cow and a horse",
    "5.txt": "bread with cheese",
}
CLASSES = ["animals", "food", "tools"]
LABELS = [0, 1, 2, 0, 1]
LOCATIONS = ["sub\\1%20a.txt", "2.txt", "https://store.blob.core.windows.net/container/3.txt", "4.txt", "5.txt"]


def project(kind: str = SINGLE, **changes: Any) -> dict[str, Any]:
    documents = [
        {"location": location, "language": "en-us", "class": {"category": CLASSES[label]}}
        for location, label in zip(LOCATIONS, LABELS, strict=True)
    ]
    metadata = {"projectKind": kind, "projectName": "tickets", "storageInputContainerName": "container",
                "language": "en-us", "multilingual": False}  # fmt: skip
    assets = {"projectKind": kind, "classes": [{"category": name} for name in CLASSES], "documents": documents}
    return {"projectFileVersion": "2022-05-01", "metadata": metadata, "assets": assets, **changes}


def result(location: str, expected: str, predicted: str) -> dict[str, Any]:
    found = {"expectedClass": expected, "predictedClass": predicted}
    return {"location": location, "language": "en-us", "projectKind": SINGLE,
            "customSingleLabelClassificationResult": found}  # fmt: skip


RESULTS = [result(LOCATIONS[i], CLASSES[LABELS[i]], CLASSES[0]) for i in (0, 1, 2)]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No wait takes time; how long each was."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.fixture
def fake(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAzure]:
    monkeypatch.setenv(VARIABLE, KEY)
    one = FakeAzure(project(), RESULTS)
    one.blobs = {name: text.encode() for name, text in TEXTS.items()}
    with azure(one):
        monkeypatch.setenv(ADDRESS, f"{one.url}/container?sp=r&sig=secret")
        yield one


@pytest.fixture
def settings(fake: FakeAzure, tmp_path: Path) -> Callable[..., LeaveAzure]:
    def make(**changes: Any) -> LeaveAzure:
        given = {"action": LeaveAction.take, "endpoint": fake.url, "project": "tickets", **changes}
        return LeaveAzure(**{"out": str(tmp_path / "exit"), **given})

    return make


Settings = Callable[..., LeaveAzure]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("version", ["2023-04-01", "2025-05-15-preview"])
def test_everything_is_taken_and_the_runtime_half_from_our_own_service(
    version: str, fake: FakeAzure, settings: Settings, tmp_path: Path, bundles: dict[str, Path], waits: list[float]
) -> None:
    (tmp_path / "also.txt").write_text("a goat\nrice and beans\n", encoding="utf-8")
    with serving({"production": bundles["production"]}, max_documents=25) as served:
        served.service.settings.project = "tickets"
        fake.runtime = served.url
        taken = take(settings(api_version=version, also=str(tmp_path / "also.txt")))
        folder = taken.folder
        found = lines(folder.answers("test"))
        assert {line["id"] for line in found} == {"sub/1 a.txt", "2.txt", "3.txt"}  # Those of the model's evaluation.
        assert [line["classes"][0]["category"] for line in found] == CLASSES
        assert [line["text"] for line in lines(folder.answers("also"))] == ["a goat", "rice and beans"]
        assert taken.sentences[0] == (
            "Taken: 5 tagged documents of 3 classes, 3 test documents, 2 trained models, 1 deployment."
        )
        assert taken.sentences[1:] == [
            f"{folder.answers(name)}: {count} answers." for name, count in (("test", 3), ("also", 2))
        ]
        assert 3 in waits  # Retry-After of the export job.
        came = {path.relative_to(folder.azure).as_posix() for path in folder.azure.rglob("*.json")}
        assert {"project.json", "export.json", "models.json", "deployments.json", "models/m%201/summary.json",
                "models/m%201/results.json"} <= came  # fmt: skip
        assert json.loads(folder.export.read_text()) == fake.export
        assert {
            path.relative_to(folder.data).as_posix(): path.read_text() for path in folder.data.rglob("*.txt")
        } == TEXTS
        everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert KEY.encode() not in everything
        assert b"secret" not in everything
        # A second start asks for nothing.
        before = len(fake.seen)
        take(settings(api_version=version, also=str(tmp_path / "also.txt")))
        assert len(fake.seen) == before


def test_a_project_with_several_classes_a_document(fake: FakeAzure, settings: Settings) -> None:
    fake.export = project("CustomMultiLabelClassification")
    for entry in fake.export["assets"]["documents"]:
        entry["classes"] = [entry.pop("class"), {"category": "tools"}]
    several = {"expectedClasses": ["food"], "predictedClasses": ["food", "tools"]}
    fake.results = [{"location": "2.txt", "customMultiLabelClassificationResult": several}]
    folder = take(settings()).folder
    assert [one["tasks"][0]["kind"] for one in fake.jobs.values()] == ["CustomMultiLabelClassification"]
    assert fake.jobs["1"]["analysisInput"]["documents"] == [{"id": "0", "text": TEXTS["2.txt"], "language": "en-us"}]
    assert [line["id"] for line in lines(folder.answers("test"))] == ["2.txt"]
    assert import_project(settings(action=LeaveAction.import_)).task.value == "multi_label"


def test_a_dry_run_sends_no_text(fake: FakeAzure, settings: Settings) -> None:
    taken = take(settings(dry_run=True))
    assert not any("analyze-text/jobs" in one for one in fake.seen)
    assert taken.sentences[1] == (
        "test: 3 documents in 1 request; Azure charges for 3 text records (1,000 characters of a document)."
    )
    assert taken.sentences[-1] == "dry_run=true: no text was sent to the deployment."


@pytest.mark.slow
def test_a_connection_cut_at_every_request_is_resumed(fake: FakeAzure, settings: Settings, waits: list[float]) -> None:
    fake.states = [{"status": "succeeded"}]
    take(settings(out=f"{settings().out}-whole"))
    whole, requests = ExitFolder(Path(f"{settings().out}-whole")), len(fake.seen)
    for cut in range(1, requests + 1):
        fake.seen.clear()
        # All attempts fail, so the command ends; the same command then continues.
        fake.faults = dict.fromkeys(range(cut, cut + 7))
        folder = f"{settings().out}-{cut}"
        with pytest.raises(TryAgainLater, match="the same command continues"):
            take(settings(out=folder))
        take(settings(out=folder))
        # Asked again at most: the state of the export, the first page of a list, two spellings of a location.
        assert 0 <= len(fake.seen) - requests - 7 <= 2
        assert (Path(folder) / "answers_test.jsonl").read_bytes() == whole.answers("test").read_bytes()
        assert (Path(folder) / "taken.json").read_bytes() == whole.taken.read_bytes()


def test_a_passing_fault_needs_no_second_start(fake: FakeAzure, settings: Settings, waits: list[float]) -> None:
    fake.faults = {
        2: None,
        5: (429, {"Retry-After": "17"}, {"error": {"code": "429", "message": "Too many."}}),
        8: (503, {}, b"<html>"),
    }
    take(settings())
    assert 17 in waits


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (error(401, "401", "Access denied."), SettingsError, "Access denied; is the key in AZURE_LANGUAGE_KEY"),
        (error(403, "403", "Out of call volume quota."), SettingsError, "Out of call volume quota"),
        (error(400, "InvalidRequest", "No such version."), DataError, "InvalidRequest: No such version"),
        ((200, {}, b'{"half": '), DataError, "expected a JSON object"),
        ((200, {}, b"[]"), DataError, "expected a JSON object"),
        ((302, {"Location": "http://elsewhere/"}, b""), DataError, "status 302"),
    ],
)
def test_a_request_that_is_refused(
    fault: Fault, kind: type[TagsmithError], message: str, fake: FakeAzure, settings: Settings
) -> None:
    fake.states = [{"status": "succeeded"}]
    for number in (1, 3, 6):
        fake.seen.clear()
        fake.faults = {number: fault}
        with pytest.raises(kind, match=message):
            take(settings(out=f"{settings().out}-{number}"))
        take(settings(out=f"{settings().out}-{number}"))


def test_an_answer_that_ends_too_early(fake: FakeAzure, settings: Settings) -> None:
    fake.faults = {1: (200, {"Content-Length": "500"}, b'{"projectKind": "x"}')}
    with pytest.raises(TryAgainLater, match="no answer to GET"):
        take(settings())
    take(settings())


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_export_that_fails(status: str, fake: FakeAzure, settings: Settings) -> None:
    failed = {"status": status, "errors": [{"code": "InternalServerError", "message": "Storage cannot be read."}]}
    fake.states = [{"status": "running"}, failed, {"status": "succeeded"}]
    with pytest.raises(DataError, match=f"the export is {status}: InternalServerError: Storage cannot be read"):
        take(settings())
    take(settings())  # Exports again.
    fake.states = [{"status": "canceled"}]
    with pytest.raises(DataError, match="found 'canceled'"):
        take(settings(out=f"{settings().out}-2"))


def test_an_expired_export_job_is_started_again(fake: FakeAzure, settings: Settings) -> None:
    folder = ExitFolder(Path(settings().out))
    folder.azure.mkdir(parents=True)
    (folder.azure / "export_job.json").write_text(
        '{"link": "/language/authoring/analyze-text/projects/tickets/gone?api-version=2023-04-01"}'
    )
    take(settings())
    assert folder.export.is_file()


def test_a_request_that_azure_cannot_process_is_sent_again_and_the_others_are_kept(
    fake: FakeAzure, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_of, "MOST_DOCUMENTS", 1)
    fake.states = [{"status": "succeeded"}]
    take(settings(dry_run=True))
    before = len(fake.seen)
    failed = {"status": "failed", "errors": [{"code": "InternalServerError", "message": "Try later."}]}
    half = {"status": "succeeded", "errors": [], "tasks": {"items": [{"status": "succeeded"}]}}
    fake.faults = {before + 4: (200, {}, failed), before + 5: (200, {}, half)}  # Three submissions come first.
    with pytest.raises(
        TryAgainLater, match="2 requests of 3 failed: the job is failed: InternalServerError: Try later"
    ):
        take(settings())
    folder = ExitFolder(Path(settings().out))
    assert [line.get("error") for line in lines(folder.answers("test"))] == ["no answer", "no answer", None]
    fake.seen.clear()
    fake.faults.clear()
    take(settings())
    assert [one.partition(" ")[0] for one in fake.seen] == ["POST", "POST", "GET", "GET"]
    assert not any("error" in line for line in lines(folder.answers("test")))


def test_documents_beyond_the_limits_are_not_sent(fake: FakeAzure, settings: Settings) -> None:
    fake.blobs["2.txt"], fake.blobs["3.txt"] = b"x" * 125_001, b"  "
    fake.blobs["sub/1 a.txt"] = b"x" * 124_999
    cost = take(settings(dry_run=True)).sentences[1]
    assert "2 documents too long or empty to be sent" in cost
    assert "125 text records" in cost
    taken = take(settings())
    errors = [line.get("error") for line in lines(taken.folder.answers("test"))]
    assert errors == [
        None, "not sent: the text has 125,001 characters, and Azure reads at most 125,000",
        "not sent: the text is empty",
    ]  # fmt: skip


def test_requests_keep_the_limits_of_azure() -> None:
    documents = [answers_of.Asked(str(i), "x" * length) for i, length in enumerate([1] * 30 + [60_000] * 3)]
    assert [len(batch) for batch in answers_of.batches(documents)] == [25, 7, 1]
    assert answers_of.text_records(documents) == 30 + 180


def test_settings_that_do_not_fit(fake: FakeAzure, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputMissing, match="NotFound: Project not found"):
        take(settings(project="other", out=f"{settings().out}-other"))
    with pytest.raises(SettingsError, match="no such deployment; it has production"):
        take(settings(deployment="staging"))
    fake.deployments.append({"deploymentName": "staging", "modelId": "m0-id"})
    with pytest.raises(SettingsError, match="expected one of production, staging"):
        take(settings(out=f"{settings().out}-two"))
    with pytest.raises(SettingsError, match="was begun with project=tickets"):
        take(settings(project="other"))
    monkeypatch.setenv(ADDRESS, f"{fake.url}/container?sig=wrong")
    with pytest.raises(SettingsError, match="the signature in AZURE_STORAGE_SAS_URL has expired") as raised:
        take(settings(out=f"{settings().out}-sas", deployment="production"))
    assert "wrong" not in str(raised.value)
    monkeypatch.setenv(ADDRESS, f"{fake.url}/container/elsewhere?sig=secret")
    with pytest.raises(SettingsError, match="has none of the 5 texts, such as"):
        take(settings(out=f"{settings().out}-none", deployment="production"))
    monkeypatch.setenv(VARIABLE, "not a k\u00e9y")
    with pytest.raises(SettingsError, match="letters and digits alone"):
        take(settings())
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(SettingsError, match="AZURE_LANGUAGE_KEY: set"):
        take(settings())


def test_a_project_without_a_deployment_still_hands_out_its_evaluations(fake: FakeAzure, settings: Settings) -> None:
    fake.deployments = []
    taken = take(settings())
    assert "no deployment" in taken.sentences[-1]
    assert json.loads(taken.folder.taken.read_text())["model"] == "m 1"


def test_texts_come_from_a_downloaded_folder(
    fake: FakeAzure, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, text in TEXTS.items():
        path = tmp_path / "download" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "download" / "5.txt").unlink()
    logging.getLogger("tagsmith").propagate = True
    taken = take(settings(texts=str(tmp_path / "download")))
    assert json.loads(taken.folder.taken.read_text())["texts_missing"] == ["5.txt"]
    assert "1 of 5 texts not found: 5.txt." in caplog.text


def test_what_was_taken_becomes_the_input_of_a_run(fake: FakeAzure, settings: Settings) -> None:
    take(settings(dry_run=True))
    found = import_project(settings(action=LeaveAction.import_))
    assert (found.splits, found.classes, found.task.value) == ({"test": 3, "train": 2}, 3, "single_label")
    source = read_azure.read(AzureSettings(path=str(found.labels)))
    assert source.classes == CLASSES
    assert [(one.id, one.text, one.labels, one.split, one.language) for one in source.documents] == [
        (name, text, [CLASSES[label]], "test" if i < 3 else "train", "en-us")
        for i, ((name, text), label) in enumerate(zip(TEXTS.items(), LABELS, strict=True))
    ]


@pytest.mark.parametrize("shape", ["new", "old"])
def test_an_export_by_hand_becomes_the_input_of_a_run(shape: str, tmp_path: Path) -> None:
    tags = {"new": "classes", "old": "classifiers"}[shape]
    documents = [
        {"location": "a\\1.txt", "language": "fr", "dataset": "Test", tags: [{"category": "x"}, {"category": "y"}]},
        {"location": "2%20b.txt", "dataset": "Train", tags: []},
        {"location": "3.txt", "dataset": "Train", tags: [{"category": "Y"}]},
    ]
    classes = [{"category": "x"}, {"category": "y"}, {"category": "z"}]
    exported: dict[str, Any] = {"metadata": {"language": "de"}}
    if shape == "new":
        exported["assets"] = {
            "projectKind": "CustomMultiLabelClassification",
            "classes": classes,
            "documents": documents,
        }
    else:
        exported |= {"modelType": "MultiClassification", "classifiers": classes, "documents": documents}
    for name in ("a/1.txt", "2 b.txt", "3.txt"):
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / name).write_text(f"text of {name}")
    (tmp_path / "labels.json").write_text(json.dumps(exported))
    out, labels, texts = (str(tmp_path / name) for name in ("exit", "labels.json", "texts"))
    found = import_project(LeaveAzure(action=LeaveAction.import_, out=out, labels=labels, texts=texts))
    assert (found.splits, found.task.value) == ({"test": 1, "train": 1}, "multi_label")
    source = read_azure.read(AzureSettings(path=str(found.labels)))
    assert source.classes == ["x", "y", "z"]
    assert [(one.id, one.labels, one.split, one.language) for one in source.documents] == [
        ("a/1.txt", ["x", "y"], "test", "fr"),
        ("3.txt", ["y"], "train", "de"),
    ]
    with pytest.raises(InputMissing, match="take the project first"):
        import_project(LeaveAzure(action=LeaveAction.import_, out=str(tmp_path / "empty")))


@pytest.mark.slow
def test_from_the_project_to_the_official_client_answered_by_the_successor(
    fake: FakeAzure,
    settings: Settings,
    tmp_path: Path,
    encoder: Path,
    bundles: dict[str, Path],
    made: Made,  # So that the graph of its export is in the cache.
) -> None:
    documents = [(f"{i}.txt", str(one["text"]), str(one["label"])) for i, one in enumerate(make_documents(150, False))]
    fake.export["assets"]["documents"] = [
        {"location": name, "language": "en-us", "class": {"category": label}} for name, _, label in documents
    ]
    fake.blobs = {name: text.encode() for name, text, _ in documents}
    fake.results = [result(name, label, label) for name, _, label in documents[:60]]
    fake.page = 50
    (tmp_path / "also.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for _, text, _ in documents[60:70]))
    with serving({"production": bundles["production"]}, max_documents=25) as served:
        served.service.settings.project = "tickets"
        fake.runtime = served.url
        take(settings(also=str(tmp_path / "also.jsonl"), text_field="body"))
    found = import_project(settings(action=LeaveAction.import_))
    assert found.splits == {"test": 60, "train": 90}
    # Texts of the further file that are tagged later are test documents too: Azure has answered them.
    tagged = [{"body": text, "label": label} for _, text, label in documents[60:65]]
    write_jsonl(tmp_path / "tagged.jsonl", tagged)
    more = settings(action=LeaveAction.import_, tagged=str(tmp_path / "tagged.jsonl"), text_field="body")
    assert import_project(more).splits == {"test": 65, "train": 90}
    run, evaluation = train(settings_in(tmp_path, encoder)(found.labels, recipe=Recipe.probe, validation_share=0.0))
    assert evaluation["documents"] == 65
    about = report(settings(action=LeaveAction.report, run=str(run.path))).found
    assert about["documents"] == 65
    assert about["figures"]["accuracy"]["first"] > 0.9
    assert about["figures"]["accuracy"]["second"] == pytest.approx(evaluation["accuracy"])
    assert about["azure"]["without_answer"] == {}
    further = about["azure"]["further"]
    assert further["documents"] == 5 == further["agree"] + len(further["differ"])
    bundle = export(ExportRun(run=str(run.path), bundle=str(tmp_path / "bundle")))
    with serving({"production": bundle}) as served:
        served.service.settings.project = "tickets"
        client = TextAnalyticsClient(served.url, AzureKeyCredential(KEY))
        texts = [text for _, text, _ in documents[:5]]
        answered = client.begin_single_label_classify(texts, "tickets", "production", polling_interval=0).result()
        named = [one.classifications[0].category for one in answered]
    predicted = {row["id"]: row["predicted"] for row in lines(run.predictions)}
    assert [[name] for name in named] == [predicted[name] for name, _, _ in documents[:5]]
