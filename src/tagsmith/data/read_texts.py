"""Texts without tags: one per line, or the text field of rows."""

from tagsmith.config.settings import DataSettings
from tagsmith.config.settings.fields import names
from tagsmith.core.errors import DataError, listing
from tagsmith.core.text import text_problem
from tagsmith.rows.fields import text_of
from tagsmith.rows.files import files_of
from tagsmith.rows.lines import lines_of, scan
from tagsmith.rows.open import open_table
from tagsmith.rows.table import BadRow, Reading


def read_texts(path: str, settings: DataSettings, setting: str = "data.out_of_scope") -> list[str]:
    """The different texts of a file (see `usable_texts`), each of whose rows must have one.

    Raises:
        InputMissing: the file does not exist.
        DataError: the file has no rows, or rows without text; all of them are listed.
    """
    texts, problems = usable_texts(path, settings, setting)
    if problems:
        raise DataError(listing(f"{setting}={path}: expected a text in each row:", problems))
    return list(dict.fromkeys(texts))


def usable_texts(path: str | list[str], settings: DataSettings, setting: str) -> tuple[list[str], list[str]]:
    """The texts of .txt files (one per line), or of the text field of files of rows.

    Args:
        setting: the one that names the files, for errors.

    Returns:
        The texts, and a line for each row without one.

    Raises:
        InputMissing: a file does not exist.
        DataError: there is no text.
    """
    how = Reading(encoding=getattr(settings, "encoding", None))
    fields = names(getattr(settings, "text_field", "text"))
    texts: list[str] = []
    problems: list[str] = []
    for file in files_of(path, setting)[0]:
        if file.name.lower().endswith(".txt"):
            lines = lines_of(file, scan(file, how).encoding)
            texts += [line.strip() for line in lines if line.strip()]
            continue
        for number, record in open_table(file, how).rows():
            text = None if isinstance(record, BadRow) else text_of(record, fields)
            what = record.what if isinstance(record, BadRow) else text_problem(text, ", ".join(fields))
            if what:
                problems.append(f"{file}:{number}: {what}")
            else:
                texts.append(str(text))
    if not texts:
        raise DataError(listing(f"{setting}={path}: expected a text in each row:", problems or ["no rows"]))
    return texts, problems
