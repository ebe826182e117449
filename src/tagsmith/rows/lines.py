"""Lines of text files: their encoding, their number, and bytes that it cannot decode."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass

from tagsmith.core.errors import DataError
from tagsmith.core.text import is_broken
from tagsmith.rows.files import File, open_bytes
from tagsmith.rows.table import BadRow, Reading

MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte-order marks; that of UTF-32 begins with that of UTF-16, so it comes first."""

SAMPLE = 1 << 16
"""Bytes of lines that are not ASCII from which an encoding is detected."""

RARE = [
    "mac-latin2",
    "mac-turkish",
    "mac-iceland",
    "mac-cyrillic",
    "mac-greek",
    "cp862",
    "cp856",
    "cp1006",
    "hp-roman8",
]
RARE += ["kz1048", "ptcp154"]
"""Encodings that hardly a file of today has, but that chardet finds where few letters are not ASCII."""

UNSURE = 0.08
"""Confidence below which chardet is often wrong; most whole sentences are above it."""

NEARLY = 0.7
"""Share of the highest confidence at which Windows-1252, by far the commonest, is taken then."""


@dataclass(frozen=True)
class Scan:
    """What one pass over a file finds: its encoding, whether that was detected, and the number of lines."""

    encoding: str
    detected: bool
    lines: int

    @property
    def details(self) -> list[str]:
        """What the log says of the encoding."""
        return [f"encoded in {self.encoding}"] if self.detected else []


def scan(file: File, how: Reading) -> Scan:
    """Read the file once.

    UTF-8 is expected. Of a file that is mostly UTF-8, the other lines are bad rows; any other file is in the encoding
    that its lines look like. `how.encoding` and `how.fallback` prevent detection.

    Raises:
        DataError: the file begins with the byte-order mark of another encoding than the one of the settings.
    """
    lines, last, valid, invalid, sample = 0, b"\n", 0, 0, bytearray()
    with open_bytes(file) as stream:
        mark = next((name for bom, name in MARKS.items() if stream.peek(4).startswith(bom)), None)  # type: ignore[attr-defined]
        if how.encoding is None and mark is None and how.fallback is None:
            for line in stream:
                lines, last = lines + 1, line[-1:]
                if line.isascii():
                    continue
                if len(sample) < SAMPLE:
                    sample += line
                try:
                    line.decode()
                    valid += 1
                except UnicodeDecodeError:
                    invalid += 1
        else:
            while block := stream.read(1 << 20):
                lines, last = lines + block.count(b"\n"), block[-1:]
            lines += last != b"\n"
    named = how.encoding and codecs.lookup(how.encoding).name
    if named in ("utf-8", "utf-8-sig") and mark not in (None, "utf-8"):
        raise DataError(
            f"{file}: begins with the byte-order mark of {str(mark).upper()}; set the encoding of this file to {mark}."
        )
    if how.encoding is not None:
        return Scan(how.encoding, False, lines)
    if invalid > valid and (found := _detected(bytes(sample))) is not None:
        return Scan(found, True, lines)
    return Scan(mark or "utf-8", mark not in (None, "utf-8"), lines)


def _detected(sample: bytes) -> str | None:
    """The encoding that the sample looks like.

    In English with the quotation marks and currencies of Windows, or French with few accents, chardet sees letters of
    other languages, but is not sure of them.
    """
    import chardet

    found = chardet.detect_all(sample, exclude_encodings=RARE)
    sure = {one["encoding"]: one["confidence"] for one in found}
    best = found[0]["encoding"]
    if best is None:
        return None
    if sure[best] < UNSURE and "Windows-1252" in sure:
        letters = any(mark.isalpha() and not mark.isascii() for mark in sample.decode("cp1252", "ignore"))
        if not letters or sure["Windows-1252"] >= NEARLY * sure[best]:
            return "cp1252"
    return codecs.lookup(best).name


def lines_of(file: File, encoding: str, fallback: str | None = None) -> Iterator[str]:
    """The lines of a text file with their line ends. Bytes that no encoding can decode become lone surrogates.

    Raises:
        DataError: the bytes do not fit a multi-byte encoding such as UTF-16, which cannot continue after an error.
    """
    name = codecs.lookup(encoding).name
    codec, encoding = ("utf-8-sig", "utf-8") if name in ("utf-8", "utf-8-sig") else (encoding, encoding)
    try:
        with io.TextIOWrapper(open_bytes(file), codec, errors="surrogateescape", newline="") as stream:
            for line in stream:
                if fallback is not None and is_broken(line):
                    yield line.encode(encoding, "surrogateescape").decode(fallback, "surrogateescape")
                else:
                    yield line
    except UnicodeError as error:
        raise DataError(f"{file}: cannot be decoded as {encoding}: {error}.") from error
    except EOFError as error:
        raise DataError(f"{file}: the compressed file ends too early: {error}.") from error


def unreadable(text: str, encoding: str) -> BadRow | None:
    """A bad row where the text has bytes that `encoding` could not decode."""
    return BadRow(f"cannot be decoded as {encoding}", text, not_decoded=True) if is_broken(text) else None
