"""The page at /, in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import started_browser
from tests.bundles import make_bundle
from tests.serving import KEY, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with started_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def test_classifying_a_text_on_the_page(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import Select, WebDriverWait

    bundles = {
        "production": make_bundle(tmp_path / "single", max_tokens=12),
        "tags": make_bundle(tmp_path / "tags", multi_label=True),
        "unsure": make_bundle(tmp_path / "unsure", abstain_below=0.6, scope_limit=0.8),
    }

    def at(name: str) -> Any:
        return browser.find_element("id", name)

    def until(condition: Any) -> None:
        WebDriverWait(browser, 20).until(lambda _: condition())

    def classify(text: str) -> None:
        at("text").clear()
        at("text").send_keys(text)
        at("classify").click()
        until(lambda: at("answer").is_displayed() or at("status").text not in ("", "…"))

    with serving(bundles) as running:
        browser.get(f"{running.url}/")
        until(lambda: "Enter an API key" in at("status").text)
        at("key").send_keys(KEY + "\t")
        until(lambda: len(Select(at("deployment")).options) == 3)
        assert [option.text for option in Select(at("project")).options] == ["news"]
        assert Select(at("deployment")).first_selected_option.text == "production"

        classify("the cat and the dog " + "of " * 20)
        assert at("decision").text == "animals"
        assert "were not read" in at("about").text
        rows = [row.text.split() for row in at("scores").find_elements("tag name", "tr")]
        assert rows[0] == ["animals", "0.9647"]
        assert len(rows) == 3

        Select(at("deployment")).select_by_visible_text("tags")
        classify("the cat likes cheese")
        assert at("decision").text == "animals, food"
        classify("the and")
        assert at("decision").text == "No class"
        Select(at("deployment")).select_by_visible_text("unsure")
        for text, decision in (
            ("the cat and the dog", "animals"),
            ("cat cheese", "Left for a person to decide: too uncertain"),
            ("quarterly earnings restated", "Left for a person to decide: unlike all training documents"),
        ):
            classify(text)
            assert at("decision").text == decision
        classify("   ")
        until(lambda: at("status").text == "Document 0 is empty.")

        # Content from the service is inserted as text, and other scripts do not run.
        browser.execute_script(
            "show({deployment: '<img src=x onerror=window.bad=1>', version: '<b>', documents: [{tokens: 1, unread: 0,"
            " label: '<script>window.bad=1</script>', scores: {'<img src=x onerror=window.bad=1>': 0.5},"
            " to_person: false}]})"
        )
        assert at("decision").text == "<script>window.bad=1</script>"
        assert at("answer").find_elements("tag name", "img") == []
        browser.execute_script(
            "const s = document.createElement('script'); s.textContent = 'window.bad=1'; document.head.append(s)"
        )
        assert browser.execute_script("return window.bad") is None
        browser.execute_script(
            "show({deployment: 'd', version: 'v', documents: [{label: null, scores: {}, tokens: 1, unread: 0,"
            " to_person: true}]})"
        )
        assert at("decision").text == "Left for a person to decide: too uncertain"
        complaints = [entry["message"] for entry in browser.get_log("browser") if "favicon" not in entry["message"]]
        assert all("401" in line or "422" in line or "Content Security Policy" in line for line in complaints), (
            complaints
        )
        sources = browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
        assert sources
        assert all(source.startswith(running.url) for source in sources)


def test_the_files_of_the_page(tmp_path: Path) -> None:
    with serving({"production": make_bundle(tmp_path / "b")}) as running:
        for place, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
            answer = running.get(place)
            assert answer.headers["content-type"].startswith(kind)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in answer.text.replace("http-equiv", "")
