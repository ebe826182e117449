"""Texts without tags: one per line, or the text field of rows."""

from tagsmith.config.settings import DataSettings
from tagsmith.core.errors import DataError, SettingsError, listing
from tagsmith.core.rows import BadRow, delimited, is_broken, json_lines
from tagsmith.data.documents import locate


def read_texts(path: str, settings: DataSettings) -> list[str]:
    """The different texts of a .txt file (one per line), or of the text field of a .jsonl, .csv or .tsv file.

    Raises:
        InputMissing: the file does not exist.
        SettingsError: the file has another extension.
        DataError: the file has no rows, or rows without text; all of them are listed.
    """
    file = locate(path, "data.out_of_scope")
    encoding = str(getattr(settings, "encoding", "utf-8"))
    field = str(getattr(settings, "text_field", "text"))
    kind = file.suffix.lower()
    texts: list[str] = []
    problems: list[str] = []
    if kind == ".txt":
        try:
            texts = [line.strip() for line in file.read_text(encoding=encoding).splitlines() if line.strip()]
        except (OSError, UnicodeError) as error:
            raise DataError(f"data.out_of_scope={path}: cannot be read: {error}.") from error
    elif kind in (".jsonl", ".csv", ".tsv"):
        rows = (
            json_lines(file, encoding)
            if kind == ".jsonl"
            else delimited(file, "\t" if kind == ".tsv" else ",", encoding)
        )
        if kind != ".jsonl":
            next(rows)  # The header.
        for number, record in rows:
            text = record.what if isinstance(record, BadRow) else record.get(field)
            if isinstance(record, BadRow) or not isinstance(text, str) or not text.strip() or is_broken(text):
                found = text if isinstance(record, BadRow) else f"expected text in {field}, found {text!r:.60}"
                problems.append(f"{file}:{number}: {found}")
            else:
                texts.append(text)
    else:
        raise SettingsError(f"data.out_of_scope={path}: expected a .txt, .jsonl, .csv or .tsv file.")
    if problems or not texts:
        raise DataError(listing(f"data.out_of_scope={path}: expected a text in each row:", problems or ["no rows"]))
    return list(dict.fromkeys(texts))
