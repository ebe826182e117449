"""From the answers in all files of an export to documents: one person may answer in another file than the next."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from tagsmith.config.settings import OnDisagreement, TableSettings
from tagsmith.data.documents import Source, SourceRow
from tagsmith.data.exports.answers import Answer, Kind, describe, settle
from tagsmith.data.exports.recognise import Export, Record


@dataclass
class Collected:
    """The answers of one split of the data.

    Attributes:
        documents: the first record of each document that has an answer.
        read: all documents, answered or not.
    """

    source: Source
    answers: list[Answer] = field(default_factory=list)
    documents: dict[str, tuple[Export, SourceRow]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)

    def add(self, export: Export, file: str, number: int, record: Record) -> None:
        """Take the answers in one record."""
        place = f"{file}:{number}"
        row = SourceRow(self.source, file, number, record)
        text = export.text(record)
        if not isinstance(text, str):
            row.problem(f"expected text in {', '.join(export.text_field)} ({export.tool}), found {text!r:.100}")
            return
        key = place if export.one_each else f"{export.identity(record)}\0{text}"
        self.read.add(key)
        for answer in export.answers(record, text, PurePath(file).stem, place):
            if isinstance(answer, str):
                row.problem(answer.removeprefix(f"{place}: "))
            else:
                self.answers.append(replace(answer, id=key))
                self.documents.setdefault(key, (export, row))

    def settle(self, settings: TableSettings, split: str | None) -> None:
        """Add the documents to the source, each with the labels that more than half of its annotators gave.

        Skipped and unreviewed documents, and those without agreement, are left out and counted. If no answer was
        reviewed, as after an import into the tool, all of them count.
        """
        if not self.read:
            return
        answers = self.answers
        if self.documents:
            answers = next(iter(self.documents.values()))[0].together(answers)
        unreviewed = bool(answers) and all(answer.kind is Kind.unreviewed for answer in answers)
        multi_label = any(len(answer.labels) > 1 for answer in answers)
        left_out = +Counter(unanswered=len(self.read - self.documents.keys()))
        for one in settle(answers, multi_label, OnDisagreement.majority, unreviewed):
            if one.labels is None or not (one.labels or multi_label):
                left_out[one.why or Kind.ignored.value] += 1
                continue
            export, row = self.documents[str(one.id)]
            labels: Any = list(one.labels) if multi_label else one.labels[0]
            _add(export, row, settings, labels, split)
        if left_out:
            self.source.notes.append(f"Left out of the export: {describe(left_out)}.")
        if unreviewed:
            self.source.notes.append("The export does not say that a person reviewed any answer; all of them count.")


def _add(export: Export, row: SourceRow, settings: TableSettings, labels: Any, split: str | None) -> None:
    record = row.content
    fields = dict(export.fields(record))
    if (identity := export.identity(record)) is not None:
        fields.setdefault("id", identity)
    row.content = fields
    named = row.split_name(export.split(record))
    row.add(replace(settings, text_field=list(export.text_field)), labels, split or named, settings.split_field)
