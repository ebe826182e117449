"""From queues to the files that an annotation tool imports, and from its export to tags for `data.tagged`."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tagsmith.config.settings import AnnotateRun, AnswerSettings, Tool, Unreviewed
from tagsmith.core.errors import DataError, InputMissing, SettingsError, listing
from tagsmith.core.files import read_json, replace_folder, whole_file, write_json, write_lines
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.data.exports.answers import Answer, Kind, settle
from tagsmith.improve.annotation import argilla, doccano, label_studio, sheet
from tagsmith.improve.annotation.questions import Question, read_questions, same_document, tag_lines
from tagsmith.rows.json_rows import json_lines
from tagsmith.rows.table import BadRow


def give(settings: AnnotateRun) -> tuple[Path, int]:
    """Write the files that a tool imports; returns their folder and the number of documents.

    Raises:
        InputMissing, DataError: the run or its queues do not exist or are damaged.
        SettingsError: the folder exists.
    """
    run, schema = open_run(settings)
    questions = read_questions(queues(settings, run))
    folder = Path(settings.out) if settings.out is not None else run.improve / f"for_{settings.tool.value}"
    _refuse(folder, settings.overwrite)
    replace_folder(folder, lambda place: _write(place, settings.tool, questions, schema, model_name(run)))
    return folder, len(questions)


def next_commands(settings: AnnotateRun, folder: Path) -> list[str]:
    """What to type when the documents in `folder` are tagged: their import, and a training with the tags."""
    run, tool = RunFolder(Path(settings.run)), settings.tool.value
    export = str(folder / "documents.csv") if settings.tool is Tool.csv else "EXPORT"
    return [
        shlex.join(["python", "scripts/annotate.py", "take", f"run={run.path}", f"tool={tool}", f"export={export}"]),
        training_command(training_with(run, run.improve / f"from_{tool}.jsonl", Path(f"{run.path}_tagged"))),
    ]


def training_command(words: Sequence[str]) -> str:
    """The command of a training with these settings, as it is typed."""
    return shlex.join(["python", "scripts/train.py", *words])


def training_with(run: RunFolder, tags: Path, new: Path) -> list[str]:
    """The settings of a training with a file of tags, and those of the run, without those about the run."""
    record = run.read_record()
    others = ("run=", "resume=", "overwrite=", "data.tagged=", "data.split_from=")
    words = [word for word in record.get("command", [])[1:] if "=" in word and not word.startswith(("-", *others))]
    tagged = [*(record["settings"].get("data.tagged") or []), str(tags)]
    return [*words, f"data.tagged=[{','.join(tagged)}]", f"data.split_from={run.path}", f"run={new}"]


def _write(folder: Path, tool: Tool, questions: Sequence[Question], schema: Schema, model: str) -> None:
    if tool is Tool.label_studio:
        write_json(folder / "tasks.json", label_studio.tasks(questions, model))
        with whole_file(folder / "config.xml") as file:
            file.write(label_studio.config(schema.classes, schema.multi_label))
    elif tool is Tool.argilla:
        write_json(folder / "records.json", argilla.records(questions, model, schema.classes, schema.multi_label))
        (folder / ".argilla").mkdir()
        write_json(folder / ".argilla" / "settings.json", argilla.settings(schema.classes, schema.multi_label))
        write_json(folder / ".argilla" / "dataset.json", argilla.dataset(model))
    elif tool is Tool.doccano:
        write_lines(folder / "documents.jsonl", doccano.lines(questions))
        write_json(folder / "labels.json", doccano.labels(schema.classes, schema.multi_label))
    else:
        sheet.write(folder / "documents.csv", questions, schema.classes)


def take(settings: AnnotateRun) -> tuple[Path, dict[str, int]]:
    """Write the tags of an export; returns their file and the number of documents per result, see `write_tags`.

    Raises:
        InputMissing: the run or the export does not exist.
        DataError: answers are unreadable or name unknown classes; all of them are listed.
        SettingsError: the file exists.
    """
    run, schema = open_run(settings)
    path = Path(str(settings.export))
    if not path.is_file():
        raise InputMissing(f"export={path}: does not exist.")
    answers: Iterable[Answer | str]
    if settings.tool is Tool.label_studio:
        answers = label_studio.answers(_json(path))
    elif settings.tool is Tool.argilla:
        answers = argilla.answers(_json_or_lines(path), schema.classes, schema.multi_label)
    elif settings.tool is Tool.doccano:
        answers = doccano.answers(path, schema.classes, schema.multi_label)
    else:
        answers = sheet.answers(path, schema.classes, schema.multi_label)
    return write_tags(answers, settings, run, schema, settings.tool.value, str(path))


def write_tags(
    answers: Iterable[Answer | str], settings: AnswerSettings, run: RunFolder, schema: Schema, tool: str, source: str
) -> tuple[Path, dict[str, int]]:
    """Settle the answers and write one line per document; documents without a tag stay in the queue.

    Returns:
        The file, and the number of documents that are `tagged`, `ignored`, `unreviewed` or in `disagreement`.

    Raises: see `take`.
    """
    usable, problems = _usable(answers, schema)
    known = {one.id: one.text for one in read_questions(queues(settings, run), unanswered=False)}
    problems += [
        f"{answer.place}: id {answer.id!r} belongs to another text in the queue; set queues= to the queues "
        "that were given to the tool"
        for answer in usable
        if answer.id in known and not same_document(known[answer.id], answer.text)
    ]
    if problems:
        raise DataError(listing(f"{source}: these answers are unusable:", problems))
    # The queue's own text: tools change white space, and spreadsheets more than that.
    usable = [replace(answer, text=known.get(answer.id or "", answer.text)) for answer in usable]
    accept = settings.unreviewed is Unreviewed.accept
    settled = settle(usable, schema.multi_label, settings.on_disagreement, accept)
    path = Path(settings.out) if settings.out is not None else run.improve / f"from_{tool}.jsonl"
    if path.suffix != ".jsonl":
        raise SettingsError(f"out={path}: expected a file name that ends in .jsonl.")
    _refuse(path, settings.overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, tag_lines(settled, schema.multi_label))
    return path, dict(Counter(one.why or "tagged" for one in settled))


def _usable(answers: Iterable[Answer | str], schema: Schema) -> tuple[list[Answer], list[str]]:
    usable: list[Answer] = []
    problems: list[str] = []
    for answer in answers:
        if isinstance(answer, str):
            problems.append(answer)
            continue
        unknown = [name for name in answer.labels if name not in schema.classes]
        if answer.kind is not Kind.ignored and unknown:
            names = ", ".join(map(repr, unknown))
            problems.append(f"{answer.place}: unknown class {names}; the run's schema.json lists the classes")
        elif not schema.multi_label and len(answer.labels) > 1:
            problems.append(f"{answer.place}: expected one class, found {', '.join(answer.labels)}")
        elif not schema.multi_label and not answer.labels:
            usable.append(replace(answer, kind=Kind.ignored))
        else:
            usable.append(answer)
    return usable, problems


def queues(settings: AnswerSettings, run: RunFolder) -> list[Path]:
    """The queues that the settings name, or else those of the run.

    Raises:
        InputMissing: the run has none.
    """
    if settings.queues is not None:
        return [Path(name) for name in settings.queues]
    candidates = [run.improve / "suspected_tags.jsonl", run.improve / "tag_next.jsonl", run.split_classes]
    if not (found := [path for path in candidates if path.is_file()]):
        raise InputMissing(
            f"run={run.path}: the run has no queues; run scripts/improve.py run={run.path} first, or set queues=."
        )
    return found


def model_name(run: RunFolder) -> str:
    """The name of the model under which a tool shows the suggestions."""
    return f"tagsmith {run.path.resolve().name}"


def open_run(settings: AnswerSettings) -> tuple[RunFolder, Schema]:
    """The run that the settings name, and its schema."""
    run = RunFolder(Path(settings.run))
    run.require()
    return run, Schema.load(run.schema)


def _refuse(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise SettingsError(f"out={path}: already exists; overwrite=true replaces it, or set out= to another path.")


def _json(path: Path) -> Any:
    return read_json(path, lambda content: content, "JSON", "export it from the tool again")


def _json_or_lines(path: Path) -> Any:
    """The content of a JSON file, or the objects of a file with one per line."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        if file.read(1) != "{":
            return _json(path)
    rows = list(json_lines(path))
    if problems := [f"{path}:{row}: {record.what}" for row, record in rows if isinstance(record, BadRow)]:
        raise DataError(listing(f"{path}: expected JSON lines:", problems))
    return [record for _, record in rows]
