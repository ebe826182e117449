"""scripts/serve.py: its command, its signals, its errors."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.bundles import make_bundle
from tests.cli.conftest import ROOT, Script

pytestmark = pytest.mark.slow

README = (ROOT / "src" / "tagsmith" / "serve" / "README.md").read_text(encoding="utf-8")


@contextmanager
def running(folder: Path, *overrides: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The script in a process, and its URL."""
    environment = {**os.environ, **variables}
    command = [sys.executable, str(ROOT / "scripts" / "serve.py"), *overrides, "serve.port=0"]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line.startswith("serving: "), process.stderr.read() if process.stderr is not None else ""
            yield process, line.removeprefix("serving: ").strip()
        finally:
            process.kill()


def test_the_command_of_the_readme_with_signals_and_log(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    make_bundle(tmp_path / "bundles" / "v3")
    make_bundle(tmp_path / "bundles" / "v4", vote=3.0)
    (command,) = re.findall(r"^python scripts/serve.py (.+)$", README, flags=re.MULTILINE)
    headers = {"Authorization": "Bearer second"}
    with running(tmp_path, *shlex.split(command), "serve.watch_seconds=0", TAGSMITH_API_KEYS="first, second") as (
        process,
        url,
    ):
        assert requests.get(f"{url}info").status_code == 401
        found = requests.post(f"{url}predict", json={"inputs": "a secret cat"}, headers=headers).json()
        assert found[0]["label"] == "animals"
        listed = requests.get(f"{url}deployments", headers=headers).json()
        assert (listed["project"], listed["default"]) == ("news", "production")
        assert [one["name"] for one in listed["deployments"]] == ["production", "staging"]
        before = listed["deployments"][0]["version"]
        (tmp_path / "bundles" / "v3").rename(tmp_path / "old")
        make_bundle(tmp_path / "bundles" / "v3", vote=9.0)
        process.send_signal(signal.SIGHUP)
        for _ in range(200):
            version = requests.get(f"{url}info", headers=headers).json()["model_sha"]
            if version != before:
                break
            time.sleep(0.05)
        assert version != before
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    lines = [json.loads(line) for line in err.splitlines()]  # Every line is JSON.
    assert {"time", "level", "message"} <= lines[0].keys()
    assert any(line.get("route") == "/predict" and line["status"] == 200 for line in lines)
    assert any("is now in use" in line["message"] for line in lines)
    assert "secret" not in err
    assert (tmp_path / "jobs.sqlite").is_file()


@pytest.mark.parametrize(
    ("overrides", "status", "message"),
    [
        (["serve.deployments={production: b}", "serve.host=0.0.0.0"], 64, "TAGSMITH_API_KEYS holds no key"),
        (["serve.deployments={production: nowhere}", "serve.port=0"], 66, "serve.deployments: nowhere does not exist"),
        (["serve.deployments={production: b}", "serve.jobs=no/where.sqlite", "serve.port=0"], 64, "cannot be written"),
    ],
)
def test_mistakes(script: Script, tmp_path: Path, overrides: list[str], status: int, message: str) -> None:
    make_bundle(tmp_path / "b")
    done = script("serve", *overrides, TAGSMITH_API_KEYS=" , ")
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(script: Script, tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    with running(tmp_path, "serve.deployments={production: b}", "serve.jobs=null") as (_, url):
        port = url.rstrip("/").rpartition(":")[2]
        done = script("serve", "serve.deployments={production: b}", f"serve.port={port}", "serve.jobs=null")
    assert done.returncode == 64
    assert "cannot listen on this address" in done.stderr


def test_the_service_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, tagsmith.serve.service, tagsmith.config.hydra_door\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'sklearn', 'scipy', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
