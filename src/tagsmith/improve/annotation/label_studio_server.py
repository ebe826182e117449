"""Label Studio's API: a project by its title, its tasks page by page, new ones for documents that it has not."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tagsmith.config.settings import LabelStudioRun
from tagsmith.core.errors import DataError, InputMissing, SettingsError, TryAgainLater, listing
from tagsmith.core.progress import meter
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.improve.annotation import label_studio
from tagsmith.improve.annotation.annotate_run import model_name, queues, write_tags
from tagsmith.improve.annotation.queue import read_questions, same_document

TOKEN = "LABEL_STUDIO_TOKEN"
PAGE = 100
"""Tasks a request."""
SECONDS = 60
"""Longest wait for an answer."""
EXCHANGE = "/api/token/refresh"
"""Where a personal access token is exchanged."""


class Server:
    """A running Label Studio.

    Raises, from every call:
        TryAgainLater: it does not answer.
        SettingsError: it refuses, such as for a wrong token.
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
        """A personal access token is exchanged for one that lasts minutes; an old one is used as it is."""
        self.session.headers.pop("Authorization", None)
        access = self.call("POST", EXCHANGE, json={"refresh": self.token})["access"]
        self.session.headers["Authorization"] = f"Bearer {access}"

    def _send(self, method: str, path: str, given: dict[str, Any]) -> requests.Response:
        try:
            return self.session.request(method, self.url + path, timeout=SECONDS, **given)
        except requests.RequestException as error:
            raise TryAgainLater(f"url={self.url}: no answer: {type(error).__name__}; is the server running?") from error

    def call(self, method: str, path: str, **given: Any) -> Any:
        """The answer of the server, from JSON."""
        answer = self._send(method, path, given)
        if answer.status_code == 401 and self.personal and path != EXCHANGE:
            self._exchange()  # Those minutes are over.
            answer = self._send(method, path, given)
        if answer.status_code >= 500:
            raise TryAgainLater(f"url={self.url}: status {answer.status_code} of {method} {path}; its log says why.")
        if answer.status_code in (401, 403):
            raise SettingsError(
                f"url={self.url}: the server refuses the token of {TOKEN} (status {answer.status_code})."
            )
        try:
            content = answer.json()
        except ValueError as error:
            raise SettingsError(f"url={self.url}: expected Label Studio, found no JSON at {path}.") from error
        if answer.status_code >= 400:
            # What else it says may repeat what it was sent: text of documents.
            said = str(content.get("detail"))[:300] if isinstance(content, dict) else "no reason given"
            raise SettingsError(f"url={self.url}: status {answer.status_code} of {method} {path}: {said}")
        return content

    def project(self, title: str) -> dict[str, Any] | None:
        """The project of this title; None: there is none.

        Raises:
            SettingsError: there are several.
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
                f"project={title}: the server has {len(found)} projects of this title; rename all but one."
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
    """Make tasks of the queues' documents; what the project has already stays as it is.

    Returns:
        Where the project is, how many tasks were made, and how many documents had one.

    Raises:
        SettingsError: the project's interface has no choices for the classes, or of the other kind.
        DataError: the project has ids of the queues with other texts, such as of an earlier pool.
    """
    run = RunFolder(Path(settings.run))
    run.require()
    schema = Schema.load(run.schema)
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
        what = f"project={settings.project}: has these ids with other texts; push to another project:"
        raise DataError(listing(what, other))
    fresh = [one for one in questions if one.id not in known]
    if fresh and (wider := label_studio.widened(project["label_config"], schema.classes, schema.multi_label)):
        # New classes are offered from now on; tasks, annotations and what else the interface has stay.
        server.call("PATCH", f"/api/projects/{project['id']}", json={"label_config": wider})
    with meter("push", len(fresh), "tasks") as bar:
        for start in range(0, len(fresh), PAGE):
            batch = fresh[start : start + PAGE]
            tasks = label_studio.tasks(batch, model_name(run))
            server.call("POST", f"/api/projects/{project['id']}/import", json=tasks)
            bar.advance(len(batch))
    return f"{server.url}/projects/{project['id']}", len(fresh), len(questions) - len(fresh)


def pull(settings: LabelStudioRun) -> tuple[Path, dict[str, int]]:
    """Write the tags that people have given in the project; see `stage.write_tags`.

    Raises:
        InputMissing: the server has no such project.
    """
    run = RunFolder(Path(settings.run))
    run.require()
    server = Server(settings.url, _token())
    project = server.project(settings.project)
    if project is None:
        raise InputMissing(f"project={settings.project}: no such project at {server.url}; push makes it.")
    answers = label_studio.answers(list(server.tasks(project["id"])))
    return write_tags(
        answers, settings, run, Schema.load(run.schema), "label_studio", f"{server.url}, {settings.project}"
    )


def _token() -> str:
    if not (token := os.environ.get(TOKEN, "").strip()):
        raise SettingsError(
            f"{TOKEN}: expected the token of a person in the environment (Label Studio: Account & Settings)."
        )
    return token
