"""The tables of `tags.sqlite`, and what their rows mean."""

import json
from collections.abc import Sequence
from typing import Any

from tagsmith.tag.classes import ClassChange, History
from tagsmith.tag.decisions import Decision, Kind, StoredDocument

LAYOUT = 2
"""Version of the tables; a file with a later version is refused, one with an earlier version gets what it lacks."""

TABLES = """
CREATE TABLE IF NOT EXISTS project (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS people (name TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS classes (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL, person TEXT NOT NULL, at REAL NOT NULL, decisions INTEGER NOT NULL,
    documents INTEGER NOT NULL, undoes INTEGER UNIQUE);
CREATE TABLE IF NOT EXISTS documents (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, sha256 TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL, group_name TEXT, given TEXT, place INTEGER, suggested TEXT);
CREATE TABLE IF NOT EXISTS decisions (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL REFERENCES documents (id), sha256 TEXT NOT NULL, kind TEXT NOT NULL, tags TEXT, note TEXT,
    suggestion TEXT, rank INTEGER, reason TEXT, person TEXT NOT NULL, at REAL NOT NULL, undoes INTEGER UNIQUE,
    helped INTEGER, source TEXT, alike TEXT);
CREATE INDEX IF NOT EXISTS decisions_of_document ON decisions (document);
CREATE INDEX IF NOT EXISTS decisions_of_person ON decisions (person);
"""

CLASS_COLUMNS = "number, key, content, person, at, decisions, documents, undoes"

COLUMNS = "number, key, document, kind, tags, note, suggestion, reason, person, at, undoes, helped, source, alike"

WRITTEN = "key, document, sha256, kind, tags, note, suggestion, rank, reason, person, at, undoes, helped, source, alike"

LATER = {"helped": "INTEGER", "source": "TEXT", "alike": "TEXT"}
"""Columns of `decisions` that files of before lack, with their types."""

COUNTED = "kind != 'undo' AND NOT EXISTS (SELECT 1 FROM decisions AS later WHERE later.undoes = decisions.number)"
"""The decisions that were not undone."""

GIVEN = "SELECT id FROM documents WHERE given IS NOT NULL AND place IS NULL"
"""The documents that came with tags and are in no queue: they are shown only to a person who looks for them."""


def to_json(value: Any) -> str | None:
    """What a column of JSON holds."""
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _tuple(text: str | None) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text else ()


def class_change_of(row: Sequence[Any]) -> ClassChange:
    """A row of `CLASS_COLUMNS`."""
    number, key, content, person, at, decisions, documents, undoes = row
    return ClassChange(key, json.loads(content), person, at, decisions, documents, undoes, number)


def document_of(row: Sequence[Any], history: History) -> StoredDocument:
    """A row of `documents`, by the names that classes have now."""
    number, name, _, text, group, given, place, suggested = row
    tags, again = (None, None) if given is None else history.of_document(_tuple(given), number)
    line = history.suggestion(json.loads(suggested), number) if suggested else {}
    return StoredDocument(name, text, group, tags if again is None else None, place, line, number, again)


def decision_of(row: Sequence[Any], history: History) -> Decision:
    """A row of `COLUMNS`, by the names that classes have now."""
    number, key, document, kind, tags, note, suggestion, reason, person, at, undoes, helped, source, alike = row
    now, again = history.of_decision(_tuple(tags), number)
    shown, _ = history.of_decision(_tuple(suggestion), number)
    with_them = bool(shown) if helped is None else bool(helped)
    first = (key, document, Kind(kind), person, at, now, note, shown, reason, undoes, number)
    return Decision(*first, with_them, again, source or "", alike or "")
