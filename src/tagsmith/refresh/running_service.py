"""What the running service serves, asked over HTTP: `GET /deployments` of scripts/serve.py."""

import os
import time
from typing import Any

import requests

from tagsmith.classify.bundle.contents import MANIFEST
from tagsmith.config.settings.refresh import RunningService
from tagsmith.core.errors import SettingsError
from tagsmith.core.files import digest
from tagsmith.refresh.store import Version

KEYS = "TAGSMITH_API_KEYS"
"""The environment variable that the service reads too: API keys, separated by commas; the first is sent."""

ANSWER_SECONDS = 5.0
"""Longest wait for one answer."""

PAUSE_SECONDS = 0.2
"""Time between two questions."""


class Service:
    """The deployment that serves the store.

    Attributes:
        silence: why the last question has got no usable answer; "" if it has.
        refused: whether the deployment has refused the bundle that `wait_for` waits for.
    """

    def __init__(self, settings: RunningService):
        assert settings.url is not None
        self._name, self._seconds = settings.deployment, settings.seconds
        self._url = f"{settings.url.rstrip('/')}/deployments"
        self._session = requests.Session()
        if keys := [key for part in os.environ.get(KEYS, "").split(",") if (key := part.strip())]:
            self._session.headers["Authorization"] = f"Bearer {keys[0]}"
        self.silence, self.refused = "", False

    def deployment(self) -> dict[str, Any] | None:
        """What the service says about the deployment; None: no usable answer, which may change by itself.

        Raises:
            SettingsError: the address, the key or the name of the deployment is wrong.
        """
        self.silence = ""
        try:
            answer = self._session.get(self._url, timeout=min(ANSWER_SECONDS, self._seconds), allow_redirects=False)
        except ValueError as error:  # Of requests: an address without a scheme or a host.
            raise SettingsError(f"serve.url: expected an address such as http://127.0.0.1:8765: {error}") from error
        except requests.RequestException as error:
            self.silence = f"{self._url} does not answer ({type(error).__name__})"
            return None
        if answer.status_code in (401, 403):
            raise SettingsError(f"serve.url: {self._url} refuses the key; expected one of its keys in {KEYS}.")
        if answer.status_code == 429 or answer.status_code >= 500:
            self.silence = f"{self._url} answers with {answer.status_code}"
            return None
        try:
            listed = {str(one["name"]): one for one in answer.json()["deployments"]} if answer.ok else None
        except (ValueError, KeyError, TypeError):
            listed = None
        if listed is None:
            raise SettingsError(
                f"serve.url: {self._url}: expected the deployments of scripts/serve.py, found another answer "
                f"({answer.status_code})."
            )
        if self._name not in listed:
            raise SettingsError(f"serve.deployment: expected one of {', '.join(listed)}, found {self._name}.")
        return dict(listed[self._name])

    def attention(self) -> list[str]:
        """Which bounds the documents of the deployment have passed, a sentence each; none where it does not answer.

        Raises:
            SettingsError: as `deployment`.
        """
        found = (self.deployment() or {}).get("attention") or []
        return [str(one["sentence"]) for one in found]

    def wait_for(self, version: Version, refused_before: bool) -> str:
        """Wait until the deployment serves the bundle of this version.

        Args:
            refused_before: whether it had refused a bundle before the link was moved.

        Returns:
            "" if it does; otherwise why not, at once where it refuses the bundle, or after `serve.seconds`.
        """
        expected, until = _digest(version), time.monotonic() + self._seconds
        while True:
            found = self.deployment()
            if found is not None and found.get("version") == expected:
                return ""
            if found is not None and found.get("newer_refused") and not refused_before:
                self.refused = True
                return f"{self._url} refuses it, see the log of the service"
            if time.monotonic() > until:
                serves = found and found.get("version")
                why = self.silence or f"{self._url} serves {serves or 'no bundle'}, not {expected}"
                return f"after {self._seconds:g} seconds {why}"
            time.sleep(PAUSE_SECONDS)


def _digest(version: Version) -> str:
    """The version of the bundle as the service names it: 12 hex digits of the SHA-256 of its manifest."""
    return digest(version.bundle / MANIFEST)[:12]
