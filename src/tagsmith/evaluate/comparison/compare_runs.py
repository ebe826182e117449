"""From runs to `comparison.json` and `comparison.html`."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tagsmith.config.settings import CompareRuns
from tagsmith.core.errors import SettingsError
from tagsmith.core.files import whole_file, write_json
from tagsmith.core.run import RunFolder
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.evaluate.comparison.page import comparison_page
from tagsmith.evaluate.comparison.paired import Decided, compare_answers, losses
from tagsmith.evaluate.comparison.pairs import Pair, Side, pair_of, read_runs
from tagsmith.evaluate.comparison.result import Json, names, result
from tagsmith.evaluate.comparison.verdict import verdict

FAILED = 3
"""Exit status where the condition of `fail_if` holds."""


@dataclass(frozen=True)
class Comparison:
    """The result of one comparison, and the folder that it was written to."""

    found: Json
    folder: Path

    @property
    def json(self) -> Path:
        return self.folder / "comparison.json"

    @property
    def page(self) -> Path:
        return self.folder / "comparison.html"


def compare_runs(settings: CompareRuns) -> list[Comparison]:
    """Compare each run with the first; then write comparison.json and comparison.html for each.

    Raises:
        InputMissing, SettingsError, DataError: see `pairs.read_runs` and `pairs.pair_of`; also if two comparisons
            would be written to one folder.
    """
    runs = [RunFolder(Path(name)) for name in settings.runs]
    folders = _folders(settings, runs)
    changes = SchemaChanges.read(Path(settings.schema_changes)) if settings.schema_changes is not None else None
    files = read_runs(runs)
    compared = []
    for i, folder in enumerate(folders, 1):
        pair = pair_of((runs[0], runs[i]), (files[0], files[i]), changes, settings.retagged)
        compared.append(Comparison(comparison_of(pair, settings), folder))
    pages = [comparison_page(one.found) for one in compared]
    for one, text in zip(compared, pages, strict=True):
        one.folder.mkdir(parents=True, exist_ok=True)
        write_json(one.json, one.found)
        with whole_file(one.page) as file:
            file.write(text)
    return compared


def comparison_of(pair: Pair, settings: CompareRuns) -> Json:
    """The comparison of a pair of runs, ready for JSON."""
    first, second = (_decided(side, pair) for side in (pair.first, pair.second))
    found = compare_answers(pair.truth, first, second, settings.resamples, settings.seed)
    judgement = verdict(pair, found, names(pair), settings)
    return result(settings, pair, found, judgement)


def _decided(side: Side, pair: Pair) -> Decided:
    return Decided(side.predicted, losses(side.scores, pair.truth, pair.multi_label), side.handled)


def _folders(settings: CompareRuns, runs: list[RunFolder]) -> list[Path]:
    """The folder of each comparison, in the order of the runs after the first."""
    first, *others = runs
    if settings.out is None:
        folders = [run.path / "compared" / first.path.resolve().name for run in others]
    elif len(others) == 1:
        folders = [Path(settings.out)]
    else:
        folders = [Path(settings.out, run.path.resolve().name) for run in others]
    if twice := [str(folder) for folder, count in Counter(folders).items() if count > 1]:
        raise SettingsError(
            f"out: expected a folder for each run, found two runs for {', '.join(twice)}; compare them separately."
        )
    if taken := [str(place) for folder in folders for place in (folder, *folder.parents) if place.is_file()]:
        raise SettingsError(f"out: expected a folder, found a file: {', '.join(taken)}.")
    return folders
