import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import ExportRun, ModelSettings, Recipe, TableSettings, TrainRun, TrainSettings
from tagsmith.core.run import RunFolder
from tests.browser import started_browser
from tests.bundles import make_bundle
from tests.conftest import make_documents, write_jsonl

Made = tuple[RunFolder, dict[str, Any], Path]


@pytest.fixture
def settings(encoder: Path, tmp_path: Path) -> Callable[..., TrainRun]:
    """Makes settings of a training that takes a second or two, in the temporary folder of the test."""
    return settings_in(tmp_path, encoder)


def settings_in(folder: Path, encoder: Path) -> Callable[..., TrainRun]:
    """Makes such settings for runs in `folder`; each keyword goes to the section that has a setting of that name."""

    def make(train_file: Path, run: str = "run", **changes: Any) -> TrainRun:
        data = {"validation_share": 0.2}
        recipe: dict[str, Any] = {"batch_tokens": 256, "epochs": 2, "learning_rate": 1e-3, "log_every": 1}
        model: dict[str, Any] = {"path": str(encoder)}
        top: dict[str, Any] = {}
        for name, value in changes.items():
            for known, section in (
                (TableSettings, data),
                (TrainSettings, recipe),
                (ModelSettings, model),
                (TrainRun, top),
            ):
                if name in known.__dataclass_fields__:
                    section[name] = value
                    break
        return TrainRun(
            run=str(folder / run),
            data=TableSettings(train=str(train_file), **data),
            model=ModelSettings(**model),
            train=TrainSettings(cpu=True, tensorboard=False, **recipe),
            **top,
        )

    return make


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three bundles to serve, for tests that do not change them; modules with others have a fixture of this name."""
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "staging": make_bundle(folder / "staging", vote=3.0),
        "production": make_bundle(folder / "single", max_tokens=12),
        "tags": make_bundle(folder / "tags", multi_label=True),
    }


@pytest.fixture(scope="session")
def made(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A probe tested on 150 documents, its evaluation and its bundle, for tests that do not change them."""
    from tagsmith.export.export_run import export
    from tagsmith.train.train_run import train

    folder = tmp_path_factory.mktemp("made")
    data = write_jsonl(folder / "all.jsonl", make_documents(400, multi_label=False))
    about = {"recipe": Recipe.probe, "test_share": 0.375, "validation_share": 0.0}
    run, evaluation = train(settings_in(folder, encoder)(data, **about))
    return run, evaluation, export(ExportRun(run=str(run.path), bundle=str(folder / "bundle")))


def same_graph(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let exports of the run of this bundle copy its graph, since writing one takes seconds."""
    from tagsmith.export import export_run

    graph = bundle / "onnx" / "model.onnx"
    monkeypatch.setattr(export_run, "write_graph", lambda path, *_, **__: shutil.copy(graph, path))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with started_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
