"""Chromium without a window, for the tests marked `browser`."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
AXE = Path(os.environ.get("AXE", Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"))
"""axe-core (MPL-2.0), from npm: `npm install --no-save --no-package-lock axe-core@4`."""
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def started_browser(profile: Path) -> Iterator[Any]:
    """A selenium driver that keeps the logs of the console and of all requests; `profile` is an empty folder."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # A proxy of the environment must not stand between selenium and the driver.
    service = webdriver.ChromeService(DRIVER, env={**os.environ, "no_proxy": "127.0.0.1,localhost"})
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def violations(driver: Any) -> list[str]:
    """What axe finds wrong with the page as it is shown, with the elements."""
    found = driver.execute_async_script(
        AXE.read_text(encoding="utf-8")
        + "; const done = arguments[arguments.length - 1]; axe.run().then((found) => done(found.violations.map("
        "(one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 100)).join(' ')}`)));"
    )
    return list(map(str, found))
