"""The state and the history of a store, as text."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from tagsmith.core.errors import counted
from tagsmith.refresh.lock import describe, holder, was_killed
from tagsmith.refresh.store import Json, Store, Version

LINES = 40
"""Most lines of the history that are shown."""


def status_text(store: Store) -> str:
    """What is in production, what came of the last refresh, and what the store holds."""
    history = store.read_history()
    current = store.current()
    versions = store.versions()
    lines = [f"store: {store.path}", f"production: {_production(store, current)}"]
    refreshes = [line for line in history if line.get("action", "refresh") == "refresh"]
    if refreshes:
        last = refreshes[-1]
        lines.append(f"last refresh: {last['ended'] or last['started']}, {_words(last['outcome'])}: {last['sentence']}")
        ended = [line for line in refreshes if line["status"] in (0, 3, 4)]
        lines.append(f"last refresh without an error: {ended[-1]['ended'] if ended else 'none'}")
    else:
        lines.append("last refresh: none")
    lines.append(f"versions: {', '.join(_marked(one, current) for one in versions) or 'none'}")
    sizes = sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file() and not path.is_symlink())
    lines.append(f"size: {sizes / 2**20:,.0f} MiB")
    tests = {path.stem: _lines(path) for path in sorted(store.test.glob("*.jsonl"), reverse=True)}
    named = ", ".join(f"{name} {count:,}" for name, count in tests.items())
    lines.append(f"test documents: {counted(sum(tests.values()), 'document')}{f' ({named})' if named else ''}")
    if (who := holder(store)) is not None:
        killed = " and was killed; the next refresh carries on" if was_killed(who) else ""
        lines.append(f"{describe(who)}{killed}")
    return "\n".join(lines)


def _production(store: Store, current: Version | None) -> str:
    if current is None:
        return "none yet"
    return f"version {current.name}, {current.bundle} (link: {store.link})"


def _marked(version: Version, current: Version | None) -> str:
    marks = ["in production"] * (current is not None and version.name == current.name)
    marks += ["pinned"] * version.pin.is_file() + ["unfinished"] * (not version.finished)
    return version.name + (f" ({', '.join(marks)})" if marks else "")


def _lines(path: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return sum(1 for _ in file)


def history_text(store: Store) -> str:
    """The last lines of the history as a table, the newest last."""
    table = Table(box=None, pad_edge=False)
    for name in ("started", "seconds", "outcome", "status", "version", "production", "why"):
        table.add_column(name, overflow="fold")
    for line in store.read_history()[-LINES:]:
        table.add_row(*_row(line))
    console = Console(width=max(Console().width, 160))
    with console.capture() as shown:
        console.print(table)
    return shown.get().rstrip("\n")


def _row(line: Json) -> list[str]:
    found = [line.get(name) for name in ("started", "seconds", "outcome", "status", "version", "production")]
    sentence = str(line.get("sentence", "")).partition("\n")[0]
    if line.get("action") not in (None, "refresh"):
        sentence = f"action={line['action']}: {sentence}"
    return ["-" if one is None else _words(str(one)) for one in found] + [sentence]


def _words(outcome: str) -> str:
    return outcome.replace("_", " ")
