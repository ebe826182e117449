"""Class names as a person reads them: read from the values of labels, and which spellings are one class."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tagsmith.config.settings import ClassNames
from tagsmith.core.errors import DataError, counted, listing
from tagsmith.core.schema import natural_order, normal_name

_SHOWN = 3


@dataclass
class NameReader:
    """Reads class names, and counts those that it changes.

    Attributes:
        respelled: how often a spelling was normalised.
        converted: how often a boolean or a number with a decimal point was read as a name.
        repeated: lists that name a class twice.
    """

    respelled: Counter[str] = field(default_factory=Counter)
    converted: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    _known: dict[tuple[type, Any], str | None] = field(default_factory=dict)

    def name(self, value: Any) -> str | None:
        """The class name that a value stands for; None where it is not a name."""
        if not isinstance(value, str | int | float):
            return None
        key = (type(value), value)  # True, 1 and 1.0 are equal.
        if key not in self._known:
            name = _name(value)
            self._known[key] = sys.intern(name) if name else None  # One string per class, not one per document.
        name = self._known[key]
        if name is None or name == value:
            return name
        if isinstance(value, str):
            self.respelled[value] += 1
        elif isinstance(value, bool | float):
            self.converted[name] += 1
        return name

    def names(self, values: Iterable[Any]) -> list[str] | str:
        """The class names that the values of one document stand for, each once; a text says what is wrong.

        A number that is listed twice is wrong: the list may be a vector of 0 and 1.
        """
        names: dict[str, Any] = {}
        repeated = False
        for value in values:
            if (name := self.name(value)) is None:
                return f"expected a class name, found {value!r}"
            if name in names:
                if not isinstance(value, str):
                    return f"expected each class once, found {value!r} twice in the list"
                repeated = True
            names[name] = value
        self.repeated += repeated
        return list(names)

    def notes(self) -> list[str]:
        """Remarks for the user, one line each."""
        notes = []
        if self.respelled:
            shown = ", ".join(f"{old!r} as {self._known[str, old]!r}" for old in list(self.respelled)[:_SHOWN])
            notes.append(
                f"Read {counted(self.respelled.total(), 'label')} without surplus spaces and invisible characters, in "
                f"Unicode form NFC ({counted(len(self.respelled), 'spelling')}): {shown}"
                f"{' ...' if len(self.respelled) > _SHOWN else '.'}"
            )
        if self.converted:
            names = ", ".join(natural_order(self.converted)[:10])
            notes.append(f"Read booleans and whole numbers with a decimal point as class names: {names}.")
        if self.repeated:
            notes.append(f"{counted(self.repeated, 'list')} of labels named a class twice; it counts once.")
        return notes


def _name(value: str | int | float) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    return normal_name(str(value)) or None


def one_spelling(
    counts: Mapping[str, int], declared: Collection[str], apart: Collection[str], class_names: ClassNames | None
) -> dict[str, str]:
    """The class of each name that is to change: names that differ by case or accents alone are one class.

    Args:
        counts: number of documents by name.
        declared: the declared classes; they win over the commonest spelling.
        apart: those of them that the settings declare; they are different classes.
        class_names: exact: no name changes; merge: the commonest spelling stands for all; None: an error.

    Raises:
        DataError: there are such names and `class_names` is None; all of them are listed.
    """
    if class_names is ClassNames.exact:
        return {}
    known, fixed = set(declared), set(apart)
    alike: dict[str, list[str]] = {}
    for name in natural_order([*counts, *known]):
        alike.setdefault(folded_name(name), []).append(name)
    groups = [names for names in alike.values() if len(names) > 1 and not fixed.issuperset(names)]
    if groups and class_names is None:
        lines = [
            ", ".join(
                f"{name} ({'declared, ' if name in known else ''}{counted(counts.get(name, 0), 'document')})"
                for name in names
            )
            for names in groups
        ]
        headline = (
            "These class names differ by case or accents alone. data.class_names=merge makes each line one class, "
            "named by its commonest spelling; data.class_names=exact keeps them apart:"
        )
        raise DataError(listing(headline, lines))
    merged: dict[str, str] = {}
    for names in groups:
        best = max(names, key=lambda name: (name in known, counts.get(name, 0)))
        merged |= {name: best for name in names if name != best and name not in fixed}
    return merged


def folded_name(name: str) -> str:
    """The name without case and accents, for comparison. Vowel signs of other scripts are not accents."""
    parts = unicodedata.normalize("NFD", name.casefold())
    return unicodedata.normalize("NFC", "".join(part for part in parts if not "\u0300" <= part <= "\u036f"))
