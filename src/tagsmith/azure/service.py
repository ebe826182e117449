"""HTTP to Azure: the key, retries, the links to jobs and further pages, and errors in words."""

import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from tagsmith.core.errors import DataError, InputMissing, SettingsError, TryAgainLater

log = logging.getLogger("tagsmith")

Json = dict[str, Any]

KEY = "AZURE_LANGUAGE_KEY"
"""The environment variable of the key."""

HEADER = "Ocp-Apim-Subscription-Key"

SECONDS = 120
"""Timeout of a request: exports of large projects are slow."""

POLL_SECONDS = 5.0
"""Between two polls of a job, where Azure does not say how long (as its own client does)."""

PATIENCE = 3600.0
"""Seconds after which a job that has not ended is left for the next start of the command."""

RETRIES = Retry(
    total=6,
    connect=2,
    backoff_factor=1.0,
    status_forcelist=(408, 429, 500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
    retry_after_max=300,
)
"""Waits 0, 2, 4, 8, 16 and 32 seconds between attempts, or as long as Azure asks for (`Retry-After`); a host that
cannot be reached is tried three times.

POST is sent again too, as by Azure's client: a request whose answer was lost may then be counted twice.
"""

ENDED = ("succeeded", "partiallyCompleted", "failed", "cancelled")
RUNNING = ("notStarted", "running", "cancelling")

CONTINUES = "what was taken is kept: the same command continues from here"


def session() -> requests.Session:
    """A session that repeats what failed in passing, and leaves out of the log what may be a password in an address."""
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    found = requests.Session()
    for scheme in ("http://", "https://"):
        found.mount(scheme, HTTPAdapter(max_retries=RETRIES))
    return found


class Service:
    """A Language resource of Azure.

    Args:
        endpoint: its address. Links in answers are followed there whatever host they name, so that the key goes to no
            other one, and a proxy in between is used for all requests.

    Raises, from every call:
        SettingsError: the key is rejected.
        InputMissing: there is no such project, model, deployment or job.
        DataError: the request is rejected, or the answer is not as documented.
        TryAgainLater: there is no answer, or too many requests, after several attempts.
    """

    def __init__(self, endpoint: str, key: str):
        self.endpoint = endpoint.rstrip("/")
        self._session = session()
        self._session.headers[HEADER] = key

    def get(self, place: str, **query: str) -> Json:
        """The JSON object at a path, or at a link of an earlier answer."""
        return self._object(self._send("GET", place, query))

    def pages(self, place: str, **query: str) -> list[Json]:
        """All pages of a list, which follow each other by `nextLink`; each has its items in `value`."""
        pages = [self.get(place, **query)]
        while link := pages[-1].get("nextLink"):
            pages.append(self.get(link))
        for page in pages:
            if not isinstance(page.get("value"), list):
                raise DataError(f"{self.endpoint}: expected a list `value` from {_path(place)}, found {_shown(page)}.")
        return pages

    def start(self, place: str, content: Json | None = None, **query: str) -> str:
        """Start a job; returns the link to it."""
        answer = self._send("POST", place, query, content)
        link = answer.headers.get("Operation-Location")
        if answer.status_code != 202 or not link:
            raise DataError(
                f"{self.endpoint}: expected status 202 with Operation-Location from {_path(place)}, found "
                f"{answer.status_code} {'with' if link else 'without'} it."
            )
        return link

    def ended(self, link: str) -> Json:
        """The state of a job when it has ended, polled as often as Azure asks for."""
        started = time.monotonic()
        while True:
            answer = self._send("GET", link, {})
            state = self._object(answer)
            status = state.get("status")
            if status in ENDED:
                return state
            if status not in RUNNING:
                known = ", ".join((*RUNNING, *ENDED))
                raise DataError(f"{self.endpoint}: expected a job that is {known}, found {status!r} at {_path(link)}.")
            if time.monotonic() - started > PATIENCE:
                raise TryAgainLater(
                    f"{self.endpoint}: the job {_path(link)} is {status} after {PATIENCE:,.0f} s; {CONTINUES}."
                )
            time.sleep(_wait(answer))

    def _send(
        self, method: str, place: str, query: Mapping[str, str], content: Json | None = None
    ) -> requests.Response:
        parts = urlsplit(place)
        url = f"{self.endpoint}{parts.path}{f'?{parts.query}' if parts.query else ''}"
        try:
            answer = self._session.request(
                method, url, params=query or None, json=content, timeout=SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            raise TryAgainLater(
                f"{self.endpoint}: no answer to {method} {parts.path} ({type(error).__name__}); {CONTINUES}."
            ) from error
        if answer.status_code < 300:
            return answer
        said = f"{self.endpoint}: status {answer.status_code} from {method} {parts.path}: {_error(answer)}"
        if answer.status_code in (401, 403):
            raise SettingsError(f"{said}; is the key in {KEY} one of this resource, and still valid? {CONTINUES}.")
        if answer.status_code == 404:
            raise InputMissing(f"{said}.")
        if answer.status_code in RETRIES.status_forcelist:
            raise TryAgainLater(f"{said}; {CONTINUES}.")
        raise DataError(f"{said}.")

    def _object(self, answer: requests.Response) -> Json:
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            path = urlsplit(answer.url).path
            raise DataError(f"{self.endpoint}: expected a JSON object from {path}, found {answer.text[:80]!r}.")
        return content


def errors_of(state: Json) -> str:
    """The errors of a job that has failed, in words."""
    errors = state.get("errors")
    return "; ".join(map(_shown, errors)) if isinstance(errors, list) and errors else "no reason given"


def _wait(answer: requests.Response) -> float:
    """Seconds until the next poll."""
    try:
        asked = RETRIES.parse_retry_after(answer.headers["Retry-After"])
    except (KeyError, InvalidHeader):
        return POLL_SECONDS
    return max(asked, 0.1)


def _error(answer: requests.Response) -> str:
    """The reason that Azure gives for an HTTP error."""
    try:
        return _shown(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return "no reason given"


def _shown(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)[:300]
    inner = error.get("innererror")
    parts = [error.get("code"), error.get("message"), inner.get("message") if isinstance(inner, dict) else None]
    return ": ".join(str(part).rstrip(".") for part in parts if part)[:300] or str(list(error))[:300]


def _path(place: str) -> str:
    return urlsplit(place).path
