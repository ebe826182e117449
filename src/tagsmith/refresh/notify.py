"""Tells the outcome of a refresh: to a command, and to a webhook. What fails here is recorded and changes nothing.

A webhook gets `POST` with the record as JSON, and these headers; without TAGSMITH_WEBHOOK_SECRET, without the last one:

    X-Tagsmith-Timestamp: 1764425528             seconds since 1970
    X-Tagsmith-Signature-256: sha256=HEX         HMAC-SHA-256, with the secret, of the timestamp, a point, and the body
"""

import contextlib
import hashlib
import hmac
import json
import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tagsmith.config.settings import RefreshRun
from tagsmith.config.settings.fields import names
from tagsmith.core.errors import QUOTED, TagsmithError
from tagsmith.refresh.store import Json

log = logging.getLogger("tagsmith")

TEXTS = {"text", "texts", "examples"}
"""Fields that may hold texts of documents, which do not leave the machine."""

FIRST_ERROR = 64
"""The lowest status of an error."""

RETRIES = Retry(
    total=4,
    backoff_factor=1.0,
    status_forcelist=(408, 425, 429, 500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
    retry_after_max=60,
)
"""Waits 0, 2, 4 and 8 seconds between five attempts, or as long as the answer asks for, up to a minute."""

SHOWN = 2_000
"""Characters of a command's output that the log keeps."""


def notify(settings: RefreshRun, record: Mapping[str, Any]) -> list[Json]:
    """Tell the outcome to whom the settings name; returns what came of it, one entry for each, for the record.

    Never raises an error of a command or a webhook.
    """
    if record["outcome"] not in names(settings.notify.on):
        return []
    ways: dict[str, tuple[str | None, Callable[[RefreshRun, str], str]]] = {
        "command": (settings.notify.command, _command),
        "webhook": (settings.notify.webhook, _webhook),
    }
    body = json.dumps(without_texts(record), ensure_ascii=False)
    found: list[Json] = []
    for name, (target, tell) in ways.items():
        if not target:
            continue
        start = time.monotonic()
        try:
            problem = tell(settings, body)
        except Exception as error:  # Whatever it is: production has been decided about.
            problem = f"{type(error).__name__}: {error}"
        seconds = round(time.monotonic() - start, 3)
        found.append({"to": name, "ok": not problem, "seconds": seconds, **({"problem": problem} if problem else {})})
        if problem:
            log.warning("notify.%s: %s", name, problem)
    return found


def without_texts(record: Mapping[str, Any]) -> Json:
    """The record without texts of documents: without fields that may hold some, and without what errors quote."""
    found: Json = _without_fields(record)
    if isinstance(sentence := found.get("sentence"), str) and (record.get("status") or 0) >= FIRST_ERROR:
        # An error lists what it has found below its first line.
        found["sentence"] = re.sub(QUOTED, "'...'", sentence.partition("\n")[0])
        if record["status"] == TagsmithError.exit_status:
            found["sentence"] = f"{sentence.partition(':')[0]}: a bug, see refresh.log"
    return found


def _without_fields(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _without_fields(value) for name, value in content.items() if name not in TEXTS}
    if isinstance(content, list | tuple):
        return [_without_fields(value) for value in content]
    return content


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `X-Tagsmith-Signature-256`."""
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def _command(settings: RefreshRun, body: str) -> str:
    """Run the shell command; returns what is wrong, "" if nothing."""
    assert settings.notify.command is not None
    # In a session of its own, so that what it has started ends with it.
    process = subprocess.Popen(
        settings.notify.command,
        shell=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(body.encode(), timeout=settings.notify.seconds)
        late = False
    except subprocess.TimeoutExpired as error:
        output, late = error.stdout or b"", True
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    if said := output.decode(errors="replace").strip():
        log.info("notify.command: %s", said[:SHOWN])
    if late:
        return f"did not end within {settings.notify.seconds:g} seconds"
    return f"ended with status {process.returncode}" if process.returncode else ""


def _webhook(settings: RefreshRun, body: str) -> str:
    """Post to the address; returns what is wrong, "" if nothing."""
    assert settings.notify.webhook is not None
    content, timestamp = body.encode(), str(int(time.time()))
    headers = {"Content-Type": "application/json", "User-Agent": "tagsmith", "X-Tagsmith-Timestamp": timestamp}
    if settings.webhook_secret is not None:
        headers["X-Tagsmith-Signature-256"] = signature(settings.webhook_secret, timestamp, content)
    # The path and the query of an address are often a password, and this logger would write them.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=RETRIES))
        try:
            answer = session.post(
                settings.notify.webhook,
                data=content,
                headers=headers,
                timeout=settings.notify.seconds,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError) as error:
            return f"{_host(settings.notify.webhook)}: {type(error).__name__}"
    if answer.status_code < 300:
        return ""
    return f"{_host(settings.notify.webhook)}: answered with {answer.status_code}"


def _host(url: str) -> str:
    """What may be written about an address."""
    try:
        return urlsplit(url).hostname or "?"
    except ValueError:
        return "?"
