"""The text files that the locations of a labels file of Azure name, however a location is spelled."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote, urlsplit


class BadLocation(ValueError):
    """A location that names no file that may be read; the message says why."""


class TextFiles:
    """The text files in and below one folder, found by their locations; no file outside of it is ever found.

    A location is a path, or the address of a blob. Its separators, leading slash, percent-encoding, case and Unicode
    form may be those of another system. The spelling as it stands comes first, so that `a%20b.txt` finds a file of that
    name before `a b.txt`.

    Args:
        container: the blob container of the project, which may be the first part of a location.
    """

    def __init__(self, folder: Path, container: str | None = None):
        self.folder = folder
        self._container = container
        self._names: dict[Path, dict[str, list[str]]] = {}  # Of each folder looked into: names by folded name.
        self._remedy: str | None = None  # The same for all locations, so that they are one cause.

    def find(self, location: str) -> Path:
        """The path of a file, relative to the folder.

        Raises:
            BadLocation: there is no such file, or more than one, or the location has `..` in it, in some spelling.
        """
        candidates = list(dict.fromkeys(self.candidates(location)))
        if any(".." in parts for parts in candidates):
            raise BadLocation(f"expected a relative location inside {self.folder}, without .., found {location!r}")
        found = self._files(candidates)
        if len(found) > 1:
            raise BadLocation(f"{self.folder} has several files that differ from location {location!r} in case alone")
        if found:
            return found[0]
        if self._remedy is None:
            self._remedy = self._texts_of(candidates)
        raise BadLocation(f"location {location!r} does not exist in {self.folder}; {self._remedy}")

    def _files(self, candidates: Sequence[tuple[str, ...]]) -> list[Path]:
        """The file that the location means; several if their names differ in case alone."""
        for parts in candidates:
            if parts and _is_file(self.folder.joinpath(*parts)):
                return [Path(*parts)]
        return next(filter(None, map(self._without_case, candidates)), [])

    def _texts_of(self, candidates: Sequence[tuple[str, ...]]) -> str:
        """What to do about a location that does not exist: the first one shows where the texts are."""
        for name in sorted(name for names in self._names_in(self.folder).values() for name in names):
            if TextFiles(inside := self.folder / name)._files(candidates):
                return f"set data.texts={inside}"
        return "set data.texts to the folder of the text files"

    def candidates(self, location: str) -> Iterator[tuple[str, ...]]:
        """The parts of the path that the location may mean, the likeliest first."""
        scheme, is_address, _ = location.partition("://")
        path = location
        if is_address:
            path = urlsplit(location).path  # Without the signature.
        else:
            yield tuple(part for part in location.split("/") if part not in ("", "."))
        for spelled in (path, unquote(path)):
            parts = _parts(spelled)
            yield parts
            # The container is a folder of the address, but the texts were downloaded from inside it.
            if len(parts) > 1 and (scheme.lower() in ("http", "https") if is_address else parts[0] == self._container):
                yield parts[1:]

    def _without_case(self, parts: tuple[str, ...]) -> list[Path]:
        """The files whose paths differ from `parts` in case or Unicode form alone."""
        found = [Path()]
        for part in parts:
            found = [
                inside / name
                for inside in found
                for name in self._names_in(self.folder / inside).get(_folded(part), ())
            ]
        return [path for path in found if _is_file(self.folder / path)]

    def _names_in(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names:
            names: dict[str, list[str]] = {}
            for path in folder.iterdir() if folder.is_dir() else ():
                names.setdefault(_folded(path.name), []).append(path.name)
            self._names[folder] = names
        return self._names[folder]


def _parts(path: str) -> tuple[str, ...]:
    """The names in a path with slashes or backslashes, without a drive and leading separators."""
    windows = PureWindowsPath(path.lstrip("/\\"))
    return windows.parts[1:] if windows.anchor else windows.parts


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # A name too long for the file system, or one with a null character.
        return False


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
