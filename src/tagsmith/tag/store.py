"""`tags.sqlite`: the documents of a project, and every decision about them; nothing is ever changed or removed."""

import hashlib
import json
import secrets
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError, SettingsError
from tagsmith.core.schema import Schema, Task
from tagsmith.data.check import same_text
from tagsmith.tag.classes import ClassChange, History
from tagsmith.tag.decisions import Decision, Kind, State, StoredDocument, place, state_of
from tagsmith.tag.tables import (
    CLASS_COLUMNS,
    COLUMNS,
    COUNTED,
    GIVEN,
    LATER,
    LAYOUT,
    TABLES,
    WRITTEN,
    class_change_of,
    decision_of,
    document_of,
    to_json,
)  # fmt: skip
from tagsmith.tag.tally import Tally

FILE = "tags.sqlite"


def text_hash(text: str) -> str:
    """SHA-256 of `same_text`, as hex: equal documents have equal ones."""
    return hashlib.sha256(same_text(text).encode()).hexdigest()


class Store:
    """The file of a project; its methods may be called from any thread, and those that write have written on return.

    Attributes:
        states: of the documents with a decision that was not undone, by id; values are replaced, never changed.
        tally: counts of the states.
        history: the classes, and what older tags have become; replaced by each change of the classes.
        again: documents that were to be tagged again after the last change of the classes.

    Raises:
        SettingsError: the file cannot be written.
        DataError: the file is not one of a project.
    """

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)  # It holds the tokens and the texts.
        except OSError as error:
            raise SettingsError(f"project={folder}: cannot be written: {error.strerror}.") from error
        try:
            self._file = sqlite3.connect(self.path, timeout=5.0, check_same_thread=False)
            # FULL: a decision that was acknowledged outlasts a power cut, too.
            self._file.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            (version,) = self._file.execute("PRAGMA user_version").fetchone()
            if version > LAYOUT:
                raise DataError(
                    f"{self.path}: expected layout {LAYOUT} or less, found {version}: a later Tagsmith has written it; "
                    "use that one, or another project=."
                )
            there = {row[1] for row in self._file.execute("PRAGMA table_info(decisions)")}
            for name, kind in LATER.items():
                if there and name not in there:
                    self._file.execute(f"ALTER TABLE decisions ADD COLUMN {name} {kind}")
            self._file.executescript(f"{TABLES} PRAGMA user_version = {LAYOUT};")
            self.states: dict[str, State] = {}
            self.replay()
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self.path}: is not a file of tags ({error}); use another project=.") from error

    def close(self) -> None:
        with self._lock:
            self._file.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._file:
            yield self._file

    # The project

    def schema(self) -> tuple[Schema, dict[str, str]] | None:
        """The classes, and the guideline of each ("" for none); None before `set_schema`."""
        return None if self.remember("task") is None else (self.history.schema, self.history.guidelines)

    def set_schema(self, schema: Schema, guidelines: Mapping[str, str]) -> None:
        """Set the task, add the classes that are new, and replace the guidelines that differ."""
        self.remember("task", schema.task.value)
        self.replay()
        if content := self.history.missing(schema.classes, guidelines):
            self.change_classes(ClassChange(secrets.token_hex(16), content, "", time.time()))

    def change_classes(self, line: ClassChange) -> None:
        """Append to the log of the classes, unless a line with this key is there; see `History.with_line`."""
        with self._transaction() as file:
            if any(one.key == line.key for one in self.history.lines):
                return
            self.history.with_line(line)
            last = [file.execute(f"SELECT coalesce(max(number), 0) FROM {name}") for name in ("decisions", "documents")]
            numbers = [number for found in last for (number,) in found]
            row = (line.key, to_json(line.content), line.person, line.at, *numbers, line.undoes)
            file.execute(f"INSERT INTO classes ({CLASS_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", row)
        self.replay()

    def remember(self, name: str, value: str | None = None) -> str | None:
        """Set a value of the project, unless it is None; returns the value that is there, if any."""
        with self._transaction() as file:
            if value is not None:
                file.execute("INSERT OR REPLACE INTO project VALUES (?, ?)", (name, value))
            found = file.execute("SELECT value FROM project WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def token(self, person: str) -> str:
        """The token of a person, made at the first call; the address stays the same after a restart."""
        with self._transaction() as file:
            file.execute("INSERT OR IGNORE INTO people VALUES (?, ?)", (person, secrets.token_urlsafe(24)))
            (token,) = file.execute("SELECT token FROM people WHERE name = ?", (person,)).fetchone()
        return str(token)

    def ask(self, people: int, share: float) -> None:
        """Have a share of the documents answered by this many people each, from now on."""
        self.remember("overlap", json.dumps([people, share]))
        self.replay()

    def wanted(self, document: str) -> int:
        """How many people are to answer a document."""
        people, share = self._overlap
        return people if people > 1 and place(document, "overlap") < share else 1

    # Documents

    def add(self, documents: Sequence[StoredDocument]) -> Counter[str]:
        """Add the documents whose text is new.

        A document of a queue gets its place there, whether it is new or not. An id that another text has is replaced.

        Returns:
            How many were `new`, `known` and `renamed`.
        """
        counts: Counter[str] = Counter()
        with self._transaction() as file:
            hashes = {digest for (digest,) in file.execute("SELECT sha256 FROM documents")}
            ids = {name for (name,) in file.execute("SELECT id FROM documents")}
            for one in documents:
                digest, line = text_hash(one.text), to_json(one.suggested or None)
                if digest in hashes:
                    counts["known"] += 1
                    if one.place is not None:
                        change = "UPDATE documents SET place = ?, suggested = ? WHERE sha256 = ?"
                        file.execute(change, (one.place, line, digest))
                    continue
                name = one.id
                if name in ids:
                    name = f"{one.id} {digest[:8]}"
                    counts["renamed"] += 1
                counts["new"] += 1
                hashes.add(digest)
                ids.add(name)
                file.execute(
                    "INSERT INTO documents (id, sha256, text, group_name, given, place, suggested)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (name, digest, one.text, one.group, to_json(one.given), one.place, line),
                )
        self.replay()
        return counts

    def document(self, name: str) -> StoredDocument | None:
        """The document with this id."""
        with self._lock:
            return next(map(self._document, self._file.execute("SELECT * FROM documents WHERE id = ?", (name,))), None)

    def documents(self, after: int = 0, most: int = -1) -> list[StoredDocument]:
        """Documents with a higher number than `after`, in order; with their texts, so not all of them at once."""
        with self._lock:
            query = "SELECT * FROM documents WHERE number > ? ORDER BY number LIMIT ?"
            return [*map(self._document, self._file.execute(query, (after, most)))]

    def outline(self) -> list[StoredDocument]:
        """All documents in order, without their texts."""
        with self._lock:
            query = "SELECT number, id, sha256, '', group_name, given, place, suggested FROM documents ORDER BY number"
            return [*map(self._document, self._file.execute(query))]

    # Decisions

    def decide(self, *decisions: Decision) -> Decision:
        """Append decisions, all or none, unless they are there by their keys; returns the first, with its number."""
        with self._transaction() as file:
            for one in decisions:
                (digest,) = file.execute("SELECT sha256 FROM documents WHERE id = ?", (one.document,)).fetchone()
                row = (
                    one.key, one.document, digest, one.kind.value, to_json(one.tags), one.note,
                    to_json(one.suggestion), one.rank(self.history.task is Task.multi_label), one.reason, one.person,
                    one.at, one.undoes, one.helped, one.source, one.alike,
                )  # fmt: skip
                file.execute(f"INSERT OR IGNORE INTO decisions ({WRITTEN}) VALUES ({', '.join('?' * len(row))})", row)
            query = f"SELECT {COLUMNS} FROM decisions WHERE key = ?"
            found = self._decision(file.execute(query, (decisions[0].key,)).fetchone())
        with self._lock:
            for one in decisions:
                self._refresh(one.document)
        return found

    def undo(self, key: str, person: str, at: float) -> Decision | None:
        """Take back a person's last decision that they have not taken back, with those that were made together with it.

        Returns:
            That decision, on the document that was shown; None without one.
        """
        with self._lock:
            before = f"SELECT {COLUMNS} FROM decisions WHERE number = (SELECT undoes FROM decisions WHERE key = ?)"
            if (sent_before := self._file.execute(before, (key,)).fetchone()) is not None:
                return self._decision(sent_before)
            own = f"SELECT {COLUMNS} FROM decisions WHERE person = ? AND {COUNTED}"
            row = self._file.execute(f"{own} ORDER BY number DESC LIMIT 1", (person,)).fetchone()
            if row is None:
                return None
            together = [self._decision(row)]
            if alike := together[0].alike:
                rows = self._file.execute(f"{own} AND alike = ? ORDER BY number", (person, alike))
                together = [*map(self._decision, rows)]
            keys = [key, *(f"{key} {i}" for i in range(1, len(together)))]
            self.decide(
                *(
                    Decision(name, one.document, Kind.undo, person, at, undoes=one.number)
                    for name, one in zip(keys, together, strict=True)
                )
            )
            return together[0]

    def log(self, document: str | None = None, every: bool = False) -> list[Decision]:
        """All decisions, or those on one document, in order; those that were undone only where `every` is set."""
        counted = "kind != 'undo'" if every else COUNTED
        where, values = ("", ()) if document is None else ("AND document = ?", (document,))
        query = f"SELECT {COLUMNS} FROM decisions WHERE {counted} {where} ORDER BY number"
        with self._lock:
            return [*map(self._decision, self._file.execute(query, values))]

    def replay(self) -> None:
        """Derive the classes and all states again."""
        with self._lock:
            rows = self._file.execute(f"SELECT {CLASS_COLUMNS} FROM classes ORDER BY number")
            self.history = History([*map(class_change_of, rows)], Task(self.remember("task") or Task.single_label))
            found = self.remember("overlap")
            self._overlap: tuple[int, float] = tuple(json.loads(found)) if found else (1, 1.0)
            (documents,) = self._file.execute("SELECT count(*) FROM documents").fetchone()
            by_document: defaultdict[str, list[Decision]] = defaultdict(list)
            for decision in self.log():
                by_document[decision.document].append(decision)
            given_again = [one.id for one in self.outline() if one.again]
            tally = Tally(documents, {name for (name,) in self._file.execute(GIVEN)} - {*given_again})
            states = {}
            for name, decisions in by_document.items():
                if (state := state_of(decisions, self.wanted(name))) is not None:
                    states[name] = state
                    tally.change(name, None, state)
            self.states, self.tally = states, tally
            self.again = [*given_again, *(name for name, state in states.items() if state.again)]

    def _refresh(self, document: str) -> None:
        state = state_of(self.log(document), self.wanted(document))
        self.tally.change(document, self.states.get(document), state)
        if state is None:
            self.states.pop(document, None)
        else:
            self.states[document] = state

    def progress(self, person: str) -> dict[str, Any]:
        """How many documents there are, by status, what is left for a person, and how many tags an hour they set."""
        with self._lock:
            return self.tally.progress(person)

    def snapshot(self) -> dict[str, State]:
        """A copy of the states that other threads may read while decisions arrive."""
        with self._lock:
            return dict(self.states)

    def _document(self, row: Sequence[Any]) -> StoredDocument:
        return document_of(row, self.history)

    def _decision(self, row: Sequence[Any]) -> Decision:
        return decision_of(row, self.history)
