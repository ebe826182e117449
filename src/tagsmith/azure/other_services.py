"""Answers of other services to a file of texts: Amazon Comprehend's `predictions.jsonl`."""

from pathlib import Path

from tagsmith.azure.recorded import Answer
from tagsmith.core.errors import DataError, SettingsError
from tagsmith.core.files import read_json_lines
from tagsmith.core.schema import normal_name

COMPREHEND = "Comprehend"
LEAST = 0.5
"""Score from which a label of a multi-label classifier of Comprehend counts as predicted."""


def comprehend_answers(path: Path, asked: Path) -> dict[str, Answer]:
    """The answers in the output of a batch job, by text.

    Args:
        path: lines of `File`, `Line` (from 0) and `Classes` or `Labels` (lists of `Name` and `Score`), or `ErrorCode`.
        asked: the input of the job, with one document a line.

    Raises:
        SettingsError: the answers are to lines that the input does not have, or to several files.
        DataError: a line is not as documented.
    """
    texts = asked.read_text(encoding="utf-8").split("\n")
    found: dict[str, Answer] = {}
    files = set()
    for number, line in enumerate(read_json_lines(path, "unpack the output of the job again"), 1):
        try:
            at = int(line["Line"])
            files.add(line["File"])
            labels = "Labels" in line
            scores = None
            if "ErrorCode" not in line:
                entries = line["Labels"] if labels else line["Classes"]
                scores = {normal_name(one["Name"]): float(one["Score"]) for one in entries}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}:{number}: expected File, Line and Classes or Labels, found {error!r}.") from error
        if not 0 <= at < len(texts):
            raise SettingsError(f"asked={asked}: has no line {at} (from 0), to which {path}:{number} is an answer.")
        named = scores if scores is None else {name: one for name, one in scores.items() if one >= LEAST or not labels}
        text = texts[at].removesuffix("\r")
        found[text] = Answer(text, named, line.get("ErrorMessage"))
    if len(files) > 1:
        raise SettingsError(f"answers={path}: expected answers to one file, found {', '.join(sorted(files))}.")
    return found
