"""The fields of a JSON file, and those that a README documents."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "src" / "tagsmith"


def documented(room: str, heading: str) -> set[str]:
    """The fields in the table below a heading of the README of a room: the code at the start of each row."""
    text = (SOURCE / room / "README.md").read_text(encoding="utf-8")
    section = text.split(f"\n{heading}\n")[1].split("\n## ")[0].split("\n### ")[0]
    rows = re.findall(r"^\| (`[^|]*`) \|", section, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def fields(content: Any, any_key: Collection[str], place: str = "") -> set[str]:
    """The paths of all fields that hold no object: `a.b`, `a[].b` for objects in a list, `a.*.b` for any key.

    Args:
        any_key: paths of objects whose keys are names of classes and the like.
    """
    return set(_fields(content, any_key, place))


def _fields(content: Any, any_key: Collection[str], place: str) -> Iterator[str]:
    if isinstance(content, dict) and (content or place in any_key):
        for name, value in content.items():
            inner = "*" if place in any_key else name
            yield from _fields(value, any_key, f"{place}.{inner}" if place else inner)
    elif isinstance(content, list) and content and isinstance(content[0], dict):
        for value in content:
            yield from _fields(value, any_key, f"{place}[]")
    else:
        yield place
