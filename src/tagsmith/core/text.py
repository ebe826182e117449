"""Text as it comes from files: bytes that could not be decoded, and what cannot be classified."""

import codecs
import re
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")


def is_broken(text: str) -> bool:
    """Whether the text has bytes that its encoding could not decode, or a lone surrogate."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def text_problem(text: Any, field: str) -> str | None:
    """Why a value cannot be classified; None where it can."""
    if not isinstance(text, str):
        return f"expected text as {field}, found {type(text).__name__}"
    if not text.strip():
        return f"{field} is empty"
    return f"{field} is not valid Unicode" if is_broken(text) else None


def decode(raw: bytes, encoding: str | None, fallback: str | None = None) -> str | None:
    """The text of a whole file without its byte-order mark, or None where neither encoding fits.

    Without an encoding it is UTF-8. A file that its encoding does not fit and that begins with the byte-order mark of
    UTF-16 is read as that.
    """
    marked = "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else None
    for name in filter(None, (encoding or "utf-8", marked, fallback)):
        try:
            return raw.decode(name).removeprefix("\ufeff")
        except UnicodeError:
            continue
    return None
