"""Azure's answers beside those of a run on the same documents: `report/comparison.json` and `comparison.html`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, PackageLoader
from rich.table import Table

from tagsmith.azure.confidence import Decisions, thresholds
from tagsmith.azure.exit_folder import ExitFolder
from tagsmith.azure.other_services import COMPREHEND, comprehend_answers
from tagsmith.azure.recorded import Recorded, beside, read_answers, recorded
from tagsmith.azure.take import ALSO
from tagsmith.config.settings import BestMetric, CompareRuns, LeaveAzure
from tagsmith.core.errors import counted
from tagsmith.core.files import whole_file, write_json
from tagsmith.core.run import RunFolder
from tagsmith.decision.thresholds import rounded_up
from tagsmith.evaluate.comparison.compare_runs import comparison_of
from tagsmith.evaluate.comparison.margin import in_words
from tagsmith.evaluate.comparison.page import page_values
from tagsmith.evaluate.comparison.paired import documents_needed
from tagsmith.evaluate.comparison.pairs import Pair, pair_of
from tagsmith.evaluate.comparison.table import comparison_table
from tagsmith.evaluate.comparison.verdict import Outcome
from tagsmith.evaluate.report.inputs import read_run
from tagsmith.evaluate.report.templates import environment
from tagsmith.evaluate.report.wording import percent, points

Json = dict[str, Any]

MOST_SHOWN = 200
"""Documents of the further file on the page, whose classes differ."""


@dataclass(frozen=True)
class Report:
    """The result of a report, and where it was written."""

    found: Json
    page: Path
    json: Path

    @property
    def table(self) -> Table:
        return comparison_table(self.found)

    @property
    def sentences(self) -> list[str]:
        found: list[str] = self.found["azure"]["sentences"]
        return found


def report(settings: LeaveAzure) -> Report:
    """Compare the recorded answers of Azure with those of a run, and write the report.

    Raises:
        InputMissing: nothing was taken, or the run was not evaluated.
        SettingsError: see `recorded`; also if the run and the answers share no document of the same text.
        DataError: a file is damaged.
    """
    assert settings.run is not None
    folder, run = ExitFolder(Path(settings.out)), RunFolder(Path(settings.run))
    files = read_run(run)
    if settings.answers is not None and settings.asked is not None:
        theirs = comprehend_answers(Path(settings.answers), Path(settings.asked))
        remedy = "its test documents have to be those of asked="
        azure = beside(files, theirs, COMPREHEND, "not recorded", remedy)
    else:
        azure = recorded(folder, files)
    pair = pair_of((RunFolder(folder.path), run), (azure.files, files))
    compared = CompareRuns(runs=[str(folder.path), str(run.path)], margin=settings.margin, smallest=settings.margin)
    found = comparison_of(pair, compared)
    # Azure tells the confidence of what it answers alone, so the loss of a wrong answer is not known.
    del found["figures"]["log_loss"]
    found["settings"] = {}
    tagged = {row["text"] for row in files.predictions}
    further = {name: one for name, one in read_answers(folder, ALSO).items() if one.text not in tagged}
    found["azure"] = _about(azure, pair)
    if further:
        from tagsmith.azure.further import agreement  # Imported here, as it brings torch.

        found["azure"]["further"] = agreement(run, files.schema, further)
    outcome, sentence = answer(found, settings.margin)
    found["azure"] |= {"outcome": outcome, "sentence": sentence}
    found["azure"]["sentences"] = [sentence, *_remarks(found)]
    folder.report.mkdir(parents=True, exist_ok=True)
    place = folder.report / "comparison.json"
    write_json(place, found)
    with whole_file(place.with_suffix(".html")) as file:
        file.write(report_page(found))
    return Report(found, place.with_suffix(".html"), place)


def answer(found: Json, margin: float) -> tuple[str, str]:
    """Whether the run is as good as Azure, in one word and one sentence.

    The first of these that holds: `better`, `not_worse` (by the margin or more), `worse`, `undecided`.
    """
    figure, verdict = found["figures"]["macro_f1"], found["verdict"]
    azure, run = (one["name"] for one in found["runs"].values())
    difference: float = figure["difference"]
    low, high = figure["interval"]
    by, documents = BestMetric.macro_f1, counted(found["documents"], "document")
    amount, bounds = in_words(margin, by), f"95% interval {points(low)} to {points(high)} points"
    if verdict["outcome"] == Outcome.better.value:
        return "better", f"{run} is better than {azure} by {in_words(difference, by)} of macro F1 ({bounds})."
    if verdict["not_worse"]:
        return "not_worse", f"{run} is not worse than {azure} by more than {amount} of macro F1 ({bounds})."
    if verdict["outcome"] == Outcome.worse.value:
        return "worse", f"{run} is worse than {azure} by {in_words(-difference, by)} of macro F1 ({bounds})."
    error = figure["standard_error"]
    needed = documents_needed(error, found["documents"], margin) if error else 0
    more = f"; about {rounded_up(needed):,} would show a difference of {amount}" if needed > found["documents"] else ""
    what = f"it has {in_words(abs(difference), by)} {'more' if difference > 0 else 'less'} of macro F1 ({bounds})"
    if not error and not difference:
        what = f"both answer the same for all, and so few may hide a difference of {amount}"
    return (
        "undecided",
        f"Whether {run} is as good as {azure} cannot be decided with {documents}: {what}{more}.",
    )


def _about(azure: Recorded, pair: Pair) -> Json:
    rows = None
    if azure.confident:
        theirs, ours = (
            Decisions.of(side.scores, side.predicted, pair.truth, pair.multi_label)
            for side in (pair.first, pair.second)
        )
        rows = thresholds(theirs, ours)
    return {
        "answers": "deployment" if azure.confident else "evaluation",
        "without_answer": azure.without,
        "not_evaluated": azure.not_evaluated,
        "thresholds": rows,
        "further": None,
    }


def _remarks(found: Json) -> list[str]:
    about, out = found["azure"], found["left_out"]
    sentences = []
    if about["answers"] == "evaluation":
        sentences.append(
            "Azure's side is its evaluation of the model, as no answers of a deployment were recorded: it has no "
            "confidences, so no thresholds can be compared."
        )
    if without := ", ".join(f"{count:,} {why}" for why, count in about["without_answer"].items()):
        sentences.append(f"Not compared, for want of an answer: {without}.")
    if about["not_evaluated"]:
        sentences.append(
            f"Not compared: {counted(about['not_evaluated'], 'answer')} to documents not in the run's test."
        )
    if out["second_alone"]:
        sentences.append(f"Not compared: {counted(out['second_alone'], 'document')} of the run alone.")
    if further := about["further"]:
        share = percent(further["share"]) if further["share"] is not None else "none"
        sentences.append(f"Of {counted(further['documents'], 'further document')}, {share} get the same classes.")
    return sentences


def report_page(found: Json) -> str:
    """The page as HTML: that of a comparison, with what is particular to leaving Azure; deterministic."""
    pages = environment()
    assert pages.loader is not None
    pages.loader = ChoiceLoader([PackageLoader("tagsmith.azure", "static"), pages.loader])
    sections = [("thresholds", "Thresholds")] if found["azure"]["thresholds"] else []
    sections += [("further", "Further file")] if found["azure"]["further"] else []
    values = page_values(found) | {"more_sections": sections, "of_runs": False, "most_shown": MOST_SHOWN}
    return pages.get_template("azure.html.j2").render(values | {"left_out": _remarks(found)})
