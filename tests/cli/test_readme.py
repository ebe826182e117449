"""Every command of every README runs as it stands, on small files of the names that it uses."""

import json
import re
import shlex
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from tests.cli.conftest import ROOT, Script
from tests.conftest import make_documents, make_encoder, write_jsonl

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text(encoding="utf-8")
ALL = [README, *(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("[!.]*/**/README.md")))]
COMMANDS = [command for text in ALL for command in re.findall(r"^python scripts/(.+)$", text, flags=re.MULTILINE)]


@pytest.fixture
def documents(tmp_path: Path) -> None:
    """The files that the README speaks of."""
    single = make_documents(60, multi_label=False)
    write_jsonl(tmp_path / "train.jsonl", single)
    write_jsonl(tmp_path / "test.jsonl", make_documents(30, multi_label=False, seed=1))
    write_jsonl(tmp_path / "new.jsonl", [{"text": record["text"]} for record in single[:5]])
    write_jsonl(
        tmp_path / "untagged.jsonl", [{"text": r["text"]} for r in make_documents(30, multi_label=False, seed=2)]
    )
    rows = [(str(record["text"]), record["labels"]) for record in make_documents(60, multi_label=True)]
    (tmp_path / "tickets.csv").write_text("text,label\n" + "".join(f"{text},{';'.join(t)}\n" for text, t in rows))
    pairs = [(str(record["text"]), str(record["label"])) for record in single]
    (tmp_path / "tickets.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in pairs))
    entries = []
    for i, (text, label) in enumerate(pairs):
        (tmp_path / "folder" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / label / f"{i}.txt").write_text(text)
        (tmp_path / f"{i}.txt").write_text(text)
        entries.append({"location": f"{i}.txt", "class": {"category": label}})
    names = sorted({label for _, label in pairs})
    kind = "CustomSingleLabelClassification"
    classes = [{"category": name} for name in names]
    project = {"metadata": {}, "assets": {"projectKind": kind, "classes": classes, "documents": entries}}
    (tmp_path / "labels.json").write_text(json.dumps(project))
    columns = {"text": [text for text, _ in pairs], "label": [names.index(label) for _, label in pairs]}
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "saved")
    (tmp_path / "runs").mkdir()
    (tmp_path / "changes.yaml").write_text(f"rename: {{{names[0]}: renamed}}\nadd: [another]\n")
    write_jsonl(tmp_path / "runs" / "demo_new.jsonl", [{"id": "a", "text": "the cat"}])


def test_every_command_of_the_readme(
    script: Script, tiny: Callable[..., list[str]], documents: None, tmp_path: Path
) -> None:
    assert len(COMMANDS) >= 12
    encoder = make_encoder(tmp_path / "encoder", max_tokens=128)
    seen: set[str] = set()
    for command in COMMANDS:
        missing_plugin = "experiment=search" in command and find_spec("hydra_plugins.hydra_optuna_sweeper") is None
        # test_serve_script.py runs the service, which does not end by itself; test_label_studio.py has a server.
        if missing_plugin or "submitit_slurm" in command or command.startswith(("serve.py", "label_studio.py")):
            continue
        name, *overrides = shlex.split(command.split("#")[0])
        if "--multirun" in overrides:
            overrides += [*tiny(**{"model.path": encoder, "train.frozen_layers": 0})]
            overrides += ["hydra.sweeper.n_trials=2"] if "experiment=search" in overrides else []
        elif name == "train.py":
            run = next(word for word in overrides if word.startswith("run="))
            # The same folder may be named by two examples; the second one replaces it.
            overrides += [*tiny(**{"model.path": encoder}), *(["overwrite=true"] if run in seen else [])]
            seen.add(run)
        if name == "bench_classify.py":
            overrides += ["contenders=[tagsmith]", "repetitions=1", "calls=3", "short_characters=500"]
        if name == "bench_train.py":
            overrides += [*tiny(**{"model.path": encoder}), "contenders=[tfidf_svm]", "draws=1"]
        if name == "bench_improve.py":
            overrides += [f"model.path={encoder}", "start=9", "documents=30", "seeds=1", "cpu=true"]
        done = script(name.removesuffix(".py"), *overrides)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    snippet = re.search(r"```python\n(.+?)```", README, flags=re.DOTALL)
    assert snippet is not None
    code = snippet[1].replace("bundles/demo", str(tmp_path / "bundles" / "demo"))
    known: dict[str, object] = {}
    exec(code, known)
    assert known["classifier"].classes == ["business", "entertainment", "politics", "sports", "tech"]  # type: ignore[attr-defined]


def test_the_makefile_runs_the_tour() -> None:
    demo = (ROOT / "Makefile").read_text(encoding="utf-8").split("demo: install")[1].split("\ntest:")[0]
    tour = README.split("## Five minutes")[1].split("## Your documents")[0]
    commands = re.findall(r"^python (scripts/\w+\.py.*)$", tour, flags=re.MULTILINE)
    assert commands
    for command in commands:
        assert command in demo


def test_the_exit_statuses_are_those_of_the_code() -> None:
    from tagsmith.core import errors

    for name in ("TagsmithError", "SettingsError", "DataError", "InputMissing", "TryAgainLater"):
        assert f"| {getattr(errors, name).exit_status} |" in README
