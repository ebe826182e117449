"""doccano's JSON Lines. Documents are imported without labels, as doccano does not mark labels as suggestions.

In version 1.8.4, an export says who labelled what, but not which documents were approved, so that a document of no
class looks like an untagged one. Two additional labels, `ignore` and `none`, express the difference.
"""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tagsmith.data.exports.answers import NONE, Answer, interpreted, special_words
from tagsmith.data.exports.doccano import line_answer
from tagsmith.improve.annotation.questions import Question
from tagsmith.rows.json_rows import json_lines
from tagsmith.rows.table import BadRow


def lines(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """One line per document; doccano shows its other fields, such as the suggestion, next to the text."""
    return [
        {
            "text": one.text,
            "label": [],
            "tagsmith_id": one.id,
            "suggested": "" if one.suggested is None else ", ".join(one.suggested) or NONE,
            "why": one.why,
        }
        for one in questions
    ]


def labels(classes: Sequence[str], multi_label: bool) -> list[dict[str, Any]]:
    """The labels of the project, for its import of labels: the classes and the special words."""
    colours = ("#2a6fb0", "#b0562a", "#4f8f3a", "#8a3aa0", "#a08a2a", "#2aa093", "#a02a4f", "#5a5a5a")
    return [
        {"text": name, "background_color": colours[i % len(colours)], "text_color": "#ffffff"}
        for i, name in enumerate(classes)
    ] + [
        {"text": word, "background_color": "#e0e0e0", "text_color": "#000000"}
        for word in special_words(classes, multi_label)
    ]


def answers(path: Path, classes: Sequence[str], multi_label: bool) -> Iterator[Answer | str]:
    """The answers in an export: a .zip with one file per annotator, or one file of all where they share annotations.

    Documents without a label are not answered.
    """
    if not zipfile.is_zipfile(path):
        yield from _answers(path, str(path), "", classes, multi_label)
        return
    with zipfile.ZipFile(path) as archive, TemporaryDirectory() as folder:
        for number, member in enumerate(archive.infolist()):
            if member.filename.endswith(".jsonl"):
                unpacked = Path(folder, f"{number}.jsonl")
                unpacked.write_bytes(archive.read(member))
                source, person = f"{path}, {member.filename}", Path(member.filename).stem
                yield from _answers(unpacked, source, person, classes, multi_label)
            elif not member.is_dir():
                yield f"{path}, {member.filename}: expected JSON lines; export as JSONL"


def _answers(
    path: Path, source: str, annotator: str, classes: Sequence[str], multi_label: bool
) -> Iterator[Answer | str]:
    for row, record in json_lines(path):
        place = f"{source}:{row}"
        if isinstance(record, BadRow):
            yield f"{place}: {record.what}"
        else:
            answer = line_answer(record, annotator, place)
            if answer is not None:
                yield answer if isinstance(answer, str) else interpreted(answer, classes, multi_label)
