"""Names on a command line that are no setting of the script: Hydra would say how to add them, which helps nobody."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any


def misspelt(words: Sequence[str], stage: type[Any], sections: Mapping[str, Collection[type[Any]]]) -> list[str]:
    """A line for each word `NAME=VALUE` whose name is unknown, with the setting that may have been meant.

    Args:
        stage: the script's settings, a dataclass.
        sections: the dataclasses that may stand in the place of each group of them: `data` may be of any format.
    """
    known, groups = set(_names(stage)), sections.keys() & {item.name for item in fields(stage)}
    known |= {f"{group}.{name}" for group in groups for kind in sections[group] for name in _names(kind)}
    told = []
    for word in words:
        found = re.match(r"([a-z_][\w.]*)=", word)
        name = found[1] if found else ""
        # An experiment, and settings of Hydra, are none of the script's; of a mapping the names below are free.
        free = name.split(".")[0] in ("", "experiment", "hydra") or any(name.startswith(f"{one}.") for one in known)
        if not free and name not in known | groups:
            near = get_close_matches(name, known | groups, 1)
            told.append(f"{name}: there is no such setting{f'; is {near[0]} meant?' if near else ''}")
    return told


def _names(kind: type[Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings of a dataclass."""
    for item in fields(kind):
        inside = item.default_factory
        if isinstance(inside, type) and is_dataclass(inside):
            yield from _names(inside, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}"
