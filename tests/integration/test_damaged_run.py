"""A run that was damaged is refused with one message that names the file and says what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tagsmith.config.settings import (
    EvaluateRun,
    ExportRun,
    ModelSettings,
    Recipe,
    TableSettings,
    TrainRun,
    TrainSettings,
)
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.run import RunFolder
from tagsmith.evaluate.evaluate_run import evaluate_run
from tagsmith.export.export_run import export
from tagsmith.train.train_run import train

pytestmark = pytest.mark.slow


def settings_of(run: Path, data: Path, encoder: Path, **changes: object) -> TrainRun:
    settings = TrainRun(
        run=str(run),
        data=TableSettings(train=str(data)),
        model=ModelSettings(path=str(encoder)),
        train=TrainSettings(recipe=Recipe.probe, cpu=True, tensorboard=False),
    )
    for name, value in changes.items():
        setattr(settings if name == "resume" else settings.data, name, value)
    return settings


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, encoder: Path, single_label_file: Path) -> Path:
    run, _ = train(settings_of(tmp_path_factory.mktemp("whole") / "run", single_label_file, encoder))
    return run.path


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(whole, tmp_path / "run")))


@pytest.fixture
def stages(run: RunFolder, encoder: Path, single_label_file: Path) -> dict[str, Callable[[], object]]:
    """What reads a run."""
    place = run.path
    resumed = settings_of(place, single_label_file, encoder, resume=True)
    beside = settings_of(place.with_name("other"), single_label_file, encoder, split_from=str(place))
    return {
        "train": lambda: train(resumed),
        "evaluate": lambda: evaluate_run(EvaluateRun(run=str(place), cpu=True), run),
        "export": lambda: export(ExportRun(run=str(place), bundle=str(place.with_name("bundle")))),
        "split_from": lambda: train(beside),
    }


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


CONTENTS: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "half": halve,
    "the text is missing": lambda path: path.write_bytes(b"\xff\xfe\xff"),
    "a list": lambda path: path.write_text("[]"),
    "an empty object": lambda path: path.write_text("{}"),
    "nothing": lambda path: path.write_text("null"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}
READ_BY = {
    "settings.json": ["train", "export"],
    "schema.json": ["train", "evaluate", "export"],
    "model/config.json": ["evaluate", "export"],
    "model/reading.json": ["evaluate", "export"],
    "model/tokenizer.json": ["evaluate", "export"],
    "model/model.safetensors": ["train", "evaluate", "export"],
    "data/dataset_dict.json": ["train", "evaluate", "export", "split_from"],
    "data/test/dataset_info.json": ["train", "evaluate", "export", "split_from"],
    "data/test/state.json": ["train", "evaluate", "export", "split_from"],
    "data/train/data-00000-of-00001.arrow": ["train", "evaluate", "export", "split_from"],
}
IS_NO_LONGER_A_RUN = {("settings.json", "missing"), ("settings.json", "a folder")}
TRAINS_AGAIN = {("model/model.safetensors", "missing"), ("model/model.safetensors", "a folder")}


@pytest.mark.parametrize("damage", CONTENTS)
@pytest.mark.parametrize("name", READ_BY)
def test_a_damaged_file_is_refused_by_name(
    run: RunFolder, stages: dict[str, Callable[[], object]], name: str, damage: str
) -> None:
    if (name, damage) == ("data/test/dataset_info.json", "an empty object"):
        pytest.skip("the documents themselves carry what it says: they are whole")
    CONTENTS[damage](run.path / name)
    for stage in READ_BY[name]:
        if stage == "train" and (name, damage) in IS_NO_LONGER_A_RUN | TRAINS_AGAIN:
            continue
        with pytest.raises((DataError, InputMissing)) as refused:
            stages[stage]()
        message = str(refused.value)
        assert str(run.data if name.startswith("data/") else run.path / name) in message
        assert any(
            advice in message for advice in ("restore", "resume=true", "no run here", "expected the schema.json")
        )
    assert not run.path.with_name("bundle").exists()


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


WRONG_VALUES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "token ids beyond the encoder": ("model", lambda run: change(run / "model/reading.json", pad_id=9999)),
    "windows beyond the encoder": (
        "model",
        lambda run: change(run / "model/reading.json", window_rule={"max_tokens": 9999}),
    ),
    "a number as text": ("model/reading.json", lambda run: change(run / "model/reading.json", pad_id="0")),
    "a number out of its range": ("model/reading.json", lambda run: change(run / "model/reading.json", threshold=7)),
    "no such rule": (
        "model/reading.json",
        lambda run: change(run / "model/reading.json", window_rule={"max_tokens": 16, "long_documents": "tail"}),
    ),
    "another encoder": ("model/config.json", lambda run: change(run / "model/config.json", hidden_size=33)),
    "an unknown encoder": ("model/config.json", lambda run: change(run / "model/config.json", model_type="none")),
    "other weights": ("model/model.safetensors", lambda run: change(run / "model/config.json", num_hidden_layers=1)),
    "settings that are a list": ("settings.json", lambda run: change(run / "settings.json", settings=[])),
    "no versions": ("settings.json", lambda run: change(run / "settings.json", versions=None)),
}


@pytest.mark.parametrize("case", WRONG_VALUES)
def test_a_wrong_value_is_refused_by_the_name_of_its_file(
    run: RunFolder, stages: dict[str, Callable[[], object]], case: str
) -> None:
    name, damage = WRONG_VALUES[case]
    damage(run.path)
    with pytest.raises(DataError) as refused:
        stages["export"]()
    assert str(run.path / name) in str(refused.value)


def test_documents_of_other_classes_than_the_schema_are_refused(
    run: RunFolder, stages: dict[str, Callable[[], object]]
) -> None:
    info = run.data / "test" / "dataset_info.json"
    info.write_text(info.read_text().replace('"food"', '"drinks"'))
    for name in ("train", "evaluate", "export"):
        with pytest.raises(
            DataError, match=r"data: expected the documents of a run.*differ from those in schema\.json"
        ):
            stages[name]()


def test_class_ids_beyond_the_classes_are_refused(run: RunFolder, stages: dict[str, Callable[[], object]]) -> None:
    import datasets

    splits = datasets.load_from_disk(str(run.data))
    features = splits["test"].features
    table = splits["test"].with_format(None)[:] | {"labels": [7] * len(splits["test"])}
    loose = datasets.Features({**features, "labels": datasets.Value("int64")})
    part = datasets.Dataset.from_dict(table, features=loose)
    part.info.features = features
    shutil.rmtree(run.data / "test")
    part.save_to_disk(run.data / "test")
    with pytest.raises(DataError, match="out of range for 3 classes, such as 7"):
        stages["evaluate"]()


def test_missing_documents_are_reported(run: RunFolder, stages: dict[str, Callable[[], object]]) -> None:
    shutil.rmtree(run.data)
    for name in ("train", "evaluate", "export", "split_from"):
        with pytest.raises(InputMissing, match="data"):
            stages[name]()


@pytest.mark.parametrize("damage", ["missing", "half", "a list"])
def test_a_damaged_evaluation_is_written_again(
    run: RunFolder, stages: dict[str, Callable[[], object]], damage: str
) -> None:
    expected = json.loads(run.evaluation.read_text())
    CONTENTS[damage](run.evaluation)
    assert stages["train"]() == (run, expected)
    CONTENTS[damage](run.evaluation)
    assert stages["evaluate"]() == expected == json.loads(run.evaluation.read_text())


def test_a_damaged_line_of_figures_is_named(tmp_path: Path) -> None:
    from accelerate import Accelerator

    from tagsmith.train.training_log import TrainingLog

    run = RunFolder(tmp_path)
    for damaged in ('{"step": \n', "\0\0\n", "[]\n", '{"step": null}\n'):
        run.metrics.write_text('{"step": 1}\n' + damaged + '{"step": 3}\n')
        with pytest.raises(DataError, match=r"metrics\.jsonl:2: expected a JSON object with a step"):
            TrainingLog(run, Accelerator(cpu=True), TrainSettings(log_every=1, tensorboard=False)).resume(3, [])
