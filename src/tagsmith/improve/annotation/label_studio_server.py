"""Label Studio's API: find a project by its title, read its tasks page by page, create tasks for new documents."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tagsmith.config.settings import LabelStudioRun
from tagsmith.core.errors import DataError, InputMissing, SettingsError, TryAgainLater, listing
from tagsmith.core.progress import meter
from tagsmith.improve.annotation import label_studio
from tagsmith.improve.annotation.annotate_run import model_name, open_run, queues, write_tags
from tagsmith.improve.annotation.questions import read_questions, same_document

TOKEN = "LABEL_STUDIO_TOKEN"
PAGE = 100
"""Tasks a request."""
SECONDS = 60
"""Timeout of a request."""
EXCHANGE = "/api/token/refresh"
"""Where a personal access token is exchanged."""


class Server:
    """A running Label Studio.

    Raises, from every call:
        TryAgainLater: the server does not respond.
        SettingsError: the server rejects the request, for example for a wrong token.
    """

    def __init__(self, url: str, token: str):
        self.url = url.rstrip("/")
        self.session = requests.Session()
        self.token, self.personal = token, token.count(".") == 2
        if self.personal:
            self._exchange()
        else:
            self.session.headers["Authorization"] = f"Token {token}"

    def _exchange(self) -> None:
        """Exchange a personal access token for one that is valid for minutes; legacy tokens need no exchange."""
        self.session.headers.pop("Authorization", None)
        access = self.call("POST", EXCHANGE, json={"refresh": self.token})["access"]
        self.session.headers["Authorization"] = f"Bearer {access}"

    def _send(self, method: str, path: str, given: dict[str, Any]) -> requests.Response:
        try:
            return self.session.request(method, self.url + path, timeout=SECONDS, **given)
        except requests.RequestException as error:
            raise TryAgainLater(
                f"url={self.url}: no response ({type(error).__name__}); is the server running?"
            ) from error

    def call(self, method: str, path: str, **given: Any) -> Any:
        """The JSON response of the server."""
        answer = self._send(method, path, given)
        if answer.status_code == 401 and self.personal and path != EXCHANGE:
            self._exchange()  # The token has expired.
            answer = self._send(method, path, given)
        if answer.status_code >= 500:
            raise TryAgainLater(
                f"url={self.url}: status {answer.status_code} from {method} {path}; see the server's log."
            )
        if answer.status_code in (401, 403):
            raise SettingsError(
                f"url={self.url}: the server rejected the token in {TOKEN} (status {answer.status_code})."
            )
        try:
            content = answer.json()
        except ValueError as error:
            raise SettingsError(f"url={self.url}: expected Label Studio, found no JSON at {path}.") from error
        if answer.status_code >= 400:
            # Only `detail`: other fields may repeat the text of documents.
            reason = str(content.get("detail"))[:300] if isinstance(content, dict) else "no reason given"
            raise SettingsError(f"url={self.url}: status {answer.status_code} from {method} {path}: {reason}")
        return content

    def project(self, title: str) -> dict[str, Any] | None:
        """The project with this title; None if there is none.

        Raises:
            SettingsError: several projects have the title.
        """
        found, page = [], 1
        while True:
            answer = self.call("GET", "/api/projects", params={"page": page, "page_size": PAGE, "title": title})
            found += [one for one in answer["results"] if one["title"] == title]
            if not answer.get("next"):
                break
            page += 1
        if len(found) > 1:
            raise SettingsError(
                f"project={title}: the server has {len(found)} projects with this title; rename all but one."
            )
        return found[0] if found else None

    def tasks(self, project: int) -> Iterator[dict[str, Any]]:
        """All tasks of a project, with their annotations and predictions."""
        page = 1
        while True:
            given = {"project": project, "page": page, "page_size": PAGE, "fields": "all"}
            answer = self.call("GET", "/api/tasks", params=given)
            yield from answer["tasks"]
            if page * PAGE >= answer["total"] or not answer["tasks"]:
                return
            page += 1


def push(settings: LabelStudioRun) -> tuple[str, int, int]:
    """Create tasks for the documents of the queues; existing tasks of the project do not change.

    Returns:
        The URL of the project, the number of tasks created, and the number of documents that had one.

    Raises:
        SettingsError: the project's interface has no choices for these classes.
        DataError: the project has ids of the queues with other texts, for example from an earlier pool.
    """
    run, schema = open_run(settings)
    questions = read_questions(queues(settings, run))
    server = Server(settings.url, _token())
    config = label_studio.config(schema.classes, schema.multi_label)
    project = server.project(settings.project)
    if project is None:
        project = server.call("POST", "/api/projects", json={"title": settings.project, "label_config": config})
    known = {
        str(task["data"].get("id")): str(task["data"].get(label_studio.TEXT)) for task in server.tasks(project["id"])
    }
    if other := [one.id for one in questions if one.id in known and not same_document(one.text, known[one.id])]:
        what = f"project={settings.project}: the project has these ids with other texts; push to another project:"
        raise DataError(listing(what, other))
    missing = [one for one in questions if one.id not in known]
    if missing and (
        wider := label_studio.with_missing_classes(project["label_config"], schema.classes, schema.multi_label)
    ):
        # Adds choices; tasks, annotations and the rest of the interface do not change.
        server.call("PATCH", f"/api/projects/{project['id']}", json={"label_config": wider})
    with meter("push", len(missing), "tasks") as bar:
        for start in range(0, len(missing), PAGE):
            batch = missing[start : start + PAGE]
            tasks = label_studio.tasks(batch, model_name(run))
            server.call("POST", f"/api/projects/{project['id']}/import", json=tasks)
            bar.advance(len(batch))
    return f"{server.url}/projects/{project['id']}", len(missing), len(questions) - len(missing)


def pull(settings: LabelStudioRun) -> tuple[Path, dict[str, int]]:
    """Write the tags that annotators gave in the project; see `annotate_run.write_tags`.

    Raises:
        InputMissing: the server has no project with this title.
    """
    run, schema = open_run(settings)
    server = Server(settings.url, _token())
    project = server.project(settings.project)
    if project is None:
        raise InputMissing(f"project={settings.project}: {server.url} has no project with this title; push creates it.")
    answers = label_studio.answers(list(server.tasks(project["id"])))
    return write_tags(answers, settings, run, schema, "label_studio", f"{server.url}, {settings.project}")


def _token() -> str:
    if not (token := os.environ.get(TOKEN, "").strip()):
        raise SettingsError(
            f"{TOKEN}: set this environment variable to your access token (Label Studio: Account & Settings)."
        )
    return token
