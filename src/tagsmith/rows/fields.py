"""Fields of records by the names that users give: any case, dotted names for nested fields, several text fields."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

TEXT_SEPARATOR: Final = "\n"
"""Between the texts of several fields."""


class Absent:
    """The type of ABSENT."""


ABSENT: Final = Absent()
"""The value of a field that a record does not have."""


@lru_cache(maxsize=4096)
def column_of(columns: tuple[str, ...], name: str) -> str | None:
    """The column that `name` means: the one of that name, or else the only one that differs in case or outer spaces."""
    if name in columns:
        return name
    near = [column for column in columns if column.strip().casefold() == name.strip().casefold()]
    return near[0] if len(near) == 1 else None


def value_of(record: Mapping[str, Any], name: str) -> Any:
    """The value of a field, or ABSENT; `data.text` is the field `text` inside of `data`."""
    if name in record:
        return record[name]
    if (column := column_of(tuple(record), name)) is not None:
        return record[column]
    first, dot, rest = name.partition(".")
    inside = record.get(first) if dot else None
    return value_of(inside, rest) if isinstance(inside, Mapping) else ABSENT


def has_field(columns: tuple[str, ...], name: str) -> bool:
    """Whether records with these columns may have the field; of a nested one, the columns tell the first part."""
    return column_of(columns, name) is not None or ("." in name and name.partition(".")[0] in columns)


def text_of(record: Mapping[str, Any], fields: Sequence[str]) -> Any:
    """The text of a record: the value of its field, or the non-empty values of several fields, one below the other.

    ABSENT where a field is missing. A value that is not text is returned as it is.
    """
    values = [value_of(record, name) for name in fields]
    if ABSENT in values:
        return ABSENT
    if len(values) == 1:
        return values[0]
    if wrong := [value for value in values if value is not None and not isinstance(value, str)]:
        return wrong[0]
    return TEXT_SEPARATOR.join(value.strip() for value in values if value is not None and value.strip())
