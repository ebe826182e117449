"""The only way from the command line to a stage: words become typed settings, an error an exit status."""

import errno
import functools
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, cast

from tagsmith.config.help import command, example, explain
from tagsmith.config.settings.fields import require_inputs
from tagsmith.config.stages import STAGES
from tagsmith.config.words import as_typed, groups_of, word_problems
from tagsmith.core.errors import (
    NO_ROOM,
    Interrupted,
    SettingsError,
    TagsmithError,
    TryAgainLater,
    listing,
)
from tagsmith.core.files import shipped_folder
from tagsmith.core.signals import ignore_sigterm, raise_on_sigterm
from tagsmith.core.terminal import ignore_closed_stdout, log_to_stderr

EXTRAS = {"serve": "serve", "classify": "cli", "improve": "improve", "tag": "improve,serve"}
"""The extra that a script needs, where it is not `train`."""

NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""Errors of the file system about a path that the user has chosen."""


def script(name: str) -> Callable[[Callable[[Any], Any]], Callable[[], None]]:
    """Make a stage, a function of its typed settings, the main of a script with `configs/NAME.yaml`.

    Exit status: 0 success; 64 wrong settings; 65 wrong data; 66 missing input; 70 a bug, with its traceback;
    75 try again later. With --multirun, the other jobs still run after one fails with 64 to 66, and the status is that
    of the first failed job; a bug or an interruption ends all jobs. A sweeper that searches judges a job by what the
    stage returns; None means that the job has failed.
    """

    def decorate(stage: Callable[[Any], Any]) -> Callable[[], None]:
        scripts = Path(inspect.getfile(stage)).resolve().parent
        # Python puts a script's folder first on its path, where scripts/evaluate.py would hide the package `evaluate`.
        sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != scripts]
        # Those beside the script come first: a second checkout reads its own, whichever one is installed.
        beside = scripts.parent / "configs"
        configs = beside if beside.is_dir() else shipped_folder("configs")

        @functools.wraps(stage)
        def main() -> None:
            raise_on_sigterm()
            ignore_closed_stdout()
            try:
                statuses = _run_all(name, stage, configs)
            except SettingsError as error:
                sys.exit(_report(error))
            except KeyboardInterrupt:
                _exit_interrupted("before the job started; run the same command again.")
            sys.exit(next(filter(None, statuses), 0))

        return main

    return decorate


def _run_all(name: str, stage: Callable[[Any], Any], configs: Path) -> list[int]:
    """Run the job, or the jobs of a sweep, that the command line asks for; return their exit statuses.

    Raises:
        SettingsError: the command line or a YAML cannot be used.
    """
    # `push` is short for `action=push`.
    if "action" in {field.name for field in fields(STAGES[name])}:
        sys.argv[1:2] = [re.sub(r"^([a-z]+)$", r"action=\1", word) for word in sys.argv[1:2]]
    words = sys.argv[1:]
    if {"--help", "-h"} & set(words):
        print(explain(name, configs))
        return []
    groups = groups_of(name, configs)
    if wrong := word_problems(words, STAGES[name], groups):
        raise SettingsError(listing("These settings cannot be used:", wrong))
    sys.argv[1:] = as_typed(words, STAGES[name], groups)
    try:
        from tagsmith.config import composition
    except ModuleNotFoundError as error:  # The base package, which is enough for a Classifier, lacks Hydra.
        raise SettingsError(f"scripts need the package {error.name}: pip install 'tagsmith[train]'.") from error
    statuses: list[int] = []
    runs = set[Any]()

    def task(config: Any) -> Any:
        def job() -> Any:
            settings: Any = composition.to_settings(config, STAGES[name], example(name, configs))
            run = settings.run if name == "train" else None
            if run is not None and run in runs:
                raise SettingsError(f"run={run}: an earlier job uses this folder; omit run=.")
            runs.add(run)
            # Before the stage, whose imports take seconds; unless it keeps a history, which has to say so.
            if not getattr(settings, "keeps_history", False):
                require_inputs(settings)
            return stage(settings)

        status, result = _run(name, job, composition.job_of_sweep(), configs)
        statuses.append(status)
        return result

    try:
        composition.compose_and_run(name, configs, task)
    except SystemExit as left:
        # Hydra exits with 1 or 2 whatever is wrong with the settings; so does a sweeper without any result.
        failed = next(filter(None, statuses), SettingsError.exit_status)
        sys.exit(failed if left.code in (1, 2) else left.code)
    return statuses


def _run(name: str, stage: Callable[[], Any], job: str, configs: Path) -> tuple[int, Any]:
    """Call the stage; return its exit status and result.

    An error that a user can fix becomes one message, a bug keeps its traceback.

    Args:
        job: number and words of a job of a sweep; "" for a single job.
    """
    log_to_stderr()
    if job:
        print(job, file=sys.stderr)
    try:
        result = stage()
        if sys.stdout is not None:
            sys.stdout.flush()  # Before the next job of a sweep writes to stderr.
        return 0, result
    except Interrupted as interrupted:
        # The message names the folder of one job, which is not enough to resume a sweep.
        _exit_interrupted("run the same command with resume=true to resume." if job else str(interrupted))
    except TagsmithError as error:
        return _report(error), None
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "tagsmith":
            _exit_bug()
        install = f"pip install 'tagsmith[{EXTRAS.get(name, 'train')}]'"
        return _report(SettingsError(f"{command(name, configs)} needs the package {error.name}: {install}.")), None
    except SystemExit as left:
        # The main process of this launch has reported the error; a bug or an interruption ends its other jobs too.
        if left.code in (TagsmithError.exit_status, Interrupted.exit_status):
            raise
        return cast(int, left.code), None
    except KeyboardInterrupt:
        _exit_interrupted("no partial output is left.")
    except OSError as error:
        if error.errno not in NO_ROOM | NOT_ALLOWED:
            _exit_bug()
        kind = TryAgainLater if error.errno in NO_ROOM else SettingsError
        return _report(kind(f"{error.filename or error.filename2 or 'a file'}: {error.strerror}.")), None
    except Exception:
        _exit_bug()


def _report(error: TagsmithError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return error.exit_status


def _exit_bug() -> NoReturn:
    traceback.print_exc()
    sys.exit(TagsmithError.exit_status)


def _exit_interrupted(message: str) -> NoReturn:
    ignore_sigterm()
    print(f"interrupted: {message}", file=sys.stderr)
    sys.exit(Interrupted.exit_status)
