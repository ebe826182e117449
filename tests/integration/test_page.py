"""The page in a real browser: it opens from a file, fetches nothing, sorts, filters, searches, opens documents."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import CompareRuns
from tagsmith.core.run import RunFolder
from tagsmith.evaluate.comparison.compare_runs import Comparison, compare_runs
from tagsmith.evaluate.report.page import write_page
from tests.browser import started_browser
from tests.made_runs import HOSTILE, HOSTILE_CLASS, make_run

pytestmark = pytest.mark.browser

TO_INTERACTIVE, TO_ANSWER = 8.0, 2.0
"""Seconds, on a busy machine; alone it is a fifth of that."""


class Page:
    """A browser, and what a person does with it."""

    def __init__(self, driver: Any):
        self.driver = driver
        self.run: Callable[..., Any] = driver.execute_script

    def open(self, path: Path, width: int = 1280, dark: bool = False) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.scheme("dark" if dark else "light")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(path.as_uri())
        self.until("return Boolean(document.documentElement.dataset.ready)")

    def scheme(self, name: str) -> None:
        # What glides to its place cannot be clicked at once.
        features = {"prefers-color-scheme": name, "prefers-reduced-motion": "reduce"}
        media = [{"name": feature, "value": value} for feature, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})

    def until(self, script: str, *words: Any) -> Any:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if found := self.run(script, *words):
                return found
            time.sleep(0.02)
        raise AssertionError(f"not within 30 s: {script}")

    def seconds(self, act: str) -> float:
        """How long an act takes until the table of documents has other rows, and they are laid out."""
        found: float = self.driver.execute_async_script(
            "const done = arguments[0], start = performance.now();"
            "new MutationObserver((_, observer) => {"
            "  observer.disconnect(); document.body.offsetHeight; done((performance.now() - start) / 1000);"
            f"}}).observe(document.querySelector('#document-table tbody'), {{childList: true}}); {act}"
        )
        return found

    def drawn(self, chart: str) -> None:
        self.run("document.getElementById(arguments[0]).scrollIntoView({behavior: 'instant'})", chart)
        self.until("return document.getElementById(arguments[0]).dataset.drawn === 'true'", chart)

    def column(self, table: str, number: int) -> list[str]:
        found: list[str] = self.run(
            "return [...document.querySelectorAll(`#${arguments[0]} > tbody > tr`)].map("
            "row => row.cells[arguments[1]]).map(cell => (cell.querySelector('.number') ?? cell).textContent.trim())",
            table, number,
        )  # fmt: skip
        return found

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector
        )
        return found

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        addresses = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [
            address
            for address in addresses
            if not address.startswith(("data:", "blob:", "chrome:", "chrome-untrusted:"))
        ]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with started_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield Page(driver)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = RunFolder(make_run(tmp_path_factory.mktemp("hostile"), classes=12, documents=600, hostile=True))
    write_page(run)
    return run.page


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = RunFolder(make_run(tmp_path_factory.mktemp("large"), classes=20, documents=10_000, all_wrong=True))
    write_page(run)
    return run.page


def test_it_opens_offline_without_a_complaint(browser: Page, hostile: Path) -> None:
    browser.open(hostile)
    charts = browser.run("return [...document.querySelectorAll('.chart')].map(chart => chart.id)")
    assert {"matrix", "reliability", "coverage", "distribution", "lengths", "learning-curve", "training"} <= set(charts)
    for chart in charts:
        browser.drawn(chart)
        assert browser.run("return document.getElementById(arguments[0]).querySelectorAll('svg').length > 0", chart)
    assert browser.complaints() == []
    assert browser.requests() == [hostile.as_uri()]


def test_documents_and_classes_show_as_text(browser: Page, hostile: Path) -> None:
    browser.open(hostile)
    browser.drawn("matrix")
    browser.run("document.getElementById('missed').scrollIntoView()")
    shown = "".join(browser.texts("#document-table .document .text"))
    assert HOSTILE in shown
    assert HOSTILE_CLASS in browser.texts("#class-table tbody th")
    # plotly takes some tags for its own; a class name is none of them.
    assert any(
        HOSTILE_CLASS.startswith(text.rstrip("…"))
        for text in browser.texts("#matrix .xaxislayer-above text, #matrix text")
    )
    assert (
        browser.run("return document.querySelectorAll('main script:not([type=\"application/json\"]), b').length") == 0
    )
    # What is not the page's own code does not run, even where it gets in.
    browser.run(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert browser.run("return window.ran") is None
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())


def test_a_head_sorts_by_pointer_and_by_keyboard(browser: Page, hostile: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(hostile)
    before = browser.column("class-table", 1)
    assert [int(text.replace(",", "")) for text in before] != sorted(int(text.replace(",", "")) for text in before)
    head = browser.driver.find_element("css selector", "#class-table thead th:nth-child(2)")
    head.click()
    browser.until("return arguments[0].ariaSort === 'ascending'", head)
    numbers = [int(text.replace(",", "")) for text in browser.column("class-table", 1)]
    assert numbers == sorted(numbers)
    button = browser.driver.find_element("css selector", "#class-table thead th:nth-child(6) [tabindex='0']")
    button.send_keys(Keys.ENTER)
    browser.until("return arguments[0].closest('th').ariaSort === 'ascending'", button)
    shares = [float(text.rstrip("%")) for text in browser.column("class-table", 5)]
    assert shares == sorted(shares)
    assert len(set(shares)) > 3


def test_documents_are_filtered_by_pair_searched_and_opened(browser: Page, hostile: Path) -> None:
    browser.open(hostile)
    rows = browser.run("return JSON.parse(document.getElementById('document-rows').textContent)")
    look = browser.driver.find_element("css selector", "#pair-table button.look")
    missed, invented = int(look.get_attribute("data-missed")), int(look.get_attribute("data-invented"))
    names = rows["classes"]
    expected = sum(row["tagged"] == [missed] and row["predicted"] == [invented] for row in rows["rows"])
    browser.run("arguments[0].click()", look)
    assert expected > 0
    assert browser.column("document-table", 1) == [names[missed]] * expected
    assert browser.column("document-table", 2) == [names[invented]] * expected
    assert browser.run("return document.activeElement.id") == "documents-title"
    browser.driver.find_element("css selector", "#filters button").click()
    browser.until("return document.getElementById('missed').value === ''")
    browser.until("return document.querySelectorAll('#document-table > tbody > tr').length > arguments[0]", expected)

    word = rows["rows"][-1]["id"]
    browser.driver.find_element("css selector", "#documents .dt-search input").send_keys(word)
    browser.until("return document.querySelectorAll('#document-table > tbody > tr').length < 12")
    opener = browser.driver.find_element("css selector", "#document-table button.open")
    assert opener.get_attribute("aria-expanded") == "false"
    browser.run("arguments[0].click()", opener)
    opened = browser.driver.find_element("css selector", ".opened")
    assert opener.get_attribute("aria-expanded") == "true"
    found = next(
        row for row in rows["rows"] if row["id"] == opened.find_element("css selector", ".about").text.split(" · ")[0]
    )
    assert opened.find_element("css selector", ".text").get_attribute("textContent") == found["text"]
    marks = [mark.get_attribute("textContent") for mark in opened.find_elements("css selector", "mark")]
    assert marks == [found["text"][start:end] for start, end, _ in found["marks"]]
    scores = [row.text.split() for row in opened.find_elements("css selector", "tbody tr")]
    assert [float(words[-1]) for words in scores] == [score for _, score in found["scores"]]
    browser.run("arguments[0].click()", opener)
    assert not browser.driver.find_elements("css selector", ".opened")


def test_offsets_count_letters_beyond_the_first_plane(browser: Page, tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, documents=60, hostile=True))
    text = "\U0001f600\U0001f600 the word <b>"
    lines = [json.loads(line) for line in run.predictions.read_text().split("\n") if line]
    lines[0]["text"] = text
    run.predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    analysis = json.loads(run.analysis.read_text())
    analysis["explanations"]["documents"] = {lines[0]["id"]: [{"start": 7, "end": 11, "weight": 0.3}]}
    run.analysis.write_text(json.dumps(analysis))
    write_page(run)
    browser.open(run.page)
    assert browser.texts("#document-table mark") == ["word"]


def test_a_cell_of_the_matrix_leads_to_its_documents(browser: Page, hostile: Path) -> None:
    browser.open(hostile)
    browser.drawn("matrix")
    missed, invented = browser.run(
        "const place = document.getElementById('matrix');"
        "const cell = place.data[1].customdata.flat().find(Boolean);"
        "place.emit('plotly_click', {points: [{customdata: cell}]});"
        "return cell.slice(5)"
    )
    names = browser.run("return JSON.parse(document.getElementById('document-rows').textContent).classes")
    assert set(browser.column("document-table", 1)) == {names[missed]}
    assert set(browser.column("document-table", 2)) == {names[invented]}


def test_ten_thousand_rows_stay_fluent(browser: Page, large: Path, capsys: pytest.CaptureFixture[str]) -> None:
    browser.open(large)
    ready = browser.run("return Number(document.documentElement.dataset.ready)") / 1000
    assert browser.texts("#documents .dt-info") == ["1 to 25 of 10,000"]
    assert browser.run("return document.querySelectorAll('#document-table > tbody > tr').length") == 25
    times = {}
    times["sort"] = browser.seconds("document.querySelector('#document-table thead th:nth-child(4)').click()")
    first = [float(text) for text in browser.column("document-table", 3)]
    assert first == sorted(first)
    assert first[-1] < 0.9, "the surest came first before"
    assert browser.texts("#documents .dt-info") == ["1 to 25 of 10,000"]
    search = ("const input = document.querySelector('#documents .dt-search input'); input.value = 'abroad yesterday'; "
              "input.dispatchEvent(new Event('input', {bubbles: true}))")  # fmt: skip
    times["search"] = browser.seconds(search)
    assert "(of 10,000)" in browser.texts("#documents .dt-info")[0]
    assert all(
        "abroad" in text.lower() and "yesterday" in text.lower() for text in browser.texts("#document-table .text")
    )
    times["filter"] = browser.seconds("document.querySelector('#pair-table button.look').click()")
    assert len(set(browser.column("document-table", 1))) == 1
    size = large.stat().st_size / 1e6
    with capsys.disabled():
        times_text = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items())
        print(f"\n10,000 rows, {size:.1f} MB: interactive after {ready:.2f} s; {times_text}")
    assert ready < TO_INTERACTIVE
    assert max(times.values()) < TO_ANSWER
    assert browser.complaints() == []


def test_dark_and_light(browser: Page, hostile: Path) -> None:
    grounds, inks = [], []
    for dark in (False, True):
        browser.open(hostile, dark=dark)
        browser.drawn("reliability")
        grounds.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
        inks.append(browser.run("return getComputedStyle(document.querySelector('#reliability .ytick text')).fill"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]
    assert len(set(inks)) == 2
    browser.scheme("light")
    browser.until(
        "return getComputedStyle(document.querySelector('#reliability .ytick text')).fill === arguments[0]", inks[0]
    )


def test_a_print_is_light_and_whole(browser: Page, hostile: Path) -> None:
    browser.open(hostile, dark=True)
    browser.drawn("reliability")
    fill = "return getComputedStyle(document.querySelector('#reliability .ytick text')).fill"
    before = browser.run(fill)
    rows = browser.run("return JSON.parse(document.getElementById('document-rows').textContent).rows")
    pairs = {(tuple(row["tagged"]), tuple(row["predicted"])) for row in rows}
    assert len(pairs) > 30
    assert len(browser.column("pair-table", 0)) == 25
    browser.run("dispatchEvent(new Event('beforeprint'))")
    browser.until(f"{fill} !== arguments[0]", before)
    assert len(browser.column("pair-table", 0)) == min(len(pairs), 50)
    browser.run("dispatchEvent(new Event('afterprint'))")
    browser.until(f"{fill} === arguments[0]", before)
    assert len(browser.column("pair-table", 0)) == 25


def test_a_phone_scrolls_down_alone(browser: Page, hostile: Path) -> None:
    browser.open(hostile, width=390)
    browser.drawn("matrix")
    browser.drawn("training")
    assert browser.run("return document.documentElement.scrollWidth") == 390
    assert browser.run("return innerWidth") == 390
    assert "predicted as" in browser.driver.find_element("css selector", "#document-table .narrow").text


def test_who_does_not_see_it_can_read_it(browser: Page, hostile: Path) -> None:
    browser.open(hostile)
    for selector in (".chart:not([role=img][aria-label])", "table:not(:has(caption))", "thead th:not([scope])",
                     "input:not([aria-label], [id], label input)", "button:empty",
                     ".scroll[tabindex]:not([aria-label], [aria-labelledby])"):  # fmt: skip
        assert browser.run("return document.querySelectorAll(arguments[0]).length", selector) == 0, selector
    assert browser.run("return document.querySelectorAll('header, nav[aria-label], main').length") >= 3
    assert browser.run("return document.querySelectorAll('section:not([aria-labelledby])').length") == 0
    # Every chart but the matrix, whose pairs are a table, has its numbers below it.
    assert browser.run("return document.querySelectorAll('.plot .numbers table').length") >= 5


def test_a_run_without_a_mistake_and_without_analysis(browser: Page, tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path, documents=60))
    lines = [json.loads(line) for line in run.predictions.read_text().split("\n") if line]
    run.predictions.write_text("".join(json.dumps(line | {"predicted": line["labels"]}) + "\n" for line in lines))
    for path in (run.analysis, run.guidance, run.metrics):
        path.unlink()
    write_page(run)
    browser.open(run.page)
    browser.drawn("matrix")
    assert "Every document was classified correctly." in browser.driver.find_element("id", "documents").text
    assert browser.complaints() == []


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A run with hostile texts against one whose mistakes are right, and whose first right answers are wrong."""
    folder = tmp_path_factory.mktemp("compared")
    runs = [RunFolder(make_run(folder / name, classes=12, documents=600, hostile=True)) for name in ("before", "after")]
    lines = [json.loads(line) for line in runs[1].predictions.read_text().split("\n") if line]
    names = sorted(lines[0]["scores"])
    for i, line in enumerate(lines):
        if line["labels"] != line["predicted"]:
            line["predicted"] = line["labels"]
        elif i < 60:
            line["predicted"] = [names[i % 12] if [names[i % 12]] != line["labels"] else names[(i + 1) % 12]]
    runs[1].predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = compare_runs(CompareRuns(runs=[str(run.path) for run in runs], resamples=200))
    return found


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_two_runs_compared_open_offline(browser: Page, compared: Comparison, width: int, dark: bool) -> None:
    browser.open(compared.page, width=width, dark=dark)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert HOSTILE_CLASS in browser.texts("#class-table tbody th")
    assert browser.run("return document.querySelectorAll('main script, main b').length") == 0
    assert browser.complaints() == []
    assert browser.requests() == [compared.page.as_uri()]
    for selector in ("table:not(:has(caption))", "thead th:not([scope])", "button:empty",
                     ".scroll[tabindex]:not([aria-label], [aria-labelledby])"):  # fmt: skip
        assert browser.run("return document.querySelectorAll(arguments[0]).length", selector) == 0, selector


def test_changed_documents_are_filtered_searched_and_opened(browser: Page, compared: Comparison) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    changed = compared.found["changed"]
    lost = [line for line in changed if line["change"] == "lost"]
    assert 40 < len(lost) < len(changed) - 20
    browser.open(compared.page)
    Select(browser.driver.find_element("id", "kind")).select_by_value("lost")
    browser.until(
        "return document.querySelector('#documents .dt-info').textContent.includes(arguments[0])",
        "of " + str(len(lost)),
    )
    assert browser.column("document-table", 4) == ["right to wrong"] * 25
    assert browser.column("document-table", 1) == [", ".join(line["labels"]) for line in lost[:25]]
    assert browser.column("document-table", 3) == [", ".join(line["second"]) for line in lost[:25]]
    name = lost[0]["second"][0]
    options = [option.rpartition(" (")[0] for option in browser.texts("#class option")]
    Select(browser.driver.find_element("id", "class")).select_by_index(options.index(name))
    concerned = [line for line in lost if name in {*line["labels"], *line["first"], *line["second"]}]
    browser.until(
        "return document.querySelectorAll('#document-table > tbody > tr').length === arguments[0]",
        min(25, len(concerned)),
    )
    browser.driver.find_element("css selector", "#filters button").click()
    browser.until("return document.getElementById('kind').value === ''")
    hostile = next(line for line in changed if line["text"] == HOSTILE)
    browser.driver.find_element("css selector", "#documents .dt-search input").send_keys("alert(1)")
    browser.until("return document.querySelectorAll('#document-table > tbody > tr').length === 1")
    opener = browser.driver.find_element("css selector", "#document-table button.open")
    opener.send_keys(Keys.ENTER)
    opened = browser.driver.find_element("css selector", ".opened")
    assert opener.get_attribute("aria-expanded") == "true"
    assert opened.find_element("css selector", ".text").get_attribute("textContent") == HOSTILE
    cells = [
        [cell.text for cell in row.find_elements("css selector", "td")][:2]
        for row in opened.find_elements("css selector", ".small > tbody > tr")
    ]
    assert cells == [[f"{score:.3f}" for score in both] for both in hostile["scores"].values()]
    head = browser.driver.find_element("css selector", "#class-table thead th:nth-child(5)")
    head.click()
    browser.until("return arguments[0].ariaSort === 'ascending'", head)
    gains = [float(text) for text in browser.column("class-table", 4)]
    assert gains == sorted(gains)
    assert gains[0] < 0 < gains[-1]
