"""Classes, near-copies and modes on the tagging page, in a real browser."""

from pathlib import Path
from typing import Any

import pytest

from tests.tagging import Person, page, settings_of

WIDE = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
TOO_WIDE = (
    "return [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right >"
    " document.documentElement.clientWidth + 1).map((one) => one.outerHTML.slice(0, 80))"
)


def fill_in(person: Person, **fields: str) -> None:
    for name, text in fields.items():
        field = person.at(name.replace("_", "-"))
        field.clear()
        field.send_keys(text)


@pytest.mark.browser
def test_classes_are_made_and_changed_while_tagging(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    person = Person(browser)

    def shown() -> list[Any]:
        return list(browser.find_elements("css selector", "#classes button"))

    with page(settings_of(tmp_path, classes=None, people=["anna", "ben"])) as running:
        person.open(running.address)
        assert person.at("no-classes").is_displayed()
        for number, (name, guideline) in enumerate([("bill", "invoices"), ("bug", "")]):
            person.press("+")
            fill_in(person, new_name=name, new_guideline=guideline)
            person.press(Keys.ENTER)
            person.until(
                lambda number=number: len(browser.find_elements("css selector", "#classes button")) == number + 1
            )
        assert not person.at("no-classes").is_displayed()
        first = person.press_for_next("1")
        second = person.press_for_next("2")

        # Ben renames a class while Anna looks at another document: her key still counts.
        version = running.ask("project", person="ben")["classes_version"]
        change = {"key": "a key of ben", "changes": {"rename": {"bill": "billing"}}}
        assert running.ask("change_classes", change, "ben")["classes_version"] == version + 1
        third = person.press_for_next("1")
        person.until(lambda: "billing" in person.text("classes"))
        listed = {one["beginning"]: one["tags"] for one in running.ask("list", person="ben")["documents"]}
        assert [listed[" ".join(text.split())] for text in (first, second, third)] == [
            ["billing"],
            ["bug"],
            ["billing"],
        ]

        # Split: its documents are shown again, first.
        person.press("C")
        person.until(lambda: "invoices" in person.text("all-classes"))
        browser.find_element("css selector", "#all-classes button").send_keys(Keys.ENTER)
        person.until(lambda: person.at("changing").is_displayed())
        fill_in(person, parts="invoice\nfee")
        person.at("parts").submit()
        person.until(lambda: "2 documents are to be tagged again" in person.text("to-tag-again"))
        assert not person.at("changing").is_displayed()
        person.press(Keys.ESCAPE)
        person.press_for_next("3")  # The document that was in view stays there.
        person.until(lambda: person.text("text") in (first, third))
        assert "now invoice or fee" in person.text("about")
        person.press_for_next("2")
        assert person.text("text") in (first, third)

        # What cannot be done is said in the dialog; what was done can be taken back.
        browser.execute_script("document.getElementById('all-classes').replaceChildren()")
        person.press("C")
        person.until(lambda: "fee" in person.text("all-classes"))
        browser.find_element("css selector", "#all-classes button").send_keys(Keys.ENTER)
        person.until(lambda: person.at("changing").is_displayed())
        fill_in(person, class_name="bug")
        person.at("class-name").send_keys(Keys.ENTER)
        person.until(lambda: "already the name of a class" in person.text("changing-problem"))
        person.press(Keys.ESCAPE)
        browser.find_element("css selector", "#class-changes button").send_keys(Keys.ENTER)
        person.until(lambda: "took back change" in person.text("class-changes"))
        assert {tuple(one["tags"]) for one in running.ask("list", person="anna")["documents"]} == {
            ("billing",),
            ("bug",),
        }
        browser.set_window_size(400, 800)
        assert browser.execute_script(WIDE) <= 0, browser.execute_script(TOO_WIDE)


@pytest.mark.browser
def test_near_copies_are_tagged_alike_and_taken_back_together(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    form = "Your order {} has left our warehouse in Hamburg and arrives within two days."
    texts = [*(form.format(4100 + i) for i in range(4)), "where is my parcel?", "please cancel my order"]
    person = Person(browser)
    with page(settings_of(tmp_path, texts)) as running:
        running.tagging._copies.read()
        person.open(running.address)
        while not person.text("text").startswith("Your order"):
            person.press_for_next("1")
        before = person.tagged()
        assert "3 documents are nearly the same" in person.text("to-alike")
        person.press("A")
        person.until(lambda: len(browser.find_elements("css selector", "#copies input:checked")) == 3)
        browser.find_element("css selector", "#copies input").send_keys(" ")
        person.at("document").send_keys("2")
        person.until(lambda: person.tagged() == before + 3)
        person.until(lambda: "Tagged 3 documents alike" in person.text("message"))
        lines = [one for one in running.ask("list", {"which": "tag"})["documents"] if one["tags"] == ["bug"]]
        assert len(lines) == 3
        states = running.tagging._store.states
        assert sorted(states[one["id"]].reason == "alike" for one in lines) == [False, True, True]
        assert len({states[one["id"]].alike for one in lines}) == 1
        person.press(Keys.BACKSPACE)
        person.until(lambda: person.tagged() == before)
        assert person.text("text").startswith("Your order")
        assert "3 documents are nearly the same" in person.text("to-alike")


@pytest.mark.browser
def test_one_class_and_a_search_are_looked_through(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    person = Person(browser)
    with page(settings_of(tmp_path)) as running:
        person.open(running.address)
        seen = [person.press_for_next(key) for key in ("1", "1", "2")]
        person.press("M")
        person.press(*[Keys.ARROW_DOWN] * 4)
        person.until(lambda: person.text("text") == seen[1])
        assert "1 more · tagged billing" in person.text("about")
        person.press_for_next(Keys.ENTER)  # The tag is right.
        assert person.text("text") == seen[0]
        person.press_for_next("2")
        person.until(lambda: "These were all" in person.text("message"))
        assert person.text("text") not in seen
        listed = {one["beginning"]: one["tags"] for one in running.ask("list")["documents"]}
        expected = {text: [name] for text, name in zip(seen, ("bug", "billing", "bug"), strict=True)}
        assert listed == {" ".join(text.split()): tags for text, tags in expected.items()}
        person.press("l")
        person.press("REFÜND")
        person.at("look").click()
        person.until(lambda: person.text("text") == "refund please")
        person.press_for_next(" ")
        person.until(lambda: "These were all" in person.text("message"))


def test_minds_that_change(tmp_path: Path) -> None:
    with page(settings_of(tmp_path)) as running:
        found = []
        for number, name in enumerate(["bug", "billing"] * 2):
            decision = {"key": f"decision {number}", "document": "d1", "kind": "tag", "tags": [name]}
            found.append(running.ask("decisions", decision)["collision"])
        assert found == [None, None, None, {"classes": ["billing", "bug"], "times": 3}]
        collisions = running.ask("classes")["collisions"]
        assert collisions == [{"classes": ["billing", "bug"], "changed": 3, "missed": 0, "similar": False}]
        refused = running.post("change_classes", {"key": "some key", "changes": {"rename": {"x": "y"}}})
        assert (refused.status_code, "x: unknown class" in refused.json()["error"]) == (409, True)
