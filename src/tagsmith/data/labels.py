"""What a label column means: class names, lists of them, vectors of 0 and 1, columns of 0 and 1."""

import ast
import io
import json
import re
import tokenize
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import isnan
from typing import Any

import numpy as np
import yaml

from tagsmith.core.errors import DataError, counted
from tagsmith.data.class_names import NameReader

_CALL = re.compile(r"(?:array|set|frozenset|list|tuple)\((.*?)(?:,\s*dtype=[^()]*)?\)", re.DOTALL)
_LITERALS = {tokenize.STRING, tokenize.NUMBER}
_VECTOR = re.compile(r"[01](?:[ ,;|]+[01])+")
_PAIRS = ("[]", "{}", "()")
_WHOLE = re.compile(r"-?\d+(\.0+)?")
_BITS = {0: False, 1: True, "0": False, "1": True, "false": False, "true": True}
_NOT_PARSED = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError)


@dataclass
class LabelColumn:
    """The meaning of a whole column.

    Attributes:
        labels: the class names of each cell; empty where the cell has none or is a problem.
        problems: what is wrong with a cell, by its position.
        lists, names: number of cells that are lists of classes, and of those that are one class.
        notes: remarks for the user, one line each.
    """

    labels: list[list[str]] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    lists: int = 0
    names: int = 0
    notes: list[str] = field(default_factory=list)


def read_column(
    cells: Sequence[Any], reader: NameReader, classes: Sequence[str] | None, delimiter: str | None = None
) -> LabelColumn:
    """The classes of each cell, decided by the whole column.

    A cell holds nothing (null, NaN, empty text), one class, or a list of classes: as such, divided by `delimiter`, or
    as text that another program wrote. If all of them are lists of 0 and 1 of one length above 1, the items stand for
    `classes`. If all texts are whole numbers with a decimal point, these are dropped.

    Args:
        classes: the declared classes, in their order, if any.

    Raises:
        DataError: the cells are vectors of 0 and 1, and the classes are not declared, or their number differs.
    """
    column, values, written = LabelColumn(), [], Counter[str]()
    texts = {cell for cell in cells if isinstance(cell, str) and not cell.isspace() and cell}
    lists = _written_lists(texts)
    divided = {text: [part.strip() for part in text.split(delimiter)] for text in texts if delimiter} | lists
    for cell in cells:
        items: list[Any] | None
        if isinstance(cell, str):
            items, empty = divided.get(cell), cell not in texts
            if cell in lists:
                written[cell] += 1
        else:
            items, empty = as_list(cell), cell is None or (isinstance(cell, float) and isnan(cell))
        column.lists += items is not None
        column.names += items is None and not empty
        values.append(items if items is not None else [] if empty else [cell])
    if written:
        shown = " ".join(next(iter(written)).split())
        column.notes.append(
            f"Read the text of {counted(written.total(), 'label cell')}, such as {shown:.60}, as lists of classes."
        )
    if not column.names and (length := vector_length(values)):
        values = _from_vectors(values, length, classes)
        column.notes.append(f"Read lists of 0 and 1 as the classes {', '.join(classes or ())}, in this order.")
    elif not column.lists:
        values = _without_decimal_points(values)
        column.notes += _several_in_one(values)
    for position, items in enumerate(values):
        names = reader.names(items)
        if isinstance(names, str):
            column.problems[position] = names
        column.labels.append([] if isinstance(names, str) else names)
    return column


def as_list(cell: Any) -> list[Any] | None:
    """The items of a list, of an object of 0 and 1 by class, or of the text of either; None for any other cell."""
    if isinstance(cell, str):
        return _written_list(cell.strip())
    if isinstance(cell, Mapping):
        if list(cell) == ["choices"]:  # Label Studio.
            return as_list(cell["choices"])
        bits = [bit(value) for value in cell.values()]
        return None if None in bits or not bits else [name for name, on in zip(cell, bits, strict=True) if on]
    if isinstance(cell, np.ndarray):
        return list(cell.tolist())
    if isinstance(cell, set | frozenset):
        return sorted(cell, key=str)
    return list(cell) if isinstance(cell, list | tuple) else None


def _written_lists(texts: Collection[str]) -> dict[str, list[Any]]:
    """The lists that texts are.

    Where all texts of a column are ones, they may lack quotes, as Java, Spark and PostgreSQL write them, and vectors
    may lack brackets.
    """
    if texts and all(_VECTOR.fullmatch(text.strip()) for text in texts):
        vectors = {text: re.findall("[01]", text) for text in texts}
        return vectors if vector_length(vectors.values()) else {}
    found = {text: items for text in texts if (items := _written_list(text.strip())) is not None}
    others = [text.strip() for text in texts if text not in found]
    if any("," in text for text in others) and all(text.strip()[:1] + text.strip()[-1:] in _PAIRS for text in texts):
        unquoted = {text: _unquoted(text.strip()) for text in texts if text not in found}
        if None not in unquoted.values():
            return found | {text: items for text, items in unquoted.items() if items is not None}
    return found


def _unquoted(text: str) -> list[Any] | None:
    try:
        value = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    items = list(value) if isinstance(value, list) or not any(value.values()) else [None]
    return items if all(isinstance(item, str) for item in items) else None


def _written_list(text: str) -> list[Any] | None:
    """The items of a list as JSON, Python or numpy write it; a text that does not parse as one stays a class."""
    if call := _CALL.fullmatch(text):
        text = call[1] or "[]"
    if text[:1] + text[-1:] not in _PAIRS:
        return None
    for parse in (json.loads, _literal):
        try:
            found = as_list(value) if not isinstance(value := parse(text), str) else None
        except _NOT_PARSED:
            continue
        return found if found is not None and all(_is_scalar(item) for item in found) else None
    return None


def _literal(text: str) -> Any:
    """The Python literal; numpy writes no commas between items, and Python would join its texts to one."""
    pieces: list[str] = []
    before = None
    for token in tokenize.generate_tokens(io.StringIO(text.replace("\n", " ")).readline):
        pieces.append("," if before in _LITERALS and token.type in _LITERALS else "")
        pieces.append(token.string)
        before = token.type
    with warnings.catch_warnings(action="ignore"):  # "\d" in a text is no error.
        return ast.literal_eval(" ".join(pieces).strip())


def _is_scalar(item: Any) -> bool:
    return isinstance(item, str | int | float)


def bit(value: Any) -> bool | None:
    """Whether a 0 or 1, a boolean, or the text of one, is 1 or true; None for any other value."""
    if isinstance(value, str):
        value = value.strip().lower().removesuffix(".0")
    return _BITS.get(value) if _is_scalar(value) else None


def vector_length(values: Iterable[Sequence[Any]]) -> int | None:
    """The length of the vectors, where all lists that are not empty hold only 0 and 1 and are equally long.

    A list of one item is a class, not a vector. A vector of -1 alone has no tag.
    """
    lengths: set[int] = set()
    for items in values:
        if len(items) == 1 or len(lengths) > 1:
            return None
        if items:
            if not (all(item in _BITS for item in items) or all(item in (-1, "-1") for item in items)):
                return None
            lengths.add(len(items))
    return lengths.pop() if len(lengths) == 1 else None


def _from_vectors(values: Iterable[Sequence[Any]], length: int, classes: Sequence[str] | None) -> list[list[Any]]:
    if classes is None or len(classes) != length:
        found = "null" if classes is None else f"{len(classes)}: {', '.join(classes)}"
        raise DataError(
            f"The labels are lists of {length} numbers, 0 or 1, one for each class. Expected data.classes=[...] to "
            f"name the {length} classes in the order of the numbers, found {found}."
        )
    return [[name for name, on in zip(classes, items, strict=False) if _BITS.get(on)] for items in values]


def _several_in_one(values: Iterable[Sequence[Any]]) -> list[str]:
    """A remark on texts that look like several classes: divided at a mark, or at commas if a part is a class, too."""
    texts = Counter(item for items in values for item in items if isinstance(item, str))
    for mark in ";|#,":
        parts = {text: [part.strip() for part in text.split(mark)] for text in texts if mark in text}
        if joined := [text for text, some in parts.items() if all(some) and (mark != "," or set(some) & set(texts))]:
            documents = sum(texts[text] for text in joined)
            return [
                f"{counted(documents, 'label')} look like several classes, such as {joined[0]!r}; if they are, set "
                f"'data.label_delimiter=\"{mark}\"'."
            ]
    return []


def _without_decimal_points(values: list[list[Any]]) -> list[list[Any]]:
    """Single labels; where all of them are texts such as 1.0, they become numbers, which the notes then mention."""
    texts = {item for items in values for item in items if isinstance(item, str)}
    if not all(_WHOLE.fullmatch(text.strip()) for text in texts):
        return values
    return [[float(item) if isinstance(item, str) and "." in item else item for item in items] for items in values]


def columns_of_bits(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that hold 0 or 1 in every row; none unless there are two of them."""
    names = [name for name in (rows[0] if rows else ()) if all(bit(row.get(name)) is not None for row in rows)]
    return names if len(names) > 1 else []


def remedy_of_columns(names: Sequence[str]) -> str | None:
    """What to set where these columns hold 0 and 1, and none is the one of the class."""
    if not names:
        return None
    prefix = "".join(names[0].partition("_")[:2])
    pattern = f", or 'data.label_columns=[{prefix}*]'" if all(name.startswith(prefix) for name in names) else ""
    shown = ", ".join(names)
    return f"{shown} hold 0 and 1: if each is a class, type 'data.label_columns=[{','.join(names)}]'{pattern}"


def matching_columns(patterns: Sequence[str], columns: Sequence[str], place: str) -> list[str]:
    """The columns that are named, or match a pattern such as is_*, in the order of the patterns, each once.

    Raises:
        DataError: a pattern matches no column.
    """
    found = {
        pattern: [name for name in columns if name == pattern or fnmatchcase(name, pattern)] for pattern in patterns
    }
    if unmatched := [pattern for pattern, names in found.items() if not names]:
        raise DataError(
            f"{place}: no column matches data.label_columns={', '.join(unmatched)}; found "
            f"{', '.join(columns) or 'none'}."
        )
    return list(dict.fromkeys(name for names in found.values() for name in names))


def cell_of_columns(record: Mapping[str, Any], columns: Sequence[str]) -> list[str] | dict[str, Any] | None:
    """The names of the columns that hold 1; None where all hold -1 or nothing; the values that are neither 0 nor 1.

    An empty value beside others counts as 0.
    """
    values = {name: record.get(name) for name in columns}
    if all(value in (-1, "-1", None, "") for value in values.values()):
        return None
    bits = {name: False if value in (None, "") else bit(value) for name, value in values.items()}
    return {n: v for n, v in values.items() if bits[n] is None} or [name for name, on in bits.items() if on]
