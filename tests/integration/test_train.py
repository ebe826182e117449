import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tagsmith.config.settings import (
    BestMetric,
    CacheSettings,
    EvaluateRun,
    ModelSettings,
    Precision,
    Recipe,
    Split,
    TrainRun,
)
from tagsmith.config.sweep import judged
from tagsmith.core.errors import DataError, InputMissing, Interrupted, SettingsError, TryAgainLater
from tagsmith.core.run import RunFolder
from tagsmith.evaluate.evaluate_run import evaluate_run
from tagsmith.model.loaded_model import encoder_source
from tagsmith.tokens import cache as token_cache
from tagsmith.train import checkpoint, saving
from tagsmith.train.train_run import train
from tests.conftest import make_documents, write_jsonl

Make = Callable[..., TrainRun]


def same_weights(a: RunFolder, b: RunFolder) -> bool:
    first, second = load_file(a.weights), load_file(b.weights)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_a_run_holds_what_it_promises(settings: Make, single_label_file: Path) -> None:
    run, evaluation = train(settings(single_label_file))
    assert evaluation["split"] == "test"
    assert evaluation["documents"] == 30
    assert evaluation == json.loads(run.evaluation.read_text())
    assert set(evaluation["classes"]) == {"animals", "food", "tools"}
    lines = [json.loads(line) for line in run.predictions.read_text().splitlines()]
    assert len(lines) == 30
    hits = sum(line["labels"] == line["predicted"] for line in lines)
    assert hits / 30 == pytest.approx(evaluation["accuracy"])
    for line in lines:
        assert set(line) == {"id", "text", "labels", "predicted", "scores", "to_person", "out_of_scope"}
        assert sum(line["scores"].values()) == pytest.approx(1, abs=1e-4)
    assert not run.checkpoints.exists()
    recorded = json.loads(run.settings.read_text())
    assert recorded["settings"]["seed"] == 0
    assert recorded["versions"]["torch"]


@pytest.mark.slow
def test_fine_tuning_learns_what_a_random_encoder_does_not_know(settings: Make, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "many.jsonl", make_documents(600, multi_label=False))
    _, probed = train(settings(data, "probe", recipe=Recipe.probe))
    _, tuned = train(settings(data, "tuned", epochs=8, learning_rate=2e-3, freeze_embeddings=False))
    assert tuned["log_loss"] < probed["log_loss"]
    assert tuned["accuracy"] >= 0.9


@pytest.mark.slow
def test_multi_label_documents_may_have_no_class(settings: Make, multi_label_file: Path) -> None:
    run, evaluation = train(settings(multi_label_file, epochs=12))
    lines = [json.loads(line) for line in run.predictions.read_text().splitlines()]
    assert any(line["labels"] == [] for line in lines)
    assert set(evaluation["confusion_matrices"]) == {"animals", "food", "tools"}
    assert evaluation["micro"]["f1"] > 0.6


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_does_not(settings: Make, single_label_file: Path) -> None:
    first, _ = train(settings(single_label_file, "first"))
    second, _ = train(settings(single_label_file, "second"))
    third, _ = train(settings(single_label_file, "third", seed=1))
    assert same_weights(first, second)
    assert not same_weights(first, third)


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(("saves", "max_steps"), [(1, None), (3, None), (1, 8), (2, 8)])
def test_stopped_and_resumed_equals_uninterrupted(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch, saves: int, max_steps: int | None
) -> None:
    bounds = {"validate_every": 3, "checkpoint_every": 3, "max_steps": max_steps}
    whole, _ = train(settings(single_label_file, "whole", **bounds))
    save, done = checkpoint.save, []

    def save_and_die(*args: object, **kwargs: object) -> None:
        save(*args, **kwargs)  # type: ignore[arg-type]
        done.append(1)
        if len(done) == saves:
            raise Killed

    monkeypatch.setattr(saving.checkpoint, "save", save_and_die)
    with pytest.raises(Killed):
        train(settings(single_label_file, "stopped", **bounds))
    monkeypatch.undo()
    stopped = settings(single_label_file, "stopped", **bounds)
    stopped.resume = True
    resumed, _ = train(stopped)
    assert same_weights(whole, resumed)

    def losses(run: RunFolder) -> list[tuple[int, float]]:
        lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
        return [(line["step"], line["loss"]) for line in lines if "loss" in line]

    assert losses(whole) == losses(resumed)


@pytest.mark.slow
def test_a_finished_run_that_is_resumed_is_evaluated_again(settings: Make, single_label_file: Path) -> None:
    run, evaluation = train(settings(single_label_file))
    run.evaluation.unlink()
    again = settings(single_label_file)
    again.resume = True
    assert train(again)[1] == evaluation


@pytest.mark.slow
@pytest.mark.parametrize("finished", [True, False])
def test_a_run_is_not_resumed_with_changed_data(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    records = make_documents(60, multi_label=False)
    file = write_jsonl(tmp_path / "train.jsonl", records)
    tags = write_jsonl(tmp_path / "tags.jsonl", [{"text": "a new cat", "tag": "animals"}])
    given = settings(file, recipe=Recipe.probe, tagged=[str(tags)])
    if not finished:
        monkeypatch.setattr("tagsmith.train.train_run.fit_recipe", stop)
        with pytest.raises(Interrupted):
            train(given)
        monkeypatch.undo()
    else:
        train(given)
    given.resume = True
    write_jsonl(file, [*records[:29], records[30] | {"text": "another text"}])
    tags.unlink()
    with pytest.raises(DataError) as caught:
        train(given)
    texts = len({record["text"] for record in records})
    gone = len({record["text"] for record in records} - {record["text"] for record in records[:29]})
    assert str(caught.value).splitlines() == [
        f"run={given.run} resumes only with the data that it was made from, which has changed; restore it, name "
        "another run=, or replace the run with overwrite=true instead of resume=true:",
        f"  - {file}: the content differs: 60 rows in the run, 30 now",
        f"  - {tags}: in the run, not now",
        f"  - {gone + 1} of {texts + 1} texts in the run are not in the data, 1 of {texts - gone + 1} texts in the "
        "data is not in the run",
    ]
    write_jsonl(file, records)
    write_jsonl(tags, [{"text": "a new cat", "tag": "animals"}])
    assert train(given)[1]["documents"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "risen"), [(1e-3, False), (1.0, True)])
def test_training_that_makes_the_model_worse_logs_a_warning(
    settings: Make, single_label_file: Path, caplog: pytest.LogCaptureFixture, rate: float, risen: bool
) -> None:
    train(settings(single_label_file, learning_rate=rate))
    assert ("try a lower train.learning_rate" in caplog.text) == risen


def test_resuming_with_other_settings_is_refused_by_name(settings: Make, single_label_file: Path) -> None:
    train(settings(single_label_file, recipe=Recipe.probe))
    with pytest.raises(SettingsError, match=r"seed: 0 in the run, 7 now"):
        train(settings(single_label_file, recipe=Recipe.probe, seed=7, resume=True))


@pytest.mark.slow
def test_a_run_made_before_a_setting_existed_resumes_with_its_default(settings: Make, single_label_file: Path) -> None:
    run, evaluation = train(settings(single_label_file))
    record = json.loads(run.settings.read_text())
    del record["settings"]["train.soup"]
    run.settings.write_text(json.dumps(record))
    with pytest.raises(SettingsError, match=r"train\.soup: 1 in the run, 2 now$"):
        train(settings(single_label_file, soup=2, resume=True))
    assert train(settings(single_label_file, resume=True))[1] == evaluation
    run.settings.write_text(json.dumps(record | {"settings": {**record["settings"], "train.gone": 3}}))
    with pytest.raises(SettingsError, match=r"train\.gone: 3 in the run, None now$"):
        train(settings(single_label_file, resume=True))


@pytest.mark.slow
def test_a_folder_that_is_taken_is_refused(settings: Make, single_label_file: Path, tmp_path: Path) -> None:
    train(settings(single_label_file, recipe=Recipe.probe))
    with pytest.raises(SettingsError, match="overwrite=true"):
        train(settings(single_label_file, recipe=Recipe.probe))
    train(settings(single_label_file, recipe=Recipe.probe, overwrite=True))
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    with pytest.raises(SettingsError, match="exists but is not a run"):
        train(settings(single_label_file, "letters", overwrite=True))
    assert (tmp_path / "letters" / "dear.txt").read_text() == "dear"


def test_bad_data_does_not_replace_an_existing_run(settings: Make, single_label_file: Path, tmp_path: Path) -> None:
    run, evaluation = train(settings(single_label_file, recipe=Recipe.probe))
    broken = tmp_path / "broken.jsonl"
    broken.write_text("no json\n")
    with pytest.raises(DataError, match=r"broken\.jsonl:1"):
        train(settings(broken, overwrite=True))
    assert json.loads(run.evaluation.read_text()) == evaluation
    assert not list(tmp_path.glob(".*tmp"))


def test_a_wrong_encoder_leaves_no_run_behind(settings: Make, single_label_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"model\.path"):
        train(settings(single_label_file, path=str(tmp_path)))
    assert not (tmp_path / "run").exists()


def test_a_run_that_another_process_trains_is_locked(settings: Make, single_label_file: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    with FileLock(tmp_path / ".run.lock"), pytest.raises(TryAgainLater, match="another process"):
        train(settings(single_label_file))


@pytest.mark.slow
def test_training_ends_after_max_steps_and_its_rates_with_it(settings: Make, single_label_file: Path) -> None:
    run, _ = train(settings(single_label_file, epochs=50, max_steps=7, probe_documents=30))
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    rates = [line["learning_rate"] for line in lines if "loss" in line]
    assert len(rates) == 7
    assert rates[-1] < 0.1 * max(rates)
    assert sum("validation/macro_f1" in line for line in lines) >= 1
    assert lines[-1]["step"] == 7
    assert "validation/macro_f1" in lines[-1]
    whole, _ = train(settings(single_label_file, "whole", max_steps=1000))
    unbounded, _ = train(settings(single_label_file, "unbounded"))
    assert same_weights(whole, unbounded)


@pytest.mark.slow
def test_a_second_run_reads_cached_tokens(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = CacheSettings(str(tmp_path / "cache"))
    first, evaluation = train(settings(single_label_file, "first", cache=cache))
    monkeypatch.setattr(token_cache, "encode_chunks", None)
    second, again = train(settings(single_label_file, "second", cache=cache))
    assert same_weights(first, second)
    assert evaluation == again
    assert evaluate_run(EvaluateRun(run=str(second.path), cpu=True, cache=cache), second) == again


def test_early_stopping_needs_a_validation_split(settings: Make, single_label_file: Path) -> None:
    with pytest.raises(SettingsError, match="validation_share"):
        train(settings(single_label_file, validation_share=0.0, early_stopping_patience=1))


@pytest.mark.slow
def test_early_stopping_keeps_the_best_weights(settings: Make, single_label_file: Path) -> None:
    # At such a rate the first validations are the best ones, and training ends long before its 50 epochs.
    run, _ = train(settings(single_label_file, epochs=50, learning_rate=0.05, early_stopping_patience=2))
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    validated = [line["validation/macro_f1"] for line in lines if "validation/macro_f1" in line]
    assert len(validated) < 50
    assert validated.index(max(validated)) == len(validated) - 3
    evaluation = evaluate_run(EvaluateRun(run=str(run.path), split=Split.validation, cpu=True), run)
    assert evaluation["macro"]["f1"] == pytest.approx(max(validated))


@pytest.mark.slow
def test_gradient_accumulation_does_not_change_the_result(settings: Make, single_label_file: Path) -> None:
    about = {"hidden_dropout": 0.0, "mixed_precision": Precision.fp32}
    whole, _ = train(settings(single_label_file, "whole", **about))
    parts, _ = train(settings(single_label_file, "parts", micro_batch_tokens=64, **about))
    first, second = load_file(whole.weights), load_file(parts.weights)
    assert max((first[name] - second[name]).abs().max().item() for name in first) < 1e-4


@pytest.mark.slow
def test_embeddings_are_frozen_by_default(settings: Make, single_label_file: Path, encoder: Path) -> None:
    name = "embeddings.word_embeddings.weight"
    before = load_file(encoder / "model.safetensors")[name]
    frozen, _ = train(settings(single_label_file, "frozen"))
    free, _ = train(settings(single_label_file, "free", freeze_embeddings=False))
    assert torch.equal(load_file(frozen.weights)[f"encoder.{name}"], before)
    assert not torch.equal(load_file(free.weights)[f"encoder.{name}"], before)


def test_long_documents_are_never_cut_silently(
    settings: Make, single_label_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    logging.getLogger("tagsmith").propagate = True
    train(settings(single_label_file, recipe=Recipe.probe, max_tokens=8, window_overlap=2))
    message = next(record.getMessage() for record in caplog.records if "longer than 8 tokens" in record.getMessage())
    assert "animals" in message
    assert "food" in message
    assert "unread" in message


def test_max_tokens_beyond_the_encoder_is_refused(settings: Make, single_label_file: Path) -> None:
    with pytest.raises(SettingsError, match="at most 64"):
        train(settings(single_label_file, max_tokens=65))


def test_skipped_rows_are_written_to_the_run(settings: Make, single_label_file: Path, tmp_path: Path) -> None:
    from tagsmith.config.settings import OnBadRow

    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(single_label_file.read_text() + '{"text": "", "label": "food"}\nno json\n')
    run, _ = train(settings(mixed, recipe=Recipe.probe, on_bad_row=OnBadRow.skip))
    rejected = [json.loads(line) for line in run.rejected.read_text().splitlines()]
    assert sorted(line["row"] for line in rejected) == [151, 152]


def test_where_bad_rows_stop_a_training_all_of_them_are_listed_beside_the_run(
    settings: Make, single_label_file: Path, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(single_label_file.read_text() + '{"text": "", "label": "food"}\n' * 9 + "no json\n")
    given = settings(mixed, recipe=Recipe.probe)
    beside = Path(f"{given.run}.rejected.jsonl")
    with pytest.raises(DataError) as caught:
        train(given)
    assert str(caught.value).splitlines()[1:] == [
        f"  - 9 rows: the text is empty ({mixed}:151, 152, 153 and 6 more)",
        f"  - {mixed}:160: not a JSON object: Expecting value: line 1 column 1 (char 0)",
        f"All of these rows, with their content: {beside}",
    ]
    assert [json.loads(line)["row"] for line in beside.read_text().splitlines()] == list(range(151, 161))
    assert not Path(str(given.run)).exists()
    given.data.max_bad_share = 0.1
    train(given)
    assert not beside.exists()


@pytest.mark.slow
def test_the_test_documents_of_an_earlier_run_are_used_again(
    settings: Make, single_label_file: Path, tmp_path: Path
) -> None:
    run, _ = train(settings(single_label_file, recipe=Recipe.probe))
    again, _ = train(settings(single_label_file, "again", recipe=Recipe.probe, seed=5, split_from=str(run.path)))
    fresh, _ = train(settings(single_label_file, "fresh", recipe=Recipe.probe, seed=5))

    def tested(run: RunFolder) -> set[str]:
        return {json.loads(line)["id"] for line in run.predictions.read_text().splitlines()}

    assert tested(run) == tested(again)
    assert tested(run) != tested(fresh)


def test_evaluating_a_missing_split(settings: Make, single_label_file: Path, tmp_path: Path) -> None:
    run, _ = train(settings(single_label_file, recipe=Recipe.probe, validation_share=0.0))
    with pytest.raises(InputMissing, match="train, test"):
        evaluate_run(EvaluateRun(run=str(run.path), split=Split.validation, cpu=True), run)
    with pytest.raises(InputMissing, match="no run here"):
        evaluate_run(EvaluateRun(run="nowhere", cpu=True), RunFolder(tmp_path / "nowhere"))


def test_a_folder_whose_weights_are_another_models_is_refused(
    settings: Make, single_label_file: Path, tmp_path: Path
) -> None:
    run, _ = train(settings(single_label_file, recipe=Recipe.probe))
    (run.model / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with pytest.raises(DataError, match="weights of the encoder are missing"):
        train(settings(single_label_file, "other", path=str(run.model)))
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_given_test_documents_are_kept_with_those_of_an_earlier_run(settings: Make, single_label_file: Path) -> None:
    run, _ = train(settings(single_label_file, recipe=Recipe.probe))
    lines = single_label_file.read_text().splitlines()
    earlier = {json.loads(line)["id"] for line in run.predictions.read_text().splitlines()}
    given = next(json.loads(line) for line in lines if json.loads(line)["id"] not in earlier)
    test = write_jsonl(run.path.parent / "test.jsonl", [given])
    rest = [json.loads(line) for line in lines if json.loads(line)["id"] != given["id"]]
    train_file = write_jsonl(run.path.parent / "train.jsonl", rest)
    again, _ = train(
        settings(
            train_file, "again", recipe=Recipe.probe, test=str(test), split_from=str(run.path), validation_share=0.0
        )
    )
    tested = {json.loads(line)["id"] for line in again.predictions.read_text().splitlines()}
    assert tested == earlier | {given["id"]}


def test_a_class_name_is_no_markup(settings: Make, tmp_path: Path) -> None:
    from rich.console import Console

    from tagsmith.evaluate.report import per_class_table

    records = [record | {"label": f"[/{record['label']}]"} for record in make_documents(60, multi_label=False)]
    _, evaluation = train(settings(write_jsonl(tmp_path / "odd.jsonl", records), recipe=Recipe.probe))
    console = Console(record=True, width=120, file=(tmp_path / "out").open("w"))
    console.print(per_class_table(evaluation))
    assert "[/animals]" in console.export_text()


@pytest.mark.slow
def test_each_training_of_a_process_has_its_own_precision(settings: Make, single_label_file: Path) -> None:
    short = {"epochs": 1, "validation_share": 0.0}
    first, _ = train(settings(single_label_file, "first", mixed_precision=Precision.fp32, **short))
    other, _ = train(settings(single_label_file, "other", mixed_precision=Precision.bf16, **short))
    again, _ = train(settings(single_label_file, "again", mixed_precision=Precision.fp32, **short))
    assert same_weights(first, again)
    assert not same_weights(first, other)


@pytest.mark.slow
def test_what_was_trained_in_bf16_is_evaluated_in_fp32_by_the_same_process(
    settings: Make, single_label_file: Path
) -> None:
    run, evaluation = train(settings(single_label_file, epochs=1, mixed_precision=Precision.bf16))
    again = evaluate_run(EvaluateRun(run=str(run.path), cpu=True), run)
    # To the last digit: its attention, and what accelerate had put around it, compute as those of a loaded model do.
    assert again["log_loss"] == evaluation["log_loss"]


@pytest.mark.slow
def test_the_probe_is_fitted_in_fp32_whatever_training_computes_in(settings: Make, single_label_file: Path) -> None:
    about = {"recipe": Recipe.probe, "validation_share": 0.0}
    exact, _ = train(settings(single_label_file, "exact", mixed_precision=Precision.fp32, **about))
    found, _ = train(settings(single_label_file, "found", mixed_precision=Precision.bf16, **about))
    assert same_weights(exact, found)


def test_a_damaged_file_of_a_packaged_encoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_package").mkdir()
    (tmp_path / "some_package" / "__init__.py").touch()
    (tmp_path / "some_package" / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    wanted = ModelSettings(package="some_package", sha256={"config.json": "0" * 64, "tokenizer.json": "1" * 64})
    with pytest.raises(DataError, match=r"(?s)config\.json: expected SHA-256 0.*tokenizer\.json: .*no such file"):
        encoder_source(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", list(Recipe)[:2])
def test_a_sweep_judges_by_the_validation_split(settings: Make, single_label_file: Path, recipe: Recipe) -> None:
    run, evaluation = train(settings(single_label_file, objective=BestMetric.macro_f1, recipe=recipe))
    figures = json.loads(run.validation.read_text())
    assert (figures["split"], evaluation["split"]) == ("validation", "test")
    assert judged(run, "macro_f1") == figures["macro"]["f1"]
    if recipe is Recipe.finetune:
        lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
        best = max(line["validation/macro_f1"] for line in lines if "validation/macro_f1" in line)
        assert judged(run, "macro_f1") == pytest.approx(best)


def test_test_documents_choose_no_settings(settings: Make, single_label_file: Path) -> None:
    with pytest.raises(SettingsError, match=r"data\.validation_share=0\.1"):
        train(settings(single_label_file, objective=BestMetric.macro_f1, validation_share=0.0))
