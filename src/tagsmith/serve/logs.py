"""The log as lines of JSON, without the text of documents."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from tagsmith.serve.gate import frames

FIELDS = ("route", "method", "status", "seconds", "reason", "stack", "text", "classes", "deployment")
"""Fields that a record may have in addition to its message."""


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[1] is not None:
            line |= {"error": type(record.exc_info[1]).__name__, "stack": frames(record.exc_info[1])}
        return json.dumps(line, ensure_ascii=True)


def log_as_json() -> None:
    """Write the logs of the package and of the server to stderr as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (
        ("tagsmith", logging.INFO),
        *((name, logging.WARNING) for name in ("uvicorn", "asyncio", "opentelemetry")),
    ):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(level)
