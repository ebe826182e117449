"""Manual tags, as filled in in the queues of `scripts/improve.py`, and what they change in the documents."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from tagsmith.core.errors import SettingsError, counted
from tagsmith.core.files import locate
from tagsmith.core.schema import Task
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.core.text import is_broken
from tagsmith.data.changed import rename_tags
from tagsmith.data.check import same_text
from tagsmith.data.class_names import folded_name
from tagsmith.data.documents import Document, Problem, Source, SourceRow
from tagsmith.data.labels import as_list
from tagsmith.rows.json_rows import json_lines
from tagsmith.rows.table import BadRow


@dataclass
class ManualTags:
    """What the files hold.

    Attributes:
        documents: one per line with a tag; the text is "" where the line has none.
        problems: lines that cannot be used.
        untagged: lines without a tag so far.
    """

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    untagged: int = 0


@dataclass(frozen=True)
class KnownClasses:
    """The classes that a manual tag may name.

    Attributes:
        names: the classes of the data; a tag with another name is a problem.
        task: None where it is not known.
        changes: where given, a tag may also name a class as it was before the changes.
        alike: classes by their folded name, where a tag may differ from them by case or accents.
    """

    names: Collection[str]
    task: Task | None
    changes: SchemaChanges | None = None
    alike: Mapping[str, str] = field(default_factory=dict)


def filled_in(place: Path) -> dict[Path, int]:
    """The number of tags filled in in a .jsonl file, or in each one of a folder that has any."""
    found = {}
    for path in [place] if place.is_file() else sorted(place.glob("*.jsonl")):
        count = sum(not isinstance(record, BadRow) and record.get("tag") is not None for _, record in json_lines(path))
        if count:
            found[path] = count
    return found


def refuse_to_overwrite_tags(place: Path, remedy: str) -> None:
    """Raises: SettingsError where the folder, or the file, holds tags that were filled in."""
    if filled := filled_in(place):
        found = ", ".join(f"{path} ({counted(count, 'tag')})" for path, count in filled.items())
        raise SettingsError(f"Manual tags would be overwritten: {found}. {remedy}")


def read_tagged(paths: Sequence[str], classes: KnownClasses) -> ManualTags:
    """Read files of lines with `tag` (text, or a list of texts; null: not tagged yet), `text` and `id`.

    Raises:
        InputMissing: a file does not exist.
        SettingsError: a file is not a .jsonl file, or is named twice.
    """
    found, source = ManualTags(), Source()
    if len(set(paths)) < len(paths):
        raise SettingsError(f"data.tagged: expected each file once, found {', '.join(paths)}.")
    for name in paths:
        path = locate(name, "data.tagged")
        if path.is_dir() or path.suffix.lower() != ".jsonl":
            raise SettingsError(
                f"data.tagged={path}: expected a .jsonl file such as scripts/improve.py writes; scripts/annotate.py "
                "take converts the export of a tagging tool to one."
            )
        for number, record in json_lines(path):
            if isinstance(record, BadRow):
                source.problem(str(path), number, record.what, record.content)
            elif "tag" not in record:
                source.problem(
                    str(path), number, f"expected a field tag, found {', '.join(record) or 'no fields'}", record
                )
            elif record["tag"] is None:
                found.untagged += 1
            elif (document := _document(SourceRow(source, str(path), number, record), classes)) is not None:
                found.documents.append(document)
    found.problems = source.problems + _conflicts(found.documents)
    return found


def _document(row: SourceRow, classes: KnownClasses) -> Document | None:
    """The document of a line with a tag, unless the line has problems."""
    tag, text = row.content["tag"], row.content.get("text")
    names = row.class_names(items if (items := as_list(tag)) is not None else [tag])
    if classes.alike:
        names = [name if name in classes.names else classes.alike.get(folded_name(name), name) for name in names]
    readable, changes = not row.bad, classes.changes
    if changes is not None:
        names = rename_tags(names, classes.names, changes)
    for name in names:
        if changes is not None and name in changes.split:
            parts = ", ".join(changes.split[name])
            row.problem(f"class {name!r} is split by data.schema_changes; expected one of {parts}")
        elif name not in classes.names:
            row.problem(_unknown(name, classes.names))
    if classes.task is Task.single_label and readable and len(names) != 1:
        row.problem(f"expected one tag, found {len(names)}")
    identity, group = row.optional("id"), row.optional("group")
    if text is not None and (not isinstance(text, str) or not text.strip() or is_broken(text)):
        row.problem(f"expected text, found {text!r}"[:200])
    elif text is None and identity is None:
        row.problem("expected text or id to identify the document, found neither")
    if row.bad:
        return None
    return Document(row.file, row.row, text or "", names, id=identity, group=group)


def _unknown(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    shown = ", ".join(sorted(known)[:10]) + (" ..." if len(known) > 10 else "")
    return f"unknown class {name!r}{hint} The classes are {shown} (data.classes=[...] declares others)"


def _conflicts(tagged: Sequence[Document]) -> list[Problem]:
    """Every line that gives one document different tags, or one id to different texts: no line has precedence."""
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
                found.setdefault(at, Problem(*at, f"id {value!r} is used for {len(texts)} different texts"))
            elif other := next((each for each in lines if set(each.labels) != set(line.labels)), None):
                here, there = ("+".join(one.labels) or "no class" for one in (line, other))
                what = f"the same document has different tags: {here} here, {there} at {other.file}:{other.row}"
                found.setdefault(at, Problem(*at, what))
    order = {(document.file, document.row): i for i, document in enumerate(tagged)}
    return sorted(found.values(), key=lambda problem: order[problem.file, problem.row])


def check_against(tagged: Sequence[Document], documents: Iterable[Document]) -> list[Problem]:
    """Lines whose id belongs to another text in the data, or that have only an id, which the data does not have."""
    wanted = {document.id for document in tagged} - {None}
    texts = {document.id: document.text for document in documents if document.id in wanted}
    problems = []
    for document in tagged:
        known = texts.get(document.id)
        if document.text and isinstance(known, str) and same_text(known) != same_text(document.text):
            what = f"id {document.id!r} belongs to another text in the data; change the id or leave it out"
        elif not document.text and known is None:
            what = f"the line has no text, and no document of the data has the id {document.id!r}"
        else:
            continue
        problems.append(Problem(document.file, document.row, what))
    return problems


def apply_tags(
    tagged: Sequence[Document], everything: Sequence[Document], kept: Sequence[Document]
) -> tuple[list[Document], str]:
    """Replace the tags of training documents by manual ones, and add tagged documents that are new.

    Held-out documents stay as they are, so that figures of different runs can be compared; a new document that equals
    one of them, or belongs to its group, is not added.

    Args:
        tagged: manual tags without problems, as `read_tagged` returns them.
        everything: all documents of the source.
        kept: the documents that have a split.

    Returns:
        All documents, and a note for the user.
    """
    by_text: dict[str, list[Document]] = {same_text(document.text): [] for document in tagged}
    by_id: dict[str | None, list[Document]] = {document.id: [] for document in tagged}
    for document in everything:
        if document.id is not None and document.id in by_id:
            by_id[document.id].append(document)
        if isinstance(document.text, str) and (same := same_text(document.text)) in by_text:
            by_text[same].append(document)
    split_of = {id(document): document.split for document in kept}
    held_out_groups = {document.group for document in kept if document.split != "train"} - {None}
    result, seen = list(kept), set()
    counts = dict.fromkeys(("replaced", "confirmed", "added", "held_out", "left_out"), 0)
    for tag in tagged:
        known = (by_id[tag.id] if tag.id is not None else []) + by_text.get(same_text(tag.text), [])
        splits = {split_of.get(id(document)) for document in known}
        if splits & {"test", "validation"} or (not known and tag.group in held_out_groups):
            counts["held_out"] += 1
        elif "train" in splits:
            changed = [d for d in known if split_of.get(id(d)) == "train" and set(d.labels) != set(tag.labels)]
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
    parts = {
        "replaced": f"replaced the tags of {counted(counts['replaced'], 'training document')}",
        "confirmed": f"confirmed the tags of {counted(counts['confirmed'], 'training document')}",
        "added": f"added {counted(counts['added'], 'training document')}",
        "held_out": f"ignored {counted(counts['held_out'], 'tag')} of held-out documents or their groups",
        "left_out": f"ignored {counted(counts['left_out'], 'tag')} of documents that are left out of training",
    }
    done = [parts[name] for name, count in counts.items() if count]
    return f"data.tagged: {'; '.join(done) or 'no tags filled in'}."
