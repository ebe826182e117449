"""Classes that change from one version of a classifier to the next: renamed, merged, split, added, deleted.

A small YAML, each part optional; every name stands for what the classes were before, but for those on the right:

    rename: {card lost: card_lost}                      old: new
    merge: {refund: [refund_request, refund_status]}    new: [old, old]
    split: {billing: [invoice, fee]}                    old: [new, new]
    add: [crypto]                                       new
    delete: [other]                                     old

A name that one class gives up is not another's at once: tags that people gave before and after could not be told apart.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tagsmith.core.errors import DataError, InputMissing, listing

PARTS = ("rename", "merge", "split", "add", "delete")


@dataclass(frozen=True)
class SchemaChanges:
    """What becomes of each old class.

    Attributes:
        become: the new name of each old class that is renamed or merged.
        split: the new classes of each old class whose documents a person has to divide.
        add: new classes that no old one stands for.
        delete: old classes that are no more.
    """

    become: Mapping[str, str] = field(default_factory=dict)
    split: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    add: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()

    @classmethod
    def of(cls, content: Any, place: str) -> "SchemaChanges":
        """Of what a YAML holds, or `as_dict` gave; `place` is where that stood.

        Raises:
            DataError: it is not that, or its changes contradict each other; all of it is listed.
        """
        found, problems = _parse(content)
        if problems:
            raise DataError(listing(f"{place}: these changes of classes cannot be made:", problems))
        return found

    @classmethod
    def read(cls, path: Path) -> "SchemaChanges":
        """Read the YAML.

        Raises:
            InputMissing: there is no such file.
            DataError: it is not such a YAML, or its changes contradict each other; all of it is listed.
        """
        if not path.is_file():
            raise InputMissing(f"schema_changes={path}: no such file (looked for it from {Path.cwd()}).")
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise DataError(f"{path}: cannot be read as YAML: {error}") from error
        return cls.of(content, str(path))

    def as_dict(self) -> dict[str, Any]:
        """As a YAML would say it, ready for JSON."""
        made: dict[str, list[str]] = {}
        for old, new in self.become.items():
            made.setdefault(new, []).append(old)
        return {
            "rename": {names[0]: new for new, names in made.items() if len(names) == 1},
            "merge": {new: names for new, names in made.items() if len(names) > 1},
            "split": {old: list(parts) for old, parts in self.split.items()},
            "add": list(self.add),
            "delete": list(self.delete),
        }

    def fit(self, classes: Sequence[str]) -> list[str]:
        """What stands against making the changes to these classes: names that are not there, names that are taken."""
        known = set(classes)
        problems = [
            f"{name}: no such class; there are {', '.join(classes)}"
            for name in (*self.become, *self.split, *self.delete)
            if name not in known
        ]
        stay = known - {*self.become, *self.split, *self.delete}
        new = {*self.become.values(), *(part for parts in self.split.values() for part in parts), *self.add}
        return problems + [
            f"{name}: there is such a class already; merge the two, or name another" for name in sorted(stay & new)
        ]

    def classes(self, old: Sequence[str]) -> tuple[str, ...]:
        """The classes after the changes: each where the first of those that it is made of stood, added ones last.

        Raises:
            DataError: see `fit`; all of it is listed.
        """
        if problems := self.fit(old):
            raise DataError(listing("The changes of classes do not fit the classes:", problems))
        new = (part for name in old for part in self.after(name))
        return tuple(dict.fromkeys([*new, *self.add]))

    def after(self, name: str) -> tuple[str, ...]:
        """The new classes that an old one may be: none where it is deleted, several where it is split."""
        if name in self.delete:
            return ()
        return self.split.get(name, (self.become.get(name, name),))

    def common(self, old: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The classes in which both versions can be told: to what each old and each new class belongs there.

        Renamed and merged ones have their new name, the parts of a split one the name that it had; deleted and added
        ones are left out.
        """
        new = self.classes(old)
        whole = {part: name for name, parts in self.split.items() for part in parts}
        before = {name: self.become.get(name, name) for name in old if name not in self.delete}
        after = {name: whole.get(name, name) for name in new if name not in self.add}
        return before, after


def _parse(content: Any) -> tuple[SchemaChanges, list[str]]:
    """The changes that a YAML holds, and what is wrong with them by themselves."""
    if not isinstance(content, dict) or not content:
        return SchemaChanges(), [f"expected some of {', '.join(PARTS)}, found {content!r}"[:200]]
    problems = [f"{name}: expected one of {', '.join(PARTS)}" for name in content if name not in PARTS]
    given = {name: _mapping(content.get(name), name, problems) for name in ("rename", "merge", "split")}
    rename = {old: new for old, new in given["rename"].items() if _is_name(new, f"rename: {old}", problems)}
    merge, split = (
        {name: _names(value, f"{part}: {name}", problems, two) for name, value in given[part].items()}
        for part, two in (("merge", "two classes"), ("split", "two parts"))
    )
    add, delete = (_names(content.get(name, []), name, problems) for name in ("add", "delete"))
    # A class may go on under its own name beside others; it cannot be two changes at once.
    old = [*rename, *(name for names in merge.values() for name in names), *split, *delete]
    problems += [f"{name}: changed twice; expected one change a class" for name in _repeated(old)]
    new = [*rename.values(), *merge, *(part for parts in split.values() for part in parts), *add]
    problems += [f"{name}: the name of two new classes; merge what becomes one" for name in _repeated(new)]
    become = rename | {name: one for one, names in merge.items() for name in names}
    kept = {*(name for name, one in become.items() if one == name), *(name for name in split if name in split[name])}
    problems += [
        f"{name}: given up by one class and taken by another, so that a tag of that name may mean either; take a name "
        "that was none"
        for name in sorted((set(old) - kept) & set(new))
    ]
    return SchemaChanges(become, split, add, delete), problems


def _mapping(value: Any, where: str, problems: list[str]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.append(f"{where}: expected names of classes with a colon after each, found {value!r}"[:200])
        return {}
    return {name: inside for name, inside in value.items() if _is_name(name, where, problems)}


def _names(value: Any, where: str, problems: list[str], two: str | None = None) -> tuple[str, ...]:
    """Different names of classes; `two`: what there are at least two of."""
    if not isinstance(value, list):
        problems.append(f"{where}: expected a list of classes, found {value!r}"[:200])
        return ()
    names = [name for name in value if _is_name(name, where, problems)]
    problems += [f"{where}: {name} stands there twice" for name in _repeated(names)]
    if two is not None and len(value) < 2:
        problems.append(f"{where}: expected {two} or more, found {value!r}"[:200])
    return tuple(dict.fromkeys(names))


def _is_name(value: Any, where: str, problems: list[str]) -> bool:
    if isinstance(value, str) and value and value == value.strip():
        return True
    problems.append(f"{where}: expected the name of a class, in quotes where YAML takes it for more, found {value!r}")
    return False


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)
