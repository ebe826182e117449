"""The views of the tagging page about several people, and about when to stop."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tagging import Person, page, settings_of


def test_nobody_sees_an_answer_before_all_have_answered(tmp_path: Path) -> None:
    with page(settings_of(tmp_path, people=["anna", "ben"], overlap=2)) as running:
        (hers,) = running.ask("next", {"count": 1}, "anna")["documents"]
        answer = {"document": hers["id"], "kind": "tag", "tags": ["bug"], "reason": hers["reason"]}
        running.ask("decisions", {"key": "key of anna", **answer}, "anna")
        running.ask(
            "decisions", {"key": "note of anna", "document": hers["id"], "kind": "note", "note": "sure"}, "anna"
        )
        (his,) = running.ask("next", {"count": 1}, "ben")["documents"]
        assert his["id"] == hers["id"]
        for seen in (his, running.ask("document", {"name": hers["id"]}, "ben")):
            assert (seen["tags"], seen["note"]) == (None, "")
        assert running.ask("list", person="ben")["total"] == 0
        assert running.ask("examples", {"name": "bug"}, "ben")["texts"] == []
        assert running.ask("disputed", person="ben")["total"] == 0
        running.ask("decisions", {"key": "key of ben", **answer, "tags": ["billing"]}, "ben")
        assert running.ask("disputed", person="ben")["total"] == 1
        settled = {"key": "settled by ben", **answer, "reason": "chosen"}
        assert running.post("decisions", {**settled, "kind": "skip", "tags": []}, "ben").status_code == 409
        assert running.ask("decisions", settled, "ben")["progress"]["disputed"] == 0
        found = running.ask("agreement", person="anna")
        assert found["between_people"] is None  # Of one document.


@pytest.mark.browser
def test_settling_by_keys_and_when_to_stop(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    person, settings = Person(browser), settings_of(tmp_path, people=["anna", "ben"], overlap=2)
    figure = {"value": 0.85, "interval": [0.78, 0.91]}
    gain = {"documents": 50, "macro_f1": 0.002, "low": -0.003, "high": 0.007, "chance": 0.004}
    one_class = {
        "tags": 9,
        "audit": {"documents": 4, "f1": 0.8, "interval": [0.4, 0.97]},
        "gain": gain | {"gain": 0.01},
    }
    status = {
        "tags": 9, "audit": {"accuracy": figure, "macro_f1": None}, "gain": gain, "sentences": ["<b>Stop</b>"],
        "classes": {"bug": one_class}, "people": {"anna": {"tags": 9, "tags_an_hour": 360.4}},
    }  # fmt: skip
    (tmp_path / "tickets").mkdir()
    (tmp_path / "tickets" / "status.json").write_text(json.dumps(status))
    with page(settings) as running:
        for who, tags in (("anna", ["bug"] * 4), ("ben", ["bug", "billing", "billing", "bug"])):
            for i, tag in enumerate(tags):
                body = {
                    "key": f"{who} about {i}",
                    "document": f"d{i}",
                    "kind": "tag",
                    "tags": [tag],
                    "reason": "random",
                }
                running.ask("decisions", body, who)
        person.open(running.address)
        person.until(lambda: "2 to settle" in person.text("progress"))
        assert "accuracy 85% (78% to 91%) · 50 more tags: +0.2 points · more tags bring less than chance" in (
            person.text("progress")
        )
        person.press("P")
        person.until(lambda: person.text("to-settle") == "The answers to 2 documents differ.")
        assert person.text("disputed-text") == "it does not start"
        assert [one.text for one in browser.find_elements("css selector", "#answers button")] == [
            "1\nbug\nanna", "2\nbilling\nben"
        ]  # fmt: skip
        assert "invoices, refunds" in person.text("answered-guidelines")
        person.until(lambda: "cohen kappa" in person.text("agreement"))
        assert "all answers450%cohen kappa0.00" in person.text("agreement")
        person.press(" ")
        person.until(lambda: "img" in person.text("disputed-text"))
        person.press("2")
        person.until(lambda: person.text("to-settle") == "The answers to 1 document differ.")
        person.press(Keys.BACKSPACE)
        person.until(lambda: "2 documents" in person.text("to-settle"))
        assert person.text("message") == "Taken back: settle billing"
        # Another class, in the view of the document.
        person.at("settle-other").click()
        person.until(lambda: person.text("text") == "it does not start")
        person.press("3")
        person.until(lambda: "1 to settle" in person.text("progress"))
        settled = running.ask("list", {"which": "tag"}, "ben")["documents"]
        assert {one["id"]: (one["tags"], one["person"]) for one in settled} == {
            "d0": (["bug"], "anna, ben"), "d1": (["Größe"], "anna"), "d3": (["bug"], "anna, ben")
        }  # fmt: skip
        person.press("S")
        person.until(lambda: "tagsF1" not in person.text("stop-tables") and "anna9360" in person.text("stop-tables"))
        assert person.text("outlook") == "<b>Stop</b>"
        assert "bug9480%40% to 97%+1.0-0.3 to +0.7" in person.text("stop-tables")
        browser.set_window_size(400, 800)
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        for key in ("S", "P"):
            person.press(key)
            assert browser.execute_script(wide) <= 0
        assert browser.execute_script("return window.bad") is None
        assert browser.get_log("browser") == []
