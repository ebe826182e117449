"""The command `tagsmith` of a wheel, in an environment that has its dependencies and no checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.bundles import make_bundle
from tests.cli.conftest import ROOT
from tests.conftest import make_documents, write_jsonl


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; a .pth file adds what is installed here, except this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    # Setuptools writes build/ and *.egg-info next to the sources.
    for name in ("src", "configs", "scripts", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / "checkout" / name if copy is shutil.copytree else folder / "checkout")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    build = [*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*build, str(folder / "checkout")], check=True, timeout=100)
    (wheel,) = folder.glob("tagsmith-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True, timeout=100)
    (site,) = folder.glob("env/lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    install = [*pip, "--python", str(folder / "env/bin/python"), "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, timeout=100)
    shutil.rmtree(folder / "checkout")
    return folder / "env"


def run(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=variables, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_the_wheel_has_all_modules_and_the_files_beside_them(environment: Path) -> None:
    (site,) = environment.glob("lib/python*/site-packages")

    def files(folder: Path) -> set[str]:
        kinds = {".py", ".typed", ".jsonl", ".js", ".css", ".html"}
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in kinds}

    assert files(site / "tagsmith") >= files(ROOT / "src" / "tagsmith")


@pytest.mark.slow
def test_the_command_lists_the_scripts_and_names_unknown_ones(environment: Path, tmp_path: Path) -> None:
    def tagsmith(*words: str) -> subprocess.CompletedProcess[str]:
        return run(environment / "bin" / "tagsmith", *words, folder=tmp_path)

    done = tagsmith("--help")
    assert done.returncode == 0, done.stderr
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
    done = tagsmith("trian", "data=csv")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("error: trian: unknown command; did you mean train?\n")
    assert tagsmith().returncode == 64
    assert tagsmith("--version").stdout.startswith("tagsmith 0.")
    assert tagsmith("serve", "--help").stdout.startswith("tagsmith serve NAME=VALUE ...\n")


COMMANDS = """
import json, os, sys
import datasets, sklearn.linear_model, torch, transformers  # Once for all commands.
from tagsmith.__main__ import main

for words in json.loads(sys.argv[1]):
    if (child := os.fork()) == 0:
        sys.argv[1:] = words
        try:
            main()
        except SystemExit as left:
            sys.stdout.flush()
            os._exit(left.code or 0)  # As multiprocessing ends a forked process: it has none of its parent's threads.
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(f"tagsmith {' '.join(words)}: exit status {status}")
"""


@pytest.mark.slow
def test_training_evaluating_and_classifying(environment: Path, encoder: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "tickets.jsonl", make_documents(60, multi_label=False))
    write_jsonl(tmp_path / "new.jsonl", [{"text": "the cat and a dog"}])
    make_bundle(tmp_path / "bundle")
    mine = tmp_path / "my configs" / "experiment" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text(
        "# @package _global_\ndefaults:\n  - override /data: jsonl\n  - override /train: probe\n\n"
        f"data: {{train: tickets.jsonl}}\nmodel: {{path: {encoder}}}\ntrain: {{cpu: true, tensorboard: false}}\n"
    )
    words = [
        ["train", "--config-dir", str(mine.parents[1]), "experiment=mine", "run=runs/mine"],
        ["evaluate", "run=runs/mine", "cpu=true", "analyse=false"],
        ["classify", "bundle=bundle", "input=new.jsonl", "output=classified.jsonl"],
    ]
    done = run(environment / "bin" / "python", "-c", COMMANDS, json.dumps(words), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "classified.jsonl").read_text())["label"] == "animals"
    assert (tmp_path / "runs/mine/report.html").is_file()
    record = json.loads((tmp_path / "runs/mine/settings.json").read_text())
    assert record["settings"]["train.recipe"] == "probe"
    assert record["commit"] is None
