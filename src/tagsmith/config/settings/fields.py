"""A setting: a dataclass field with its explanation, unit and range; how settings are walked and validated."""

from collections.abc import Iterator
from dataclasses import MISSING, Field, field, fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar, get_origin

from tagsmith.core.errors import InputMissing, listing
from tagsmith.core.files import missing

REQUIRED = "???"
"""The default of a setting that the user must give."""


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    reads: bool = False,
) -> Any:
    """A dataclass field with its explanation, its unit and the inclusive range of its value.

    Args:
        reads: whether the value names files or folders that have to exist.
    """
    metadata = {"help": help, "unit": unit, "low": low, "high": high, "reads": reads}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def names(value: str | list[str]) -> list[str]:
    """The names in a setting that takes one or several."""
    return [value] if isinstance(value, str) else list(value)


def walk(settings: Any, prefix: str = "") -> Iterator[tuple[str, Field[Any], Any]]:
    """Every leaf of nested settings as (dotted name, field, value), in order of declaration."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            yield from walk(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", item, value


def range_problems(settings: Any) -> Iterator[str]:
    """A line for each number that is out of its range."""
    for name, item, value in walk(settings):
        low, high = item.metadata.get("low"), item.metadata.get("high")
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        # Written so that NaN, whose comparisons are false, is refused too.
        if not ((low is None or value >= low) and (high is None or value <= high) and abs(value) < float("inf")):
            bounds = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
            wanted = " and ".join(bound for bound in bounds if bound) or "a finite number"
            unit = f" {item.metadata['unit']}" if item.metadata.get("unit") else ""
            yield f"{name}: expected {wanted}{unit}, found {value}"


def own_problems(settings: Any, prefix: str = "") -> Iterator[str]:
    """A line for each combination that is not allowed."""
    if hasattr(settings, "problems"):
        yield from (prefix + problem for problem in settings.problems())
    for item in fields(settings):
        if is_dataclass(value := getattr(settings, item.name)):
            yield from own_problems(value, f"{prefix}{item.name}.")


def missing_inputs(settings: Any) -> list[str]:
    """A line for each file or folder that the settings name as input and that does not exist."""
    named = [(name, value) for name, item, value in walk(settings) if item.metadata.get("reads")]
    return [
        problem
        for name, value in named
        if value not in (None, REQUIRED)
        for one in (value.values() if isinstance(value, dict) else names(value))
        if (problem := missing(one, name))
    ]


def require_inputs(settings: Any) -> None:
    """Raises: InputMissing where files or folders that the settings name as input do not exist; all are listed."""
    if missing := missing_inputs(settings):
        several = listing("These files and folders do not exist:", missing)
        raise InputMissing(several if len(missing) > 1 else missing[0])


def problems(settings: Any) -> list[str]:
    """A line for each value that is out of range and for each combination that is not allowed."""
    return [*range_problems(settings), *own_problems(settings)]


def as_dict(settings: Any) -> dict[str, Any]:
    """All settings by dotted name, ready for JSON."""
    return {name: _plain(value) for name, _, value in walk(settings)}


def defaults(settings: Any) -> dict[str, Any]:
    """The default of every setting, and the value of every former setting (`ClassVar`), by name, ready for JSON."""
    return {name: _plain(default_of(item)) for name, item, _ in walk(settings)} | dict(_constants(settings))


def _constants(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for kind in type(settings).__mro__:
        for name, annotation in vars(kind).get("__annotations__", {}).items():
            if get_origin(annotation) is ClassVar:
                yield f"{prefix}{name}", getattr(kind, name)
    for item in fields(settings):
        if is_dataclass(value := getattr(settings, item.name)):
            yield from _constants(value, f"{prefix}{item.name}.")


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def default_of(item: Field[Any]) -> Any:
    """The default of a dataclass field."""
    if item.default is not MISSING:
        return item.default
    return item.default_factory() if item.default_factory is not MISSING else None
