"""Bundles on the command line: export in all formats, verify, exit statuses."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Script
from tests.conftest import make_documents, write_jsonl

pytestmark = pytest.mark.slow

BARE = """
import runpy, sys
for name in ("torch", "transformers", "datasets", "hydra", "omegaconf", "sklearn", "rich", "onnx", "huggingface_hub"):
    sys.modules[name] = None
sys.argv = ["tagsmith.bundle", *sys.argv[1:]]
runpy.run_module("tagsmith.bundle", run_name="__main__", alter_sys=True)
"""


def test_export_in_all_formats_and_verify(script: Script, tiny: Callable[..., list[str]], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(120, multi_label=False))
    trained = script("train", "data=jsonl", "data.train=train.jsonl", "run=r", *tiny(**{"train.epochs": 3}))
    assert trained.returncode == 0, trained.stderr
    refused = script("export", "run=r", "bundle=b", "export.formats=[transformers,gguf]")
    assert refused.returncode == 64
    assert "export.formats: expected some of onnx, transformers; found gguf" in refused.stderr
    wanted = ["export.formats=[onnx,transformers]", "export.quantize=true", "export.golden=documents"]
    exported = script("export", "run=r", "bundle=b", *wanted)
    assert exported.returncode == 0, exported.stderr
    assert "transformers: parity over 24 test documents" in exported.stderr
    texts = [json.loads(line)["text"] for line in (tmp_path / "b/golden.jsonl").read_text().splitlines()]
    own = {json.loads(line)["text"] for line in (tmp_path / "r/predictions.jsonl").read_text().splitlines()}
    assert len(own & set(texts)) == 10

    def verify(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-c", BARE, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = verify("verify", "b")
    assert (done.returncode, done.stderr) == (0, "")
    assert "onnx/model.onnx: matches the schema of 3 classes; 17 answers as expected" in done.stdout
    assert done.stdout.endswith("verified: b\n")
    with (tmp_path / "b/README.md").open("a") as file:
        file.write("x")
    for words, status, told in (
        (["verify", "b"], 65, "README.md: changed"),
        (["verify", "r"], 66, "is not a bundle"),
        (["look", "b"], 64, "usage: python -m tagsmith.bundle"),
    ):
        done = verify(*words)
        assert (done.returncode, done.stdout) == (status, "")
        assert told in done.stderr
        assert "Traceback" not in done.stderr
