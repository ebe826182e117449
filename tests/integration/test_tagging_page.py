"""The tagging page: its requests, and the page itself in a real browser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tagsmith.config.settings import CacheSettings, ModelSettings
from tagsmith.tag.decisions import StoredDocument
from tagsmith.tag.store import Store
from tagsmith.tag.tag_run import opened
from tagsmith.tag.vectors import compute_vectors, kept_vectors
from tests.browser import AXE, violations
from tests.conftest import make_documents
from tests.tagging import HOSTILE, TEXTS, Person, page, settings_of


def test_who_may_ask(tmp_path: Path) -> None:
    with page(settings_of(tmp_path)) as running:
        for place, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
            answer = requests.get(running.url + place, timeout=30)
            assert answer.headers["content-type"].startswith(kind)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in answer.text
        assert requests.get(f"{running.url}/openapi.json", timeout=30).status_code == 404
        assert requests.get(f"{running.url}/api/project", headers={"Authorization": "Bearer x"}).status_code == 401
        for name in ("project", "next", "decisions", "undo", "list", "document", "examples", "export"):
            assert running.post(name, person=None).status_code == 401
            assert running.post(name, person=None, Authorization="Bearer not-the-token").status_code == 401
        assert running.post("project").status_code == 200
        assert running.post("project", Host="localhost").status_code == 200
        assert running.post("project", Host="tickets.example").status_code == 403
        assert running.post("project", Origin="https://evil.example").status_code == 403
        assert running.post("project", Origin=running.url).status_code == 200
        assert running.post("project", **{"Content-Type": "text/plain"}).status_code == 415
        large = running.post("list", {"search": "x" * (1 << 20)})
        assert (large.status_code, large.json()) == (413, {"error": "The body is larger than 1 MiB."})


def test_what_may_be_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = {"key": "a key of it", "document": "d0", "kind": "tag", "tags": ["bug"]}
    with page(settings_of(tmp_path)) as running:
        for changed, status in (
            ({"tags": ["bug", "billing"]}, 422),
            ({"tags": []}, 422),
            ({"tags": ["secret"]}, 422),
            ({"kind": "undo"}, 422),
            ({"key": "short"}, 422),
            ({"person": "ben"}, 422),
            ({"document": "no such"}, 404),
        ):
            answer = running.post("decisions", {**good, **changed})
            assert answer.status_code == status, changed
        answer = running.post("next", {"count": "the secret text"})
        assert answer.status_code == 422
        assert "secret" not in answer.text
        assert running.ask("project")["progress"]["tagged"] == 0
        assert running.ask("decisions", good)["progress"]["tagged"] == 1
        assert running.ask("decisions", good)["progress"]["tagged"] == 1
        assert requests.get(f"{running.url}/nowhere", timeout=30).json() == {"error": "Not found."}
        running.tagging._store.close()
        answer = running.post("list", {"search": "secret"})
        assert (answer.status_code, answer.json()["error"]) == (
            500,
            "This is a bug; the command has printed its place.",
        )
    assert "unexpected error: ProgrammingError at " in caplog.text
    assert "secret" not in caplog.text


def test_two_people_and_a_restart(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, people=["anna", "ben"])
    with page(settings) as running:
        assert running.ask("project", person="anna")["person"] == "anna"
        hers = running.ask("next", {"count": 3}, "anna")["documents"]
        his = running.ask("next", {"count": 3}, "ben")["documents"]
        assert {one["id"] for one in (*hers, *his)} == {f"d{i}" for i in range(6)}
        for number, (person, one) in enumerate([("anna", hers[0]), ("ben", his[0]), ("anna", hers[1])]):
            decision = {"key": f"decision {number}", "document": one["id"], "kind": "tag", "tags": ["bug"]}
            running.ask("decisions", decision, person)
        tokens = running.tokens
    with page(settings) as running:
        assert running.tokens == tokens
        undone = running.ask("undo", {"key": "undo of anna"}, "anna")
        assert (undone["document"]["id"], undone["taken_back"]) == (hers[1]["id"], ["bug"])
        assert undone["progress"]["tagged"] == 2
        listed = running.ask("list", {"which": "tag"}, "ben")["documents"]
        assert [(one["id"], one["person"]) for one in listed] == [(his[0]["id"], "ben"), (hers[0]["id"], "anna")]
        written = running.ask("export", person="ben")
        assert written["tags"] == 2
        assert written["command"].startswith(f"python scripts/train.py data.train={settings.project}/tags.jsonl ")
        assert [Path(name).name for name in written["files"]] == ["tags.jsonl", "tags.csv", "tasks.json", "labels.json"]


def test_vectors_are_kept_and_completed(tmp_path: Path, encoder: Path) -> None:
    texts = [str(record["text"]) for record in make_documents(12, multi_label=False)]
    settings = settings_of(tmp_path, texts[:8], model=ModelSettings(path=str(encoder)), cpu=True)
    settings.cache = CacheSettings(folder=None)
    with opened(settings) as (tagging, _):
        store: Store = tagging._store
        compute_vectors(settings)
        first = kept_vectors(Path(settings.project), settings)
        assert first.shape == (8, 32)
        store.add([StoredDocument(f"new {i}", text) for i, text in enumerate(texts[8:])])
        compute_vectors(settings)
        found = kept_vectors(Path(settings.project), settings)
        assert found.shape == (12, 32)
        assert (found[:8] == first).all()
        (Path(settings.project) / "vectors.npz").unlink()
        compute_vectors(settings)
        again = kept_vectors(Path(settings.project), settings)
        assert np.allclose(again.astype(float), found.astype(float), atol=0.01)
    settings.model = ModelSettings(path="another")
    assert len(kept_vectors(Path(settings.project), settings)) == 0


@pytest.mark.browser
def test_tagging_by_keys_with_undo_and_a_restart(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    person, settings = Person(browser), settings_of(tmp_path)
    with page(settings) as running:
        port = int(running.url.rpartition(":")[2])
        person.open(running.address)
        assert person.text("name") == "tickets · me"
        seen = [person.press_for_next(key) for key in ("1", "2", "3")]
        person.press("f")
        person.until(lambda: "flagged" in person.text("about"))
        person.press("n")
        person.until(lambda: person.at("noting").is_displayed())
        person.press("a <b>note</b>", Keys.CONTROL + Keys.ENTER)
        person.until(lambda: person.text("note") == "Note: a <b>note</b>")
        with_note = person.press_for_next(" ")
        assert person.tagged() == 3
        assert person.press_for_next(Keys.BACKSPACE) != with_note
        assert person.text("text") == with_note
        person.press("h")
        person.until(lambda: "invoices" in person.text("guideline-text") and seen[0] in person.text("examples"))
        person.press(Keys.ESCAPE)
        # The server is gone: the decision is not saved yet, and the document stays.
        address = running.address
    person.press("2")
    person.until(lambda: person.text("message").startswith("Not saved yet"))
    assert person.text("text") == with_note
    with page(settings, port) as running:
        assert running.address == address
        person.until(lambda: person.tagged() == 4)
        person.until(lambda: person.text("text") != with_note)
        person.open(address)
        assert person.tagged() == 4
        assert "1 flagged" in person.text("progress")
        # Undone across the restart, back to the first one.
        undone = []
        for _ in range(6):
            person.press(Keys.BACKSPACE)
            person.until(lambda: person.text("message").startswith("Taken back"))
            undone.append((person.text("text"), person.text("message").split()[2]))
            browser.execute_script("document.getElementById('message').textContent = ''")
        kinds = ["tag", "note", "flag", "tag", "tag", "tag"]
        assert undone == list(zip([with_note] * 3 + seen[::-1], kinds, strict=True))
        person.press(Keys.BACKSPACE)
        person.until(lambda: "nothing left" in person.text("message"))
        assert person.tagged() == 0

        # Each document once; then there are none.
        every = []
        for _ in range(6):
            every.append(person.text("text"))
            person.press("1")
            person.until(lambda: person.text("text") != every[-1])
        assert sorted(every) == sorted(TEXTS)
        person.until(lambda: "No documents are left" in person.text("message"))
        assert person.tagged() == 6
        assert browser.execute_script("return window.bad") is None
        assert browser.find_elements("tag name", "img") == []

        # One of them is found again and changed.
        person.press("l")
        person.until(lambda: person.text("found") == "6 documents")
        person.press("INVOICE")
        person.until(lambda: person.text("found") == "1 document")
        browser.find_element("css selector", "#decisions button").send_keys(Keys.ENTER)
        person.until(lambda: person.text("text") == TEXTS[0])
        assert "tagged billing" in person.text("about")
        person.press_for_next("2")
        person.press("T")
        person.at("export").send_keys(Keys.ENTER)
        person.until(lambda: "data.label_field=tag" in person.text("command"))
    lines = [json.loads(line) for line in (tmp_path / "tickets" / "tags.jsonl").read_text().splitlines()]
    assert {line["text"]: line["tag"] for line in lines} == {**dict.fromkeys(TEXTS, "billing"), TEXTS[0]: "bug"}
    urls = browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert all(url.startswith(running.url) for url in urls)
    # Nothing but the lost connection.
    problems = [entry["message"] for entry in browser.get_log("browser")]
    assert all("ERR_CONNECTION" in line for line in problems), problems


@pytest.mark.browser
def test_many_classes_and_several_of_them(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    from tagsmith.core.schema import Task

    person, names = Person(browser), ["Zürich", "general", *(f"class {i}" for i in range(148))]
    with page(settings_of(tmp_path, classes=names, task=Task.multi_label)) as running:
        person.open(running.address)

        def pressed() -> list[str]:
            marked = browser.find_elements("css selector", "#classes button[aria-pressed=true]")
            return [one.get_attribute("data-name") for one in marked]

        def first() -> str:
            return str(browser.find_element("css selector", "#classes button").get_attribute("data-name"))

        person.press(Keys.ENTER)
        person.until(lambda: "Mark the classes" in person.text("message"))
        person.press("2", "z", "uri")  # A letter begins the search; accents are left out.
        person.until(lambda: first() == "Zürich")
        person.press(Keys.ENTER)
        person.until(lambda: pressed() == ["Zürich", "general"])
        person.press("/", "c147")
        person.until(lambda: first() == "class 147")
        person.press(Keys.ENTER, "2")
        person.until(lambda: pressed() == ["Zürich", "class 147"])
        both = person.press_for_next(Keys.ENTER)
        none = person.press_for_next("-")
        listed = {one["beginning"]: one["tags"] for one in running.ask("list")["documents"]}
        assert listed == {" ".join(both.split()): ["Zürich", "class 147"], none: []}
        # A narrow window does not scroll sideways, in neither view.
        browser.set_window_size(400, 800)
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(wide) <= 0
        person.press("l")
        person.until(lambda: person.text("found") == "2 documents")
        assert browser.execute_script(wide) <= 0
        unnamed = browser.execute_script(
            "return [...document.querySelectorAll('button, input, select, textarea')].filter("
            "(one) => !(one.textContent.trim() || one.labels?.length || one.getAttribute('aria-label'))).length"
        )
        assert unnamed == 0


@pytest.mark.browser
def test_texts_of_any_kind_and_who_reads_them(browser: Any, tmp_path: Path) -> None:
    texts = ["word " * 40_000, "مرحبا بالعالم، الفاتورة خاطئة", "请退款。この文書は長い。", HOSTILE, "x" * 10_000]
    from selenium.webdriver.common.keys import Keys

    person = Person(browser)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    shade = {"name": "prefers-color-scheme", "value": "dark"}
    with page(settings_of(tmp_path, texts, classes=[f"class {i}" for i in range(150)])) as running:
        browser.set_window_size(400, 800)
        person.open(running.address)
        shown = []
        for number in range(5):
            shown.append(person.text("text"))
            direction = browser.execute_script("return getComputedStyle(document.getElementById('text')).direction")
            assert (direction == "rtl") == ("مرحبا" in shown[-1])
            assert browser.execute_script(wide) <= 0
            if number < 4:
                person.press_for_next("1")
        assert sorted(shown) == sorted(texts)
        assert browser.execute_script("return window.bad") is None
        if not AXE.is_file():
            pytest.skip(f"axe-core is not there to look for barriers: {AXE}")
        for width, scheme in ((400, []), (1200, [shade])):
            browser.set_window_size(width, 800)
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
            for view, key in {"list": "l", "schema": "C", "training": "T"}.items():
                person.press(key)
                person.until(person.at(view).is_displayed)
                assert violations(browser) == [], (view, width)
                person.press(Keys.ESCAPE)
                person.until(person.at("tagging").is_displayed)
            assert violations(browser) == [], width
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
