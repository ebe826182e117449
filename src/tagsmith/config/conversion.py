"""From a composed mapping to a stage's dataclass: every problem is found here, and all of them are listed together."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from types import NoneType
from typing import Any, cast, get_args, get_origin

from tagsmith.config.settings.fields import REQUIRED, default_of
from tagsmith.config.stages import SECTIONS

KIND = "_kind_"
"""Key of a composed section that names its dataclass, as `SECTIONS` does."""

TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Conversion:
    """Builds the dataclasses of a stage.

    Attributes:
        problems: a line for each setting that is missing, unknown or of another type.
        incomplete: whether a setting is missing.
    """

    def __init__(self, choices: Mapping[str, str], place: Callable[[str, Any], str]) -> None:
        """Prepare for one composed config.

        Args:
            choices: the chosen YAML of each section, such as `{"data": "csv"}`.
            place: returns the name of the YAML that gives a setting a value, "" where none does.
        """
        self.problems: list[str] = []
        self.incomplete = False
        self._choices = choices
        self._needs_all = True
        self._place = place

    def settings(self, kind: type[Any], found: Mapping[str, Any], prefix: str = "") -> Any:
        """The dataclass with the composed values; its default where a value cannot be used."""
        known = {item.name: item for item in fields(kind)}
        if not prefix and hasattr(kind, "needs_all"):
            self._needs_all = kind.needs_all(found)
        for name in found:
            if name not in known and name != KIND:
                self._add(f"{prefix}{name}", found[name], self._unknown(kind, name, prefix))
        return kind(**{name: self._value(item, found, prefix) for name, item in known.items()})

    def _value(self, item: Any, found: Mapping[str, Any], prefix: str) -> Any:
        name, default = f"{prefix}{item.name}", default_of(item)
        value = found.get(item.name, default)
        if is_dataclass(item.type):
            return self._section(cast(type, item.type), {} if is_dataclass(value) else value, name)
        if value == REQUIRED and not self._needs_all:
            return default
        if value == REQUIRED:
            self._add(name, value, f"expected a value ({item.metadata['help']}), found none; set {name}=")
            self.incomplete = True
            return default
        try:
            return default if value is default else parsed(item.type, value)
        except ValueError:
            problem = f"expected {type_name(item.type)}, found {shown(value)}; {_example(name, item)}"
            self._add(name, value, problem)
            return default

    def _section(self, kind: type, found: Any, name: str) -> Any:
        if not isinstance(found, Mapping):
            how = f"a choice of {name} in a YAML stands in its `defaults:` as `- override /{name}: {shown(found)}`"
            expected = f"expected settings such as {name}.{fields(kind)[0].name}, found {shown(found)}"
            self._add(name, found, f"{expected}; {how}")
            return kind()
        kinds = SECTIONS.get(name, {"": kind})
        chosen = kinds.get(found.get(KIND, ""))
        if chosen is None:
            one = ", ".join(f"/settings/{name}/{source}@_here_" for source in kinds)
            key = next((key for key in found if key not in _names(kind)), "classes")
            expected = f"expected one of these in the `defaults:` of the chosen YAML: {one}; found none"
            self._add(f"{name}.{key}", found.get(key), expected)
            return kind()
        return self.settings(chosen, found, f"{name}.")

    def _unknown(self, kind: type, name: str, prefix: str) -> str:
        section = prefix.rstrip(".")
        having = [source for source, other in SECTIONS.get(section, {}).items() if name in _names(other)]
        if having:
            chosen = f"{section}={self._choices[section]}" if section in self._choices else f"the chosen {section}"
            others = " or ".join(f"{section}={one}" for one in having)
            return f"{chosen} has no such setting; type {others} as well"
        if not prefix and name in self._choices:
            how = f"expected `# @package _global_` as the first line of the YAML of {name}={self._choices[name]}"
            return f"{how}; without it, its settings have no effect"
        return unknown(f"{prefix}{name}", [f"{prefix}{one}" for one in _names(kind)])

    def _add(self, name: str, value: Any, problem: str) -> None:
        place = self._place(name, value)
        self.problems.append(f"{name}: {problem}{f' (in {place})' if place else ''}")


def unknown(name: str, known: Collection[str]) -> str:
    """That a name is unknown, and the settings that may be meant: all of its section where none is similar."""
    section, _, rest = name.lower().replace("-", "_").rpartition(".")
    same = sorted(one for one in known if one.endswith(f".{rest}"))
    sections = {one.rpartition(".")[0] for one in known} - {""}
    beside = {one.rpartition(".")[2]: one for one in known if one.rpartition(".")[0] == section}
    if not section:
        beside |= {one: one for one in sections if "." not in one}
    if near := same or [beside[one] for one in get_close_matches(rest, beside, 1)]:
        return f"unknown setting; did you mean {' or '.join(near)}?"
    if section not in sections and (near := get_close_matches(section, sections, 1)):
        return f"unknown setting; did you mean {near[0]}? --help lists its settings"
    return f"unknown setting; {one_of(beside.values() or known)}"


def one_of(names: Collection[str], most: int = 20) -> str:
    """That one of these names is expected; that `--help` lists them where they are many."""
    return f"expected one of {', '.join(sorted(names))}" if len(names) <= most else "--help lists all settings"


def parsed(kind: Any, found: Any) -> Any:
    """A composed value as the type of its setting.

    A setting of a list takes a single value too. Numbers and truth values may be given as text, because text settings
    keep what was typed.

    Raises:
        ValueError: the value is not of this type.
    """
    options = () if _origin(kind) in (list, dict) else get_args(kind)
    if options:
        if NoneType in options and found is None:
            return None
        # Lists last: a single value of `text | list of text` stays a text.
        for option in sorted((one for one in options if one is not NoneType), key=lambda one: _origin(one) is list):
            try:
                return parsed(option, found)
            except ValueError:
                continue
        raise ValueError
    if _origin(kind) is list:
        (item,) = get_args(kind)
        return [parsed(item, one) for one in (found if isinstance(found, list) else [found])]
    if _origin(kind) is dict:
        if not isinstance(found, dict):
            raise ValueError
        key, item = get_args(kind)
        return {parsed(key, name): parsed(item, value) for name, value in found.items()}
    if found is None or isinstance(found, list | dict):
        raise ValueError
    text = shown(found)
    if kind is bool:
        if text.lower() not in TRUTH:
            raise ValueError
        return TRUTH[text.lower()]
    if kind in (int, float) and isinstance(found, bool):
        raise ValueError
    return text if kind is str else kind(text)


def _origin(kind: Any) -> Any:
    return get_origin(kind)


def shown(value: Any) -> str:
    """A value as a user types it on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {shown(one)}' for name, one in value.items())}}}"
    return value.value if isinstance(value, Enum) else str(value)


def type_name(kind: Any) -> str:
    """What a type is called in help and errors."""
    if args := get_args(kind):
        if get_origin(kind) in (list, dict):
            return f"{get_origin(kind).__name__} of {', '.join(map(type_name, args))}"
        return " | ".join("null" if part is NoneType else type_name(part) for part in args)
    if issubclass(kind, Enum):
        return " | ".join(member.value for member in kind)
    return {str: "text", int: "whole number", float: "number", bool: "true | false"}[kind]


def _names(kind: type[Any]) -> list[str]:
    return [item.name for item in fields(kind)]


def _example(name: str, item: Any) -> str:
    """An example of a setting, to type."""
    default = default_of(item)
    if default in (None, REQUIRED, ""):
        made = {"text": "TEXT", "whole number": "3", "number": "0.5", "true": "true", "list": "[A,B]", "dict": "{A: B}"}
        default = made.get(re.split(r" [|o]", type_name(item.type))[0], "")
    return f"for example {name}={shown(default)}"


def named_fields(kind: type[Any], prefix: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """All settings of a dataclass, whatever is chosen, by dotted name."""
    for item in fields(kind):
        if is_dataclass(item.type):
            for section in SECTIONS.get(f"{prefix}{item.name}", {"": item.type}).values():
                yield from named_fields(cast(type, section), f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", item
