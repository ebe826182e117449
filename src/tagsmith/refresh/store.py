"""The folder of a renewed classifier: its versions, the link to the one in production, test documents, history."""

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.core.files import json_object, read_json, read_json_lines, sync
from tagsmith.core.run import RunFolder

Json = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """A trained version: its run, its bundle, and the decision of the gate."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.path / "run")

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def decision(self) -> Path:
        return self.path / "decision.json"

    @property
    def news(self) -> Path:
        """What was new, and the figures of the data gate; the first file of a version."""
        return self.path / "news.json"

    @property
    def seen(self) -> Path:
        """What its refresh saw: one line per document, written before training starts."""
        return self.path / "seen.jsonl"

    @property
    def sources(self) -> Path:
        """Digests of the files that its refresh read."""
        return self.path / "sources.json"

    @property
    def pin(self) -> Path:
        return self.path / "pinned"

    @property
    def finished(self) -> bool:
        """Whether the gate has decided about it; otherwise a refresh is training it, or was interrupted."""
        return self.decision.is_file()

    def read_decision(self) -> Json:
        """What the gate has decided. Raises: DataError where it cannot be read."""
        return read_json(self.decision, json_object, "the decision of a gate", "restore it from a copy")


@dataclass(frozen=True)
class Store:
    """The paths in a store, and its few links and lines."""

    path: Path

    @property
    def versions_folder(self) -> Path:
        return self.path / "versions"

    @property
    def link(self) -> Path:
        return self.path / "current"

    @property
    def test(self) -> Path:
        """Test documents: `frozen.jsonl`, and one file per slice."""
        return self.path / "test"

    @property
    def sources(self) -> Path:
        """Digests of the files in which the last look found nothing new, although their bytes had changed."""
        return self.path / "sources.json"

    @property
    def quarantine(self) -> Path:
        return self.path / "quarantine"

    @property
    def history(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "refresh.log"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def holder(self) -> Path:
        """Who holds the lock, while it is held."""
        return self.path / "lock.json"

    def require(self) -> None:
        """Raises: InputMissing where the folder is not a store."""
        if not self.versions_folder.is_dir():
            raise InputMissing(
                f"store={self.path}: no store here (looked for {self.versions_folder} from {Path.cwd()}); "
                "the first refresh makes one."
            )

    def create(self) -> None:
        """Make the folders of a store where they are missing.

        Raises:
            SettingsError: the folder holds something else, or cannot be written.
        """
        if self.path.exists() and not self.versions_folder.is_dir():
            strange = [found.name for found in self.path.iterdir() if found.name not in ("lock", "lock.json")]
            if strange:
                raise SettingsError(f"store={self.path}: exists but is not a store; name another folder.")
        try:
            self.versions_folder.mkdir(parents=True, exist_ok=True)
            self.test.mkdir(exist_ok=True)
        except OSError as error:
            raise SettingsError(f"store={self.path}: cannot be written: {error.strerror}.") from error

    def versions(self) -> list[Version]:
        """All versions, the oldest first."""
        if not self.versions_folder.is_dir():
            return []
        found = [path for path in self.versions_folder.iterdir() if re.fullmatch(r"\d{4,}", path.name)]
        return [Version(path) for path in sorted(found, key=lambda path: int(path.name))]

    def version(self, name: str) -> Version:
        """A version by its name. Raises: InputMissing where there is none, SettingsError where it is not finished."""
        names = [one.name for one in self.versions()]
        full = f"{int(name):04}" if name.isdecimal() else name
        if full not in names:
            raise InputMissing(f"version={name}: expected one of {', '.join(names) or 'none'} in {self.path}.")
        found = Version(self.versions_folder / full)
        if not found.finished:
            raise SettingsError(f"version={name}: its refresh has not ended; run the same refresh again.")
        return found

    def unfinished(self) -> Version | None:
        """The version of a refresh that was interrupted; only the newest can be."""
        found = self.versions()
        return found[-1] if found and not found[-1].finished else None

    def next_version(self) -> Version:
        """The version after the newest that there ever was; its folder is not made."""
        numbers = [int(one.name) for one in self.versions()]
        numbers += [int(line["version"]) for line in self.read_history() if line.get("version")]
        return Version(self.versions_folder / f"{max(numbers, default=0) + 1:04}")

    def newest(self) -> Version | None:
        """The newest version that the gate has decided about; its run holds the documents of the last refresh."""
        return next((one for one in reversed(self.versions()) if one.finished), None)

    def current(self) -> Version | None:
        """The version in production; None before the first promotion.

        Raises:
            DataError: the link leads to no version.
        """
        if not self.link.is_symlink():
            return None
        name = self.link.readlink().name
        found = Version(self.versions_folder / name)
        if not found.bundle.is_dir():
            raise DataError(
                f"{self.link}: leads to {self.link.readlink()}, which has no bundle; "
                f"action=promote version=VERSION moves it to another one."
            )
        return found

    def point_to(self, version: Version) -> None:
        """Move the link `current` to a version, by one rename."""
        temporary = self.path / f".current.{os.getpid()}.tmp"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("versions", version.name))
        temporary.replace(self.link)
        sync(self.path)

    def read_history(self) -> list[Json]:
        """The lines of the history, the oldest first; a last line that a crash has cut off is left out."""
        if not self.history.is_file():
            return []
        with self.history.open(encoding="utf-8") as file:
            lines = file.readlines()
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
        try:
            return [json_object(json.loads(line)) for line in lines]
        except (ValueError, TypeError):
            # Names the line.
            return list(read_json_lines(self.history, "repair or remove the line"))

    def add_to_history(self, line: Mapping[str, Any]) -> None:
        """Append one line, on disk before this returns; what a crash has cut off is removed first."""
        with self.history.open("a+b") as file:
            file.seek(0)
            content = file.read()
            if content and not content.endswith(b"\n"):
                file.truncate(content.rfind(b"\n") + 1)
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def now() -> str:
    """The local time with its offset from UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
