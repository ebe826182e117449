"""Help with settings: the text of `--help`, and "did you mean" for unknown names on the command line."""

import inspect
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any, cast, get_args, get_origin

from tagsmith.config.settings.fields import REQUIRED, default_of

Sections = Mapping[str, Collection[type[Any]]]
"""By name of a section, the dataclasses that it may be: `data` may be of any format."""


def help_text(
    usage: str,
    kind: type[Any],
    primary: Mapping[str, Any],
    sections: Sections,
    choices: Mapping[str, Sequence[str]],
) -> str:
    """The choices and every setting of a stage with its type, default, unit and range.

    Args:
        primary: defaults that the stage's YAML overrides.
        choices: the YAMLs to choose from, by section.
    """
    lines = [usage]
    for part in _kinds(kind):
        lines += ["", *_explain_section(part, "", primary)]
    for item in fields(kind):
        if item.name in sections:
            lines += ["", f"{item.name}={'|'.join(choices[item.name])}"]
        shown: list[type] = []
        for section in sections.get(item.name, [cast(type, item.type)]):
            shown += [part for part in _kinds(section) if part not in shown] if is_dataclass(section) else []
        for part in shown:
            lines += ["", *_explain_section(part, f"{item.name}.")]
            for row in fields(part):
                if is_dataclass(row.type):
                    lines += ["", *_explain_section(cast(type, row.type), f"{item.name}.{row.name}.")]
    return "\n".join(lines)


def _kinds(kind: Any) -> list[type]:
    """A dataclass and those that it inherits from, the most general first."""
    return [base for base in reversed(kind.__mro__) if hasattr(base, "__dataclass_fields__")]


def _explain_section(kind: type, prefix: str, defaults: Mapping[str, Any] | None = None) -> list[str]:
    own = [row for row in fields(kind) if row.name in kind.__annotations__ and row.metadata]
    title = (inspect.getdoc(kind) or "").splitlines()[0]
    return [title, *(line for row in own for line in _explain_setting(prefix + row.name, row, defaults or {}))]


def _explain_setting(name: str, row: Any, defaults: Mapping[str, Any]) -> list[str]:
    meta, default = row.metadata, defaults.get(name, default_of(row))
    if isinstance(default, str):  # `DATA` is the choice of data=.
        default = re.sub(r"\$\{hydra:runtime\.choices\.(\w+)\}", lambda match: match[1].upper(), default)
    shown = "required" if default == REQUIRED else f"default {_as_typed(default)}"
    low, high = meta["low"], meta["high"]
    bounds = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
    facts = [meta["help"], f"unit: {meta['unit']}" if meta["unit"] else "", " and ".join(filter(None, bounds))]
    return [f"  {name}  ({_type_name(row.type)}; {shown})", "      " + "; ".join(filter(None, facts))]


def _as_typed(value: Any) -> Any:
    """A value as a user types it on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value.value if isinstance(value, Enum) else repr(value) if value in ("", ",") else value


def _type_name(kind: Any) -> str:
    if args := get_args(kind):
        if get_origin(kind) in (list, dict):
            return f"{get_origin(kind).__name__} of {', '.join(map(_type_name, args))}"
        return " | ".join("null" if part is type(None) else _type_name(part) for part in args)
    if issubclass(kind, Enum):
        return " | ".join(member.value for member in kind)
    return {str: "text", int: "whole number", float: "number", bool: "true | false", Any: "name or [name, ...]"}[kind]


def unknown_settings(words: Sequence[str], stage: type[Any], sections: Sections) -> list[str]:
    """A line for each word `NAME=VALUE` whose name is unknown, with the most similar setting.

    Hydra would explain how to add the name, which settings do not allow.
    """
    known, groups = set(_names(stage)), sections.keys() & {item.name for item in fields(stage)}
    known |= {f"{group}.{name}" for group in groups for kind in sections[group] for name in _names(kind)}
    problems = []
    for word in words:
        found = re.match(r"([a-z_][\w.]*)=", word)
        name = found[1] if found else ""
        # Experiments and Hydra's own settings do not belong to the script; below a mapping any name is allowed.
        free = name.split(".")[0] in ("", "experiment", "hydra") or any(name.startswith(f"{one}.") for one in known)
        if not free and name not in known | groups:
            near = get_close_matches(name, known | groups, 1)
            problems.append(f"{name}: unknown setting{f'; did you mean {near[0]}?' if near else ''}")
    return problems


def _names(kind: type[Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings of a dataclass."""
    for item in fields(kind):
        inside = item.default_factory
        if isinstance(inside, type) and is_dataclass(inside):
            yield from _names(inside, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}"
