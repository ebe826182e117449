"""The words of the command line before Hydra reads them: names that no setting has, and values to keep as typed."""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from tagsmith.config.conversion import named_fields, unknown
from tagsmith.config.settings.fields import REQUIRED, default_of
from tagsmith.config.yaml_text import read_yaml

HYDRA_SETTINGS = re.compile(
    r"hydra\.(mode|verbose|searchpath|sweep\.dir|(sweeper|launcher|callbacks|job\.env_set)\b.*)"
)
"""Hydra's settings that have an effect on a script."""

WORD = re.compile(r"(?P<sign>\+{0,2})(?P<name>[A-Za-z_][\w.-]*)=(?P<value>.*)", re.DOTALL)

ELEMENT = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?:\\.|[^\[\](){},'"\\])+""")
"""A quoted or a bare element of a value in Hydra's grammar."""


def word_problems(words: Sequence[str], stage: type[Any], groups: Mapping[str, str | None]) -> list[str]:
    """A line for each word that is no setting.

    Args:
        groups: the choices of the stage, such as `data` and `experiment`, with their defaults.
    """
    own = dict(named_fields(stage))
    known = {*own, *groups}
    mappings = tuple(f"{name}." for name, item in own.items() if _is_mapping(item.type))
    inputs = [name for name, item in own.items() if item.metadata["reads"] and default_of(item) == REQUIRED]
    problems = []
    for before, word in pairwise(["", *words]):
        option, equals, value = word.partition("=")
        found = WORD.fullmatch(word)
        name = found["name"] if found else ""
        if option.startswith("-") and (plain := option.lstrip("-").replace("-", "_")) in known and equals:
            problems.append(f"{option}: settings have no dashes; expected {plain}={value}")
        elif not equals and not before.startswith("-") and Path(word).exists():
            problems.append(
                f"{word}: expected NAME=VALUE, such as {' or '.join(f'{one}={word}' for one in inputs or ['NAME'])}"
            )
        elif name.startswith("hydra."):
            if not HYDRA_SETTINGS.fullmatch(name):
                run = "; run= is the folder of the run" if "run" in known else ""
                problems.append(f"{name}: not used by the scripts{run}")
        elif name in groups and re.match(r"null$|\[|\{|$", value):
            problems.append(
                f"{name}: expected a name, such as {name}={groups[name] or 'mine'}, found {value or 'none'}"
            )
        elif found and not found["sign"] and name not in known and not name.startswith(mappings):
            problems.append(f"{name}: {unknown(name, known)}")
    return problems


def groups_of(stage: str, configs: Path) -> dict[str, str | None]:
    """The choices of a stage, such as `data` and `experiment`, with their defaults in `configs/STAGE.yaml`."""
    entries = read_yaml((configs / f"{stage}.yaml").read_text(encoding="utf-8"))["defaults"]
    named = {name: choice for entry in entries if isinstance(entry, dict) for name, choice in entry.items()}
    return {name: choice for name, choice in named.items() if name.isidentifier()}


def as_typed(words: Sequence[str], stage: type[Any], groups: Collection[str]) -> list[str]:
    """The words, with what Hydra would read as a number or a truth value quoted where the setting is a text.

    So a class may be called `007`, `1e3` or `true`. An element of a list is never null.
    """
    texts = {*groups, *(name for name, item in named_fields(stage) if is_text(item.type))}
    return [
        f"{found['sign']}{found['name']}={_quoted(found['value'])}"
        if (found := WORD.fullmatch(word)) and found["name"] in texts
        else word
        for word in words
    ]


def is_text(kind: Any) -> bool:
    """Whether a type is a text, or a list of texts, with or without null."""
    if get_origin(kind) is dict:
        return False
    args = get_args(kind)
    return all(is_text(part) or part is NoneType for part in args) if args else kind is str


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is dict or any(map(_is_mapping, get_args(kind)))


def _quoted(value: str) -> str:
    in_list = value.lstrip().startswith("[")

    def element(found: re.Match[str]) -> str:
        text = found[0].strip()
        other = _is_number(text) or text.lower() in ("true", "false") or (in_list and text.lower() == "null")
        return found[0].replace(text, f"'{text}'") if other else found[0]

    return ELEMENT.sub(element, value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
