"""Classes that change from one version of a classifier to the next: renamed, merged, split, added, deleted.

A small YAML whose parts are all optional:

    rename: {card lost: card_lost}                      old: new
    merge: {refund: [refund_request, refund_status]}    new: [old, old]
    split: {billing: [invoice, fee]}                    old: [new, new]
    add: [crypto]                                       new
    delete: [other]                                     old

One change may not give a name that another change takes away: a tag of that name could mean either class.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tagsmith.core.errors import DataError, InputMissing, listing
from tagsmith.core.schema import normal_name

PARTS = ("rename", "merge", "split", "add", "delete")


@dataclass(frozen=True)
class SchemaChanges:
    """The changes of each old class.

    Attributes:
        become: the new name of each old class that is renamed or merged.
        split: the new classes of each old class whose documents a person has to tag again.
        add: new classes without an old one.
        delete: old classes that are removed.
    """

    become: Mapping[str, str] = field(default_factory=dict)
    split: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    add: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()

    @classmethod
    def of(cls, content: Any, place: str) -> "SchemaChanges":
        """Parse the content of a YAML, or what `as_dict` returned; `place` names its source in errors.

        Raises:
            DataError: the content is malformed, or its changes contradict each other; all problems are listed.
        """
        found, problems = _parse(content)
        if problems:
            raise DataError(listing(f"{place}: these changes of classes cannot be made:", problems))
        return found

    @classmethod
    def read(cls, path: Path) -> "SchemaChanges":
        """Read the YAML.

        Raises:
            InputMissing: the file does not exist.
            DataError: the content is malformed, or its changes contradict each other; all problems are listed.
        """
        return cls.of(read_content(path, "schema_changes"), str(path))

    def as_dict(self) -> dict[str, Any]:
        """The content of an equivalent YAML, ready for JSON."""
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

    def normalised(self) -> "SchemaChanges":
        """The changes with normalised class names, as those of tagged data are."""
        return SchemaChanges(
            {normal_name(old): normal_name(new) for old, new in self.become.items()},
            {normal_name(old): tuple(map(normal_name, parts)) for old, parts in self.split.items()},
            tuple(map(normal_name, self.add)),
            tuple(map(normal_name, self.delete)),
        )

    def fit(self, classes: Sequence[str]) -> list[str]:
        """Why the changes cannot be applied to these classes: unknown names, and names that are in use."""
        known = set(classes)
        problems = [
            f"{name}: unknown class; expected one of {', '.join(classes)}"
            for name in (*self.become, *self.split, *self.delete)
            if name not in known
        ]
        stay = known - {*self.become, *self.split, *self.delete}
        new = {*self.become.values(), *(part for parts in self.split.values() for part in parts), *self.add}
        return problems + [
            f"{name}: already the name of a class; merge the two, or choose another name" for name in sorted(stay & new)
        ]

    def classes(self, old: Sequence[str]) -> tuple[str, ...]:
        """The classes after the changes: each at the place of its first old class, added ones last.

        Raises:
            DataError: the changes cannot be applied, see `fit`; all problems are listed.
        """
        if problems := self.fit(old):
            raise DataError(listing("The changes of classes cannot be applied:", problems))
        new = (part for name in old for part in self.after(name))
        return tuple(dict.fromkeys([*new, *self.add]))

    def after(self, name: str) -> tuple[str, ...]:
        """The new classes that an old one may become: none where it is deleted, several where it is split."""
        if name in self.delete:
            return ()
        return self.split.get(name, (self.become.get(name, name),))

    def common(self, old: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """For each old and each new class, its name among the classes in which both versions can be compared.

        Renamed and merged classes have their new name, parts of a split class its old name; deleted and added classes
        are left out.
        """
        new = self.classes(old)
        whole = {part: name for name, parts in self.split.items() for part in parts}
        before = {name: self.become.get(name, name) for name in old if name not in self.delete}
        after = {name: whole.get(name, name) for name in new if name not in self.add}
        return before, after


def read_content(path: Path, setting: str) -> Any:
    """The content of a YAML in which every scalar is a text, because classes may be called `no`, `007` or `null`.

    Raises:
        InputMissing: the file does not exist.
        DataError: it is no YAML.
    """
    if not path.is_file():
        raise InputMissing(f"{setting}={path}: no such file (working directory: {Path.cwd()}).")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read as YAML: {error}") from error


def _parse(content: Any) -> tuple[SchemaChanges, list[str]]:
    """The changes in a YAML, and their problems, whatever the classes are."""
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
    # A merged or split class may keep its own name; it cannot be part of two changes.
    old = [*rename, *(name for names in merge.values() for name in names), *split, *delete]
    problems += [f"{name}: changed twice; expected one change per class" for name in _repeated(old)]
    new = [*rename.values(), *merge, *(part for parts in split.values() for part in parts), *add]
    problems += [f"{name}: the name of two new classes; merge the old ones instead" for name in _repeated(new)]
    become = rename | {name: one for one, names in merge.items() for name in names}
    kept = {*(name for name, one in become.items() if one == name), *(name for name in split if name in split[name])}
    problems += [
        f"{name}: one change removes this name and another gives it to a different class, so that a tag of that name "
        "could mean either; choose a name that is not in use"
        for name in sorted((set(old) - kept) & set(new))
    ]
    return SchemaChanges(become, split, add, delete), problems


def _mapping(value: Any, where: str, problems: list[str]) -> dict[str, Any]:
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        problems.append(f"{where}: expected a mapping of class names, found {value!r}"[:200])
        return {}
    return {name: inside for name, inside in value.items() if _is_name(name, where, problems)}


def _names(value: Any, where: str, problems: list[str], two: str | None = None) -> tuple[str, ...]:
    """Different class names; `two`: what the list must have at least two of."""
    if value in (None, ""):
        return ()
    if not isinstance(value, list):
        problems.append(f"{where}: expected a list of classes, found {value!r}"[:200])
        return ()
    names = [name for name in value if _is_name(name, where, problems)]
    problems += [f"{where}: {name} is listed twice" for name in _repeated(names)]
    if two is not None and len(value) < 2:
        problems.append(f"{where}: expected {two} or more, found {value!r}"[:200])
    return tuple(dict.fromkeys(names))


def _is_name(value: Any, where: str, problems: list[str]) -> bool:
    if isinstance(value, str) and value and value == value.strip():
        return True
    problems.append(f"{where}: expected a class name without spaces around it, found {value!r}")
    return False


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)
