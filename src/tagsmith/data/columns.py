"""Which columns of a file are the text and the class, where they have other names than the settings."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from random import Random
from statistics import mean
from typing import Any

from tagsmith.config.settings import TableSettings
from tagsmith.config.settings.fields import default_of, names, walk
from tagsmith.core.errors import DataError
from tagsmith.data.labels import columns_of_bits, remedy_of_columns
from tagsmith.rows.fields import has_field
from tagsmith.rows.files import File
from tagsmith.rows.table import Table

WORDS_OF_TEXT = 3
"""Words that the values of a column of texts have on average, at least."""

LONGEST_CLASS = 40
"""Characters of a class name, at most, where a column is to look like one of classes."""

SAMPLED = 600
"""Rows, drawn from all, that show what the columns look like; a column of up to 200 classes looks like one."""

Record = dict[str, Any]


class Survey:
    """What the rows of all files with the same columns look like: one file may have one class, and so may its start.

    They are read where they are asked for, and once.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables = tables
        self.surveyed: dict[frozenset[str] | None, tuple[list[Record], set[str]]] = {}

    def sample(self, table: Table) -> tuple[list[Record], set[str]]:
        """Up to `SAMPLED` rows, drawn from all of them, and the columns that have two values or more in all of them."""
        columns = _set_of(table)
        if columns not in self.surveyed:
            alike = (one for one in self.tables if _set_of(one) == columns)
            rows = (record for one in alike for _, record in one.rows() if isinstance(record, dict))
            self.surveyed[columns] = _drawn(rows)
        return self.surveyed[columns]


def _set_of(table: Table) -> frozenset[str] | None:
    return None if table.columns is None else frozenset(table.columns)


def _drawn(rows: Iterable[Record]) -> tuple[list[Record], set[str]]:
    draw, sample, values, varying = Random(0), list[Record](), Record(), set[str]()
    for place, record in enumerate(rows):
        if place < SAMPLED:
            sample.append(record)
        elif (drawn := draw.randrange(place + 1)) < SAMPLED:
            sample[drawn] = record
        for name, value in record.items():
            if value not in (None, "") and values.setdefault(name, value) != value:
                varying.add(name)
    return sample, varying


def with_columns(
    file: File, table: Table, first: Sequence[Record], settings: TableSettings, survey: Survey
) -> TableSettings:
    """The settings for one file: columns of other names are used where only one looks like a text or like classes.

    Args:
        table: gets the columns that are used as a detail for the log.
        first: the first rows.

    Raises:
        DataError: columns are missing; the message asks which ones to use, and shows what to type.
    """
    columns = table.columns if table.columns is not None else tuple(dict.fromkeys(chain.from_iterable(first)))
    texts = names(settings.text_field)
    # Rows of JSON may leave out fields: rows without a label or a split are looked at one by one.
    needed_fields = [*texts, *filter(None, [settings.split_field])] if table.columns is not None else texts
    missing = [name for name in needed_fields if not has_field(columns, name)]
    labels = list(filter(None, (settings.label_field, settings.labels_field)))
    tagged = settings.label_columns is not None or any(has_field(columns, name) for name in labels)
    if (not missing and tagged) or (table.columns is None and (not missing or not columns)):
        return settings
    sample, varying = survey.sample(table)
    if table.columns is None:
        columns = tuple(dict.fromkeys(chain(columns, chain.from_iterable(sample))))
        tagged = tagged or any(has_field(columns, name) for name in labels)
    wanted = {"text_field": [] if not set(texts) & set(missing) else _texts(columns, sample)}
    others = varying.difference(texts, wanted["text_field"])
    wanted["label_field"] = [] if tagged else [name for name in _classes(columns, sample) if name in others]
    defaults = {item.name: default_of(item) for _, item, _ in walk(settings)}
    chosen: dict[str, Any] = {
        name: found[0]
        for name, found in wanted.items()
        if len(found) == 1 and getattr(settings, name) == defaults[name]
    }
    needed = {"text_field": bool(set(texts) & set(missing)), "label_field": not tagged}
    if all(name in chosen for name, need in needed.items() if need) and not set(missing) - set(texts):
        used = " and ".join(
            f"{chosen[name]} as the {what}"
            for name, what in (("text_field", "text"), ("label_field", "class"))
            if name in chosen
        )
        table.details.append(f"{used}; data.text_field= and data.label_field= name others")
        return replace(settings, **chosen)
    expected = [*texts, labels[0], *filter(None, [settings.split_field])]
    absent = [*missing, *([] if tagged else labels[:1])]
    bits = [] if tagged else columns_of_bits(sample)
    if len(bits) > 1:
        wanted["label_field"] = [name for name in wanted["label_field"] if name not in bits]
        needed["label_field"] = bool(wanted["label_field"])
    remedy = "; ".join(filter(None, (_remedy(needed, wanted), remedy_of_columns(bits))))
    raise DataError(
        f"{file}: expected the columns {', '.join(expected)}; missing {', '.join(absent)}; "
        f"found {', '.join(columns) or 'no header line'}; {remedy}."
    )


def _remedy(needed: dict[str, bool], wanted: dict[str, list[str]]) -> str:
    asked = []
    for name, what in (("text_field", "text"), ("label_field", "class")):
        if needed[name] and len(found := wanted[name]) > 1:
            several = f", or 'data.text_field=[{','.join(found)}]' for all of them" if name == "text_field" else ""
            asked.append(f"which of {', '.join(found)} is the {what}? Type data.{name}={found[0]}{several}")
        elif needed[name] and found:
            asked.append(f"type data.{name}={found[0]} if that column is the {what}")
    if not asked and any(needed.values()):
        return "set data.text_field and data.label_field"
    return "; ".join(asked)


def _values(rows: Sequence[Record], column: str) -> list[Any]:
    return [value for record in rows if (value := record.get(column)) not in (None, "")]


def _texts(columns: Sequence[str], rows: Sequence[Record]) -> list[str]:
    """The columns that look like texts."""
    found = []
    for column in columns:
        values = _values(rows, column)
        if values and all(isinstance(value, str) for value in values):
            words = mean(len(value.split()) for value in values)
            if words >= WORDS_OF_TEXT and len(set(values)) > len(values) / 3:
                found.append(column)
    return found


def _classes(columns: Sequence[str], rows: Sequence[Record]) -> list[str]:
    """The columns that look like classes: short values, most of which come again."""
    found = []
    for column in columns:
        shown = [str(value) for value in _values(rows, column)]
        if shown and len(set(shown)) <= max(2, len(shown) / 3) and max(map(len, shown)) <= LONGEST_CLASS:
            found.append(column)
    return found
