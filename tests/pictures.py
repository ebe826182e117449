"""The pictures of the tagging page's README, of a project that is tagged and trained for them: `make pictures`."""

import itertools
import json
import secrets
import tempfile
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

from selenium.webdriver.support.expected_conditions import text_to_be_present_in_element
from selenium.webdriver.support.ui import WebDriverWait

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import TagRun
from tagsmith.tag import app
from tests.browser import started_browser
from tests.tagging import Page, page

FOLDER = Path(__file__).parents[1] / "src" / "tagsmith" / "tag" / "pictures"

SIZE = (1000, 620)
"""Pixels."""


@script("tag")
def main(settings: TagRun) -> None:
    """Tag half of the documents of a new project, train, and save pictures; one that is trained is only shown."""
    given = files("tagsmith.data").joinpath("support_tickets.jsonl").read_text(encoding="utf-8").splitlines()
    tickets = {ticket["id"]: ticket for ticket in map(json.loads, given)}
    with tempfile.TemporaryDirectory() as place:
        pool = Path(place) / "tickets.jsonl"
        lines = ({"id": name, "text": ticket["text"]} for name, ticket in tickets.items())
        pool.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        with page(replace(settings, pool=str(pool))) as running:
            if running.ask("training")["state"] == "none":
                _tag_and_train(running, tickets)
            with started_browser(Path(place) / "profile") as browser:
                _save(browser, running.address)


def _tag_and_train(running: Page, tickets: dict[str, Any]) -> None:
    while "reading" in running.ask("project")["status"]:
        time.sleep(0.5)
    version = running.ask("project")["classes_version"]
    clock = itertools.count(time.time(), 12.0)  # A person needs so many seconds for a document.
    with patch.object(app, "time", Mock(time=lambda: next(clock))):
        _tag(running, tickets, version)
    running.ask("train", {"resume": False})


def _tag(running: Page, tickets: dict[str, Any], version: int) -> None:
    for _ in range(50):
        for one in running.ask("next", {"count": 3})["documents"]:
            decision = {"key": secrets.token_hex(16), "document": one["id"], "kind": "tag", "classes": version}
            running.ask("decisions", decision | {"tags": tickets[one["id"]]["labels"], "reason": one["reason"]})


def _save(browser: Any, address: str) -> None:
    wait = WebDriverWait(browser, 1200)
    size = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(address)
    wait.until(lambda _: browser.find_elements("css selector", "#suggestions button"))
    browser.save_screenshot(str(FOLDER / "tag.png"))
    for view, word in {"schema": "billing", "training": "Finished", "stop": "%"}.items():
        browser.find_element("css selector", f"nav [data-view={view}]").click()
        wait.until(text_to_be_present_in_element(("id", view), word))
        browser.save_screenshot(str(FOLDER / f"{view}.png"))


if __name__ == "__main__":
    main()
