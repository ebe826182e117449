"""Tags that a person has given in the queues of `scripts/improve.py`, and what they change in the documents."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tagsmith.core.errors import SettingsError, counted
from tagsmith.core.rows import BadRow, is_broken, json_lines
from tagsmith.core.schema import Task
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.data.changed import rename_tags
from tagsmith.data.check import same_text
from tagsmith.data.documents import Document, Problem, Source, as_text, label_list, locate, not_text


@dataclass
class PersonsTags:
    """What the files hold.

    Attributes:
        documents: a line with a tag each, as a document; its text is "" where the line has none.
        problems: lines that cannot be used.
        waiting: lines that no person has tagged yet.
    """

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    waiting: int = 0


def filled_in(place: Path) -> dict[Path, int]:
    """The .jsonl files of a folder, or one such file, in which a person has filled in tags, with how many."""
    found = {}
    for path in [place] if place.is_file() else sorted(place.glob("*.jsonl")):
        count = sum(not isinstance(record, BadRow) and record.get("tag") is not None for _, record in json_lines(path))
        if count:
            found[path] = count
    return found


def refuse_to_lose(place: Path, what_to_do: str) -> None:
    """Raises: SettingsError where the folder, or the file, holds tags that a person has filled in."""
    if filled := filled_in(place):
        found = ", ".join(f"{path} ({counted(count, 'tag')})" for path, count in filled.items())
        raise SettingsError(f"A person has filled in tags: {found}. {what_to_do}")


def read_tagged(
    paths: Sequence[str], task: Task | None, classes: Collection[str], changes: SchemaChanges | None = None
) -> PersonsTags:
    """Read files of lines with `tag` (text, or a list of texts; null: not tagged yet), `text` and `id`.

    Args:
        classes: those that there are; a tag of another name is a problem.
        changes: tags may be of the classes before them.

    Raises:
        InputMissing: a file is not there.
        SettingsError: a file is of another kind, or named twice.
    """
    found, source, known = PersonsTags(), Source(), set(classes)
    if len(set(paths)) < len(paths):
        raise SettingsError(f"data.tagged: expected each file once, found {', '.join(paths)}.")
    for name in paths:
        path = locate(name, "data.tagged")
        if path.is_dir() or path.suffix.lower() != ".jsonl":
            raise SettingsError(
                f"data.tagged={path}: expected a .jsonl file such as scripts/improve.py writes; scripts/annotate.py "
                "take makes one of what people have tagged elsewhere."
            )
        for row, record in json_lines(path):
            if isinstance(record, BadRow):
                source.problem(str(path), row, record.what, record.content)
            elif "tag" not in record:
                source.problem(str(path), row, f"no field tag; found {', '.join(record) or 'none'}", record)
            elif record["tag"] is None:
                found.waiting += 1
            elif (document := _document(record, str(path), row, task, known, changes, source)) is not None:
                found.documents.append(document)
    found.problems = source.problems + _conflicts(found.documents)
    return found


def _document(
    record: dict[str, Any], file: str, row: int, task: Task | None, known: set[str], changes: SchemaChanges | None,
    source: Source,
) -> Document | None:  # fmt: skip
    """The document of a line with a tag; None, and its problems, where there are any."""
    before = len(source.problems)
    tag, text = record["tag"], record.get("text")
    names = label_list(source, file, row, tag if isinstance(tag, list) else [tag], record)
    if names is not None and changes is not None:
        names = rename_tags(names, known, changes)
    for name in names or ():
        if changes is not None and name in changes.split:
            parts = ", ".join(changes.split[name])
            source.problem(
                file, row, f"class {name!r} is split by data.schema_changes; expected one of {parts}", record
            )
        elif name not in known:
            shown = ", ".join(sorted(known)[:10]) + (" ..." if len(known) > 10 else "")
            source.problem(
                file,
                row,
                f"unknown class {name!r}{_meant(name, known)}; there are {shown} (data.classes=[...] declares more)",
                record,
            )
    if task is Task.single_label and names is not None and len(names) != 1:
        source.problem(file, row, f"expected one tag, found {len(names)}", record)
    for optional in ("id", "group"):
        if (wrong := not_text(record.get(optional))) is not None:
            source.problem(file, row, f"expected text or a number as {optional}, found {wrong}", record)
    if text is not None and (not isinstance(text, str) or not text.strip() or is_broken(text)):
        source.problem(file, row, f"expected text, found {text!r}"[:200], record)
    elif text is None and as_text(record.get("id")) is None:
        source.problem(file, row, "neither text nor id: nothing says which document is tagged", record)
    if names is None or len(source.problems) > before:
        return None
    return Document(
        file, row, text or "", names, None, as_text(record.get("id")), None, as_text(record.get("group"))
    )  # fmt: skip


def _meant(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f" (is {near[0]!r} meant?)" if near else ""


def _conflicts(tagged: Sequence[Document]) -> list[Problem]:
    """Lines that give one document different tags, or one id to different texts: all of them, as none goes first."""
    together: dict[tuple[str, str], list[Document]] = {}
    for document in tagged:
        if document.text:
            together.setdefault(("text", same_text(document.text)), []).append(document)
        if document.id is not None:
            together.setdefault(("id", document.id), []).append(document)
    found: dict[tuple[str, int], Problem] = {}
    for (kind, value), lines in together.items():
        texts = {same_text(line.text) for line in lines if line.text}
        for line in lines:
            at = (line.file, line.row)
            if kind == "id" and len(texts) > 1:
                found.setdefault(at, Problem(*at, f"id {value!r} stands with {len(texts)} different texts"))
            elif other := next((each for each in lines if set(each.labels) != set(line.labels)), None):
                here, there = ("+".join(one.labels) or "no class" for one in (line, other))
                what = f"one document tagged differently twice: {here} here, {there} at {other.file}:{other.row}"
                found.setdefault(at, Problem(*at, what))
    order = {(document.file, document.row): i for i, document in enumerate(tagged)}
    return sorted(found.values(), key=lambda problem: order[problem.file, problem.row])


def check_against(tagged: Sequence[Document], documents: Iterable[Document]) -> list[Problem]:
    """Lines whose id is that of another text in the data, or that have an id alone, which the data does not know."""
    wanted = {document.id for document in tagged} - {None}
    texts = {document.id: document.text for document in documents if document.id in wanted}
    problems = []
    for document in tagged:
        known = texts.get(document.id)
        if document.text and isinstance(known, str) and same_text(known) != same_text(document.text):
            what = f"id {document.id!r} is that of another text in the data; give it another one, or leave it out"
        elif not document.text and known is None:
            what = f"no text, and no document of the data has the id {document.id!r}"
        else:
            continue
        problems.append(Problem(document.file, document.row, what))
    return problems


def apply_tags(
    tagged: Sequence[Document], everything: Sequence[Document], kept: Sequence[Document]
) -> tuple[list[Document], str]:
    """Give training documents the tags of a person, and add documents that the data does not know.

    Held-out documents stay as they are, or figures of different runs could not be compared; a document is not added
    beside its like there.

    Args:
        tagged: of `read_tagged`, without problems.
        everything: the documents of the source.
        kept: those that have a split.

    Returns:
        All documents, and a note for the person.
    """
    by_text: dict[str, list[Document]] = {same_text(document.text): [] for document in tagged}
    by_id: dict[str | None, list[Document]] = {document.id: [] for document in tagged}
    for document in everything:
        if document.id is not None and document.id in by_id:
            by_id[document.id].append(document)
        # The same form of the text again for each document of the source: only where something is to be found.
        if isinstance(document.text, str) and (same := same_text(document.text)) in by_text:
            by_text[same].append(document)
    of_split = {id(document): document.split for document in kept}
    held_out_groups = {document.group for document in kept if document.split != "train"} - {None}
    result, seen = list(kept), set()
    counts = dict.fromkeys(("replaced", "confirmed", "added", "held_out", "left_out"), 0)
    for tag in tagged:
        known = (by_id[tag.id] if tag.id is not None else []) + by_text.get(same_text(tag.text), [])
        splits = {of_split.get(id(document)) for document in known}
        if splits & {"test", "validation"} or (not known and tag.group in held_out_groups):
            counts["held_out"] += 1
        elif "train" in splits:
            changed = [d for d in known if of_split.get(id(d)) == "train" and set(d.labels) != set(tag.labels)]
            for document in changed:
                document.labels = list(tag.labels)
            counts["replaced" if changed else "confirmed"] += 1
        elif known:
            counts["left_out"] += 1
        elif same_text(tag.text) not in seen:
            seen.add(same_text(tag.text))
            tag.split = "train"
            result.append(tag)
            counts["added"] += 1
    return result, _note(counts)


def _note(counts: dict[str, int]) -> str:
    said = {
        "added": f"{counted(counts['added'], 'training document')} added",
        "replaced": f"the tags of {counts['replaced']:,} replaced",
        "confirmed": f"those of {counts['confirmed']:,} confirmed",
        "held_out": f"{counts['held_out']:,} not used, being held-out documents or of their groups",
        "left_out": f"{counts['left_out']:,} not used, being left out of the training documents",
    }
    return "data.tagged: " + ("; ".join(said[name] for name, count in counts.items() if count) or "no tag") + "."
