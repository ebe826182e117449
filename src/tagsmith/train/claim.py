"""The folder of a run: locked, and for a new run filled with all that is known before training."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from filelock import FileLock, Timeout

from tagsmith import data
from tagsmith.config.settings import TrainRun, as_dict, defaults
from tagsmith.config.settings.fields import names
from tagsmith.core.errors import SettingsError, TryAgainLater
from tagsmith.core.files import remove_leftovers, replace_folder, write_json, write_lines
from tagsmith.core.run import RunFolder, record, refuse_or_allow, require_same
from tagsmith.data.bad_rows import listed_in
from tagsmith.data.tagged import refuse_to_overwrite_tags
from tagsmith.model.languages import with_language_note
from tagsmith.model.loaded_model import LoadedModel, save_architecture
from tagsmith.train.calibration.calibrate_run import check_costs
from tagsmith.train.earlier import made_from, refuse_known_documents
from tagsmith.train.pool import save_pool, with_pool
from tagsmith.train.teacher import identities

log = logging.getLogger("tagsmith")


def claim(
    settings: TrainRun, run: RunFolder, lock: FileLock, load: Callable[[], data.TaggedData] | None
) -> data.TaggedData | None:
    """Lock the run folder and load the documents for a new run; None: the folder holds a run to resume."""
    refuse_or_allow(run, settings.resume, settings.overwrite)  # Before a lock file is left next to it.
    try:
        run.path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise TryAgainLater(f"run={run.path}: another process is using it; lock held by {lock.lock_file}.") from None
    except OSError as error:
        raise SettingsError(f"run={run.path}: cannot be written: {error.strerror}.") from error
    resumes = refuse_or_allow(run, settings.resume, settings.overwrite)
    if not resumes:
        for place in (run.split_classes, run.improve):
            refuse_to_overwrite_tags(place, "Move them out of the run before replacing it, or name another folder.")
    remove_leftovers(run.path)
    if resumes:
        require_same(run, settings_of_run(settings), defaults(settings))
        if load is None:
            _require_same_data(settings, run)
        return None
    with listed_in(run.rejected_beside):
        tagged = load() if load else data.load(settings.data, settings.task, settings.seed)
    check_costs(settings.calibrate, tagged.schema)
    tagged = with_language_note(with_pool(tagged, settings.data), settings)
    teachers = names(settings.train.teacher or [])
    identities(teachers, tagged.schema)
    for setting, places in {"start_from": names(settings.train.start_from or []), "teacher": teachers}.items():
        for earlier in places:
            refuse_known_documents(tagged.splits, f"train.{setting}", RunFolder(Path(earlier)))
    judging = {"train.early_stopping_patience": settings.train.early_stopping_patience, "objective": settings.objective}
    for name, value in judging.items():
        if value is not None and "validation" not in tagged.splits:
            raise SettingsError(
                f"{name}: needs a validation split, because test documents must not choose settings; "
                "set data.validation_share=0.1, or name a validation file."
            )
    return tagged


def _require_same_data(settings: TrainRun, run: RunFolder) -> None:
    """Raises: DataError where the run was made from other content of the same files."""
    made_from = run.read_record().get("made_from")
    if not isinstance(made_from, dict) or not isinstance(made_from.get("sources"), dict):
        log.warning(f"run={run.path}: made by an older version; whether its data has changed since is not known.")
    else:
        # A finished run has nothing left to resume with the changes of its record.
        changes = made_from["schema_changes"] if run.weights.is_file() else None
        data.require_unchanged(settings.data, made_from["sources"], changes, run)


def settings_of_run(settings: TrainRun) -> dict[str, Any]:
    """The settings that decide the result of the run, by dotted name: not those of the place and the machine."""
    about_the_machine = {
        "run", "name", "resume", "overwrite", "objective", "train.cpu", "train.compile", "train.shard",
        "train.micro_batch_tokens", "train.max_bad_steps", "train.log_every", "train.checkpoint_every",
        "train.checkpoint_minutes", "train.tensorboard", "train.mlflow",
        "train.frozen_states_gib", "model.languages", "evaluate.batch_tokens", "cache.folder", "cache.max_gib",
    }  # fmt: skip
    kept = {name: value for name, value in as_dict(settings).items() if name not in about_the_machine}
    # Calibration does not change the weights; `decision.json` records its settings.
    return {name: value for name, value in kept.items() if not name.startswith("calibrate.")}


def create(
    settings: TrainRun, run: RunFolder, tagged: data.TaggedData | None, model: LoadedModel, precision: str
) -> None:
    """Write everything of the run that is known before training, completely or not at all."""
    assert tagged is not None  # The main process has loaded the documents of a new run.
    processes = PartialState().num_processes
    sources = made_from(tagged.changes, settings.train.start_from) | {"sources": tagged.sources}
    sources["teachers"] = identities(names(settings.train.teacher or []), tagged.schema)

    def write(folder: Path) -> None:
        inside = RunFolder(folder)
        tagged.splits.save_to_disk(inside.data)
        tagged.schema.save(inside.schema)
        if tagged.pool:
            save_pool(tagged.pool, inside)
        if tagged.out_of_scope:
            write_lines(inside.out_of_scope, ({"text": text} for text in tagged.out_of_scope))
        if tagged.unresolved:
            write_lines(inside.split_classes, tagged.unresolved)
        if tagged.rejected:
            write_lines(inside.rejected, (problem.as_dict() for problem in tagged.rejected))
        if tagged.contradictions:
            write_lines(inside.contradictions, tagged.contradictions)
        save_architecture(inside.model, model)
        about = record(settings_of_run(settings), sources, processes, precision)
        write_json(inside.settings, about | {"text_fields": tagged.text_fields})

    replace_folder(run.path, write)
