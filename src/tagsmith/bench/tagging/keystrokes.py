"""How many keys a person presses for a document on the tagging page, as `tag/static/page.js` and `document.js` want.

A person who looks for a class types the beginning of one of the words of its name, as short as the page lets it be, and
Enter. That is the best that can be done with the list, so savings against it are not flattered.
"""

import re
from collections.abc import Sequence
from functools import cache

from tagsmith.data.class_names import folded_name

FEW = 10
"""Classes up to which digits choose classes, and nothing is typed."""

COMMANDS = frozenset("fhln")
"""Letters that are commands: a search that begins with one of them begins with `/`."""


class Keys:
    """The page of these classes.

    Args:
        multi_label: whether Enter saves the marked classes.
    """

    def __init__(self, classes: Sequence[str], multi_label: bool):
        self._classes, self._several = tuple(classes), multi_label
        self._folded = {name: folded_name(name) for name in classes}
        self._typed = cache(self._typed_anew)

    def from_list(self, tags: Sequence[str]) -> int:
        """Keys for the tags of a document without suggestions."""
        keys = sum(self._one(name, ()) for name in tags)
        return (keys + 1 if tags else 1) if self._several else keys

    def with_suggestions(self, tags: Sequence[str], suggestions: Sequence[str], taken: Sequence[str]) -> int:
        """Keys for the tags of a document.

        Args:
            suggestions: as listed, best first.
            taken: those that are marked at first (multi-label).
        """
        listed = tuple(suggestions)
        if not self._several:
            return 1 if listed[:1] == (tags[0],) else self._one(tags[0], listed)
        if not tags:
            return 1  # The key for none of the classes.
        return 1 + sum(self._one(name, listed) for name in {*tags} ^ {*taken})

    def _one(self, name: str, suggestions: tuple[str, ...]) -> int:
        digits = suggestions if suggestions and len(self._classes) > FEW else self._classes
        return 1 if name in digits[:10] else self._typed(name, suggestions)

    def _typed_anew(self, name: str, suggestions: tuple[str, ...]) -> int:
        folded = self._folded[name]
        counts = []
        for word in re.finditer(r"[^\W_]+", folded):
            rest = folded[word.start() :]
            for length in range(1, len(rest) + 1):
                if self._first(rest[:length], suggestions) == name:
                    slash = rest[0] in COMMANDS or not rest[0].isalpha()
                    counts.append(slash + length + 1)
                    break
        return min(counts, default=len(folded) + 2)

    def _first(self, typed: str, suggestions: tuple[str, ...]) -> str | None:
        """The class that the page lists first for what was typed."""
        found = []
        for place, name in enumerate(self._classes):
            if (fit := _fit(self._folded[name], typed.strip())) is not None:
                order = suggestions.index(name) - len(suggestions) if name in suggestions else place
                found.append((fit, order, name))
        return min(found)[2] if found else None


def _fit(name: str, typed: str) -> int | None:
    """How well a name fits what was typed, 0 best; None: not at all."""
    if (place := name.find(typed)) >= 0:
        return 0 if place == 0 else 2 if re.match(r"[A-Za-z0-9_]", name[place - 1]) else 1
    last = -1
    for letter in typed:
        if (last := name.find(letter, last + 1)) < 0:
            return None
    return 3
