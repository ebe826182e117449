"""What the sources of a run hold: rows and SHA-256 per file, so that a run is not resumed on other documents."""

from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tagsmith.config.settings import DataSettings
from tagsmith.core.errors import counted
from tagsmith.data.bad_rows import origins
from tagsmith.data.check import same_text
from tagsmith.data.documents import Source
from tagsmith.rows.files import STANDARD_INPUT, File, files_of
from tagsmith.rows.json_rows import json_lines
from tagsmith.rows.table import BadRow

if TYPE_CHECKING:
    import datasets

Fingerprint = dict[str, dict[str, Any]]


def fingerprint(settings: DataSettings, source: Source) -> Fingerprint:
    """From each file, or folder of text files, to `rows` and `sha256`; other files have `sha256` alone.

    Args:
        source: as its reader returned it.
    """
    rows = [(one.file, one.row, _content(one)) for one in source.documents]
    rows += [(problem.file, problem.row, repr((problem.what, problem.content))) for problem in source.problems]
    name = origins(Counter(file for file, _, _ in rows))
    digests = {place: sha256() for place in name.values()}
    counts: Counter[str] = Counter()
    for file, row, content in rows:
        digests[name[file]].update(f"{row} {content}\n".encode("utf-8", "backslashreplace"))
        counts[name[file]] += 1
    found: Fingerprint = {place: {"rows": counts[place], "sha256": one.hexdigest()} for place, one in digests.items()}
    return found | {str(file): {"sha256": found} for file, found in _other_files(settings)}


def _content(document: Any) -> str:
    fields = ("text", "labels", "split", "id", "language", "group")
    return repr([getattr(document, name) for name in fields])


def _other_files(settings: DataSettings) -> Iterator[tuple[File, str]]:
    """The files that hold something else than the documents, and their SHA-256."""
    files: list[File] = [path for path in map(Path, settings.tagged or ()) if path.is_file()]
    if settings.out_of_scope is not None:
        files += files_of(settings.out_of_scope, "data.out_of_scope")[0]
    if settings.pool is not None:
        files += files_of(settings.pool, "data.pool")[0]
    if settings.split_from is not None:
        # What is no file there is reported by whoever reads the documents.
        files += sorted(path for path in Path(settings.split_from, "data").rglob("data-*.arrow") if path.is_file())
    for file in files:
        with file.open("rb") as stream:
            yield file, file_digest(cast(Any, stream), "sha256").hexdigest()


def changes_since(
    before: Mapping[str, Mapping[str, Any]], settings: DataSettings, source: Source, splits: "datasets.DatasetDict"
) -> list[str]:
    """A line for each file that has changed, and one on the documents; none where nothing has.

    Args:
        before: the fingerprint that the run has recorded.
        splits: the documents of the run.
    """
    lines, now = [], fingerprint(settings, source)
    # Runs of before call standard input by the name of a file.
    before = {STANDARD_INPUT if place == "stdin" else place: found for place, found in before.items()}
    for place in dict.fromkeys([*before, *now]):
        if place not in now or place not in before:
            lines.append(f"{place}: {'in the run, not now' if place in before else 'not in the run, but now'}")
        elif before[place] != now[place]:
            rows = [found[place].get("rows") for found in (before, now)]
            counts = "" if rows[0] is None else f": {counted(rows[0], 'row')} in the run, {rows[1]:,} now"
            lines.append(f"{place}: the content differs{counts}")
    if lines:
        there = {same_text(text) for part in splits.values() for text in part["text"][:]}
        here = {same_text(text) for text in _texts(settings, source)}
        gone, new = len(there - here), len(here - there)
        lines.append(
            f"{gone:,} of {counted(len(there), 'text')} in the run {'is' if gone == 1 else 'are'} not in the data, "
            f"{new:,} of {counted(len(here), 'text')} in the data {'is' if new == 1 else 'are'} not in the run"
        )
    return lines


def _texts(settings: DataSettings, source: Source) -> Iterator[str]:
    tagged = (json_lines(path) for path in map(Path, settings.tagged or ()) if path.is_file())
    lines = (line.get("text") for file in tagged for _, line in file if not isinstance(line, BadRow))
    yield from (text for text in (*(one.text for one in source.documents), *lines) if isinstance(text, str))
