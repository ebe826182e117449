"""Signed bundles: changed files and wrong keys are refused."""

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tagsmith.classify.bundle import signature
from tagsmith.classify.bundle.command_line import main
from tagsmith.classify.bundle.signature import signer, verify_signature
from tagsmith.classify.classifier import Classifier
from tagsmith.classify.files.classify_files import classify_files
from tagsmith.config.settings import ClassifyRun, ExportRun, ExportSettings
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.core.files import digest
from tagsmith.export.export_run import export
from tests.bundles import make_bundle
from tests.integration.conftest import Made, same_graph

if TYPE_CHECKING:
    from tests.serving import Served

pytest.importorskip("model_signing", reason="needs model-signing: pip install 'tagsmith[sign]'")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


def make_key(folder: Path, name: str, password: bytes | None = None) -> tuple[Path, Path]:
    """A private key and its public key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, pkcs8, locked))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_key(tmp_path, "mine")


@pytest.fixture
def bundle(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    folder = make_bundle(tmp_path / "bundle")
    signer(keys[0])(folder)
    return folder


def sealed(bundle: Path) -> None:
    """A manifest written by someone who has changed a file and knows the format."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        entry["sha256"] = digest(bundle / name)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_a_signed_bundle_loads_with_and_without_its_key(bundle: Path, keys: tuple[Path, Path]) -> None:
    assert Classifier.load(bundle).predict(["the cat"])[0].label == "animals"
    (bundle / ".DS_Store").write_bytes(b"x")  # Hidden files are ignored.
    assert Classifier.load(bundle, public_key=keys[1]).predict(["the cat"])[0].label == "animals"


def change_a_file(bundle: Path) -> None:
    (bundle / "README.md").write_text("# other votes\n")


def change_a_file_and_the_manifest(bundle: Path) -> None:
    content = (bundle / "decision.json").read_text()
    (bundle / "decision.json").write_text(content.replace('"overlap": 32', '"overlap": 31'))
    sealed(bundle)


def add_a_file_and_name_it(bundle: Path) -> None:
    (bundle / "scope.npy").write_bytes(b"x")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["scope.npy"] = {"sha256": digest(bundle / "scope.npy"), "bytes": 1}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def remove_the_signature(bundle: Path) -> None:
    (bundle / "model.sig").unlink()


def break_the_signature(bundle: Path) -> None:
    (bundle / "model.sig").write_text("{}")


def change_what_was_signed(bundle: Path) -> None:
    content = json.loads((bundle / "model.sig").read_text())
    payload = content["dsseEnvelope"]["payload"]
    content["dsseEnvelope"]["payload"] = payload[:40] + ("A" if payload[40] != "A" else "B") + payload[41:]
    (bundle / "model.sig").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_a_file, r"README\.md: changed"),
        (
            change_a_file_and_the_manifest,
            r"model\.sig: is not a valid signature.*: changed since it was signed: decision\.json, manifest\.json\.$",
        ),
        (
            add_a_file_and_name_it,
            r"model\.sig: is not a valid signature.*: changed since it was signed: manifest\.json\.$",
        ),
        (remove_the_signature, r"the bundle is not signed \(there is no .*model\.sig\)"),
        (break_the_signature, r"model\.sig: is not a valid signature"),
        (change_what_was_signed, r"model\.sig: is not a valid signature"),
    ],
)
def test_changed_bundles_are_refused(
    bundle: Path, keys: tuple[Path, Path], change: Callable[[Path], None], message: str
) -> None:
    change(bundle)
    with pytest.raises(DataError, match=message):
        Classifier.load(bundle, public_key=keys[1])


def test_hidden_files_are_ignored(bundle: Path, keys: tuple[Path, Path]) -> None:
    (bundle / ".cache" / "huggingface").mkdir(parents=True)  # What a download from the hub leaves.
    (bundle / ".cache" / "huggingface" / "schema.json.metadata").write_text("x")
    (bundle / ".link").symlink_to("/nowhere")
    Classifier.load(bundle, public_key=keys[1])
    (bundle / ".link").unlink()
    signer(keys[0])(bundle)
    (bundle / ".cache" / "huggingface" / "schema.json.metadata").write_text("y")
    Classifier.load(bundle, public_key=keys[1])


@pytest.mark.parametrize("name", ["schema.json", "onnx", "other"])
def test_symbolic_links_are_neither_signed_nor_accepted(
    bundle: Path, keys: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    if name == "other":
        (bundle / name).symlink_to("/nowhere")
    else:
        (bundle / name).rename(tmp_path / name)
        (bundle / name).symlink_to(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}(: a symbolic link|/model\.onnx: missing)"):
        Classifier.load(bundle, public_key=keys[1])
    assert main(["sign", str(bundle), "--key", str(keys[0])]) == 65
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.slow
def test_classifying_files_with_a_key(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    given, output = tmp_path / "new.jsonl", tmp_path / "classified.jsonl"
    given.write_text(json.dumps({"text": "the cat"}) + "\n")

    def run(key: Path, processes: int = 1) -> ClassifyRun:
        return ClassifyRun(
            str(bundle), str(given), str(output), processes=processes, public_key=str(key), overwrite=True
        )

    _, other = make_key(tmp_path, "other")
    with pytest.raises(DataError, match="Key mismatch"):
        classify_files(run(other))
    with pytest.raises(InputMissing, match="there is no such file"):
        classify_files(run(tmp_path / "nothing.pub"))
    assert not output.exists()
    for processes in (1, 2):
        assert classify_files(run(keys[1], processes)).classified == 1
        assert json.loads(output.read_text())["label"] == "animals"
    output.unlink()
    for change in (change_a_file_and_the_manifest, remove_the_signature):
        change(bundle)
        with pytest.raises(DataError, match=r"model\.sig"):
            classify_files(run(keys[1]))
    assert not list(tmp_path.glob("*classified*"))


def test_another_key_is_refused(bundle: Path, tmp_path: Path) -> None:
    _, public = make_key(tmp_path, "other")
    with pytest.raises(
        DataError, match=r"is not a valid signature of this bundle by the key .*other\.pub: Key mismatch"
    ):
        Classifier.load(bundle, public_key=public)
    with pytest.raises(DataError, match="is not a valid signature"):
        verify_signature(bundle, public)


def test_invalid_keys_are_refused(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.pem").write_text("no key")
    curve = rsa.generate_private_key(65537, 2048)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "rsa.pem").write_bytes(curve.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    private, public = make_key(tmp_path, "locked", b"secret")
    for wrong in (tmp_path / "text.pem", tmp_path / "rsa.pem", public, private):
        with pytest.raises(SettingsError, match="expected an elliptic-curve key"):
            signer(wrong)
    with pytest.raises(SettingsError, match="expected an elliptic-curve key"):
        verify_signature(bundle, private)
    with pytest.raises(InputMissing, match="there is no such file"):
        signer(tmp_path / "nothing.pem")
    monkeypatch.setenv(signature.PASSWORD, "wrong")
    with pytest.raises(SettingsError, match=signature.PASSWORD):
        signer(private)
    monkeypatch.setenv(signature.PASSWORD, "secret")
    signer(private)(bundle)
    verify_signature(bundle, public)
    monkeypatch.setenv(signature.PASSWORD, "")  # As with a secret that is not set.
    signer(make_key(tmp_path, "open")[0])


def test_the_command_line(bundle: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle), "--key", str(keys[1])]) == 0
    assert f"model.sig: signed with the private key of {keys[1]}" in capsys.readouterr().out
    remove_the_signature(bundle)
    assert main(["verify", str(bundle), "--key", str(keys[1])]) == 65
    assert main(["verify", str(bundle)]) == 0
    assert main(["sign", str(bundle), "--key", str(keys[0])]) == 0
    assert main(["verify", str(bundle), "--key", str(keys[1])]) == 0
    change_a_file(bundle)
    before = (bundle / "model.sig").read_bytes()
    assert main(["sign", str(bundle), "--key", str(keys[0])]) == 65
    assert (bundle / "model.sig").read_bytes() == before
    assert main(["sign", str(bundle)]) == 64
    assert main(["verify", str(bundle), "--key"]) == 64


@pytest.mark.slow
def test_other_tools_agree(bundle: Path, keys: tuple[Path, Path]) -> None:
    """The command line of model-signing verifies what was signed here, and the other way round."""

    def tool(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "model_signing", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)

    place = ("--signature", bundle / "model.sig")
    done = tool("verify", "key", bundle, *place, "--public_key", keys[1])
    assert done.returncode == 0, done.stderr
    remove_the_signature(bundle)
    done = tool("sign", "key", bundle, *place, "--private_key", keys[0])
    assert done.returncode == 0, done.stderr
    verify_signature(bundle, keys[1])


def test_without_the_package(bundle: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'tagsmith\[sign\]'"):
        Classifier.load(bundle, public_key=keys[1])
    assert main(["sign", str(bundle), "--key", str(keys[0])]) == 64
    Classifier.load(bundle)


@pytest.mark.slow
def test_export_signs(made: Made, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _, whole = made
    same_graph(whole, monkeypatch)

    def exported(key: Path) -> Path:
        wanted = ExportSettings(signing_key=str(key))
        return export(ExportRun(run=str(run.path), bundle=str(tmp_path / "exported"), export=wanted))

    with pytest.raises(InputMissing, match="there is no such file"):
        exported(tmp_path / "nothing.pem")
    assert not (tmp_path / "exported").exists()
    folder = exported(keys[0])
    assert "model.sig" not in json.loads((folder / "manifest.json").read_text())["files"]
    again = pickle.loads(pickle.dumps(Classifier.load(folder, public_key=keys[1])))
    assert again.bundle_sha256 == digest(folder / "manifest.json")


def test_a_service_that_watches_a_link_refuses_unsigned_bundles(
    bundle: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    from tests.serving import serving

    def lead_to(folder: Path) -> None:
        (tmp_path / "next").symlink_to(folder)
        (tmp_path / "next").replace(tmp_path / "current")

    def reloads(found: "Served", result: str) -> bool:
        return f'tagsmith_reloads_total{{deployment="production",result="{result}"}}' in found.get("/metrics").text

    def until(happened: Callable[[], bool]) -> None:
        limit = time.monotonic() + 30
        while not happened():
            assert time.monotonic() < limit
            time.sleep(0.05)

    unsigned, newer = make_bundle(tmp_path / "unsigned", vote=3.0), make_bundle(tmp_path / "newer", vote=4.0)
    signer(keys[0])(newer)
    lead_to(bundle)
    with serving({"production": tmp_path / "current"}, public_key=str(keys[1]), watch_seconds=0.05) as running:
        version = running.get("/info").json()["model_sha"]
        lead_to(unsigned)
        until(lambda: reloads(running, "refused"))
        assert running.get("/info").json()["model_sha"] == version
        assert running.get("/deployments").json()["deployments"][0]["newer_refused"]
        assert running.post("/predict", json={"inputs": "the cat"}).json()[0]["label"] == "animals"
        lead_to(newer)
        until(lambda: reloads(running, "taken"))
        assert running.get("/info").json()["model_sha"] != version
        assert not running.get("/deployments").json()["deployments"][0]["newer_refused"]


def test_a_service_accepts_only_signed_bundles(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    from tests.serving import serving

    unsigned = make_bundle(tmp_path / "unsigned")
    with pytest.raises(DataError, match="is not signed"), serving({"a": unsigned}, public_key=str(keys[1])):
        pass
    with serving({"production": bundle}, public_key=str(keys[1])) as running:
        version = running.get("/info").json()["model_sha"]
        change_a_file_and_the_manifest(bundle)
        assert running.run(running.service.deployments.reload("production")) is False
        assert running.get("/info").json()["model_sha"] == version
