"""To annotation tools and back: what annotators answered, and what counts as unanswered."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tagsmith.config.settings import AnnotateRun, GiveTake, OnDisagreement, Tool, Unreviewed
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, Task
from tagsmith.data.exports.answers import Answer, Kind, interpret, settle
from tagsmith.improve.annotation import argilla, doccano, label_studio, sheet
from tagsmith.improve.annotation.annotate_run import give, take
from tagsmith.improve.annotation.questions import Question, same_document
from tagsmith.rows.json_rows import json_lines
from tests.conftest import write_jsonl

FIXTURES = Path(__file__).parents[1] / "fixtures"
CLASSES = ("a; b", "c<d>&\"'", "naïve ✓", "=sum")
NASTY = '=1+1 <b>&amp;</b> "quoted",\n a line; 👍'


def made_run(folder: Path, multi_label: bool, lines: list[dict[str, Any]] | None = None) -> RunFolder:
    run = RunFolder(folder / "run")
    run.improve.mkdir(parents=True)
    run.settings.write_text("{}")
    Schema(CLASSES, Task.multi_label if multi_label else Task.single_label).save(run.schema)
    suggested = [list(CLASSES[:2]), []] if multi_label else [CLASSES[1], CLASSES[0]]
    queue = lines or [
        {"id": "-1", "text": NASTY, "score": 1.0, "suggested": suggested[0], "reason": "uncertain", "tag": None},
        {"id": "two", "text": "plain", "score": 0.5, "suggested": suggested[1], "reason": "audit", "tag": None},
        {"id": "three", "text": "done", "score": 0.1, "suggested": suggested[1], "reason": "audit", "tag": CLASSES[0]},
    ]
    write_jsonl(run.improve / "tag_next.jsonl", queue)
    return run


def settings(run: RunFolder, tool: Tool, export: Path | None = None, **changes: Any) -> AnnotateRun:
    action = GiveTake.give if export is None else GiveTake.take
    return AnnotateRun(run=str(run.path), tool=tool, action=action, export=str(export) if export else None, **changes)


def read(path: Path) -> list[Any]:
    return [record for _, record in json_lines(path)]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("tool", list(Tool))
def test_there_and_back(tmp_path: Path, tool: Tool, multi_label: bool) -> None:
    run = made_run(tmp_path, multi_label)
    folder, documents = give(settings(run, tool))
    assert documents == 2  # The third has a tag.
    tag: Any = [CLASSES[2], CLASSES[3]] if multi_label else CLASSES[1]
    names = tag if multi_label else [tag]
    export = tmp_path / "export"
    if tool is Tool.label_studio:
        tasks = json.loads((folder / "tasks.json").read_text())
        config = ElementTree.fromstring((folder / "config.xml").read_text())
        assert [choice.get("value") for choice in config.iter("Choice")] == list(CLASSES)
        result = [{"type": "choices", "from_name": "class", "to_name": "text", "value": {"choices": names}}]
        tasks[0]["annotations"] = [{"result": result, "lead_time": 9.0, "completed_by": 1, "was_cancelled": False}]
        export.write_text(json.dumps(tasks))
    elif tool is Tool.argilla:
        records = json.loads((folder / "records.json").read_text())
        assert records[0]["fields"]["text"] == NASTY
        records[0]["responses"] = {"class": [{"value": tag, "user_id": "u", "status": "submitted"}]}
        records[1]["responses"] = {"class": [{"value": None, "user_id": "u", "status": "draft"}]}
        export.write_text(json.dumps(records))
    elif tool is Tool.doccano:
        rows = read(folder / "documents.jsonl")
        assert all(row["label"] == [] for row in rows)  # A suggestion is not a tag.
        write_jsonl(export, [{**rows[0], "id": 17, "label": names}, {**rows[1], "id": 18}])
    else:
        table = (folder / "documents.csv").read_text(encoding="utf-8-sig")
        assert "'=1+1" in table  # No formula.
        filled = table.replace("uncertain,,", f'uncertain,"{"| ".join(names)}",'.replace("&\"'", '&""\''))
        export.write_text(filled, encoding="utf-8-sig")
    path, counts = take(settings(run, tool, export))
    assert counts == {"tagged": 1}
    assert read(path) == [{"id": "-1", "text": NASTY, "tag": sorted(tag) if multi_label else tag}]


def test_what_label_studio_exports() -> None:
    """As 1.23.2 exported it: tagged, skipped, two who disagree, a majority, two predictions made annotations."""
    exported = json.loads((FIXTURES / "label_studio" / "export_1_23.json").read_text())
    found = list(label_studio.answers(exported))
    assert all(isinstance(answer, Answer) for answer in found)
    kinds = [(answer.kind, answer.labels) for answer in found if isinstance(answer, Answer)]
    assert kinds == [
        (Kind.tag, ("sports",)), (Kind.ignored, ()), (Kind.tag, ("sports",)), (Kind.tag, ("politics",)),
        (Kind.tag, ("sports",)), (Kind.tag, ("sports",)), (Kind.tag, ("tech",)),
        (Kind.unreviewed, ("tech",)), (Kind.unreviewed, ("tech",)),
    ]  # fmt: skip


OTHER = [{"type": "choices", "value": {"choices": ["b"]}}]


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ({"lead_time": None, "parent_prediction": 3}, Kind.unreviewed),
        ({"lead_time": 0.1}, Kind.unreviewed),  # As predicted, and in no time.
        ({"lead_time": 4.0, "parent_prediction": 3}, Kind.tag),
        ({"lead_time": 4.0}, Kind.tag),
        ({"lead_time": 0.1, "parent_prediction": 3, "result": OTHER}, Kind.tag),
        ({"lead_time": None, "last_action": "updated"}, Kind.tag),
        # Like imported annotations, which are ground truth by default.
        ({"lead_time": None, "ground_truth": True, "result": OTHER}, Kind.unreviewed),
        ({"lead_time": 4.0, "was_cancelled": True}, Kind.ignored),
    ],
)
def test_which_annotations_were_reviewed(annotation: dict[str, Any], kind: Kind) -> None:
    result = [{"type": "choices", "value": {"choices": ["a"]}}]
    task = {"data": {"id": "x", "text": "t"}, "predictions": [{"result": result}],
            "annotations": [{"result": result, "completed_by": 1, **annotation}]}  # fmt: skip
    (answer,) = label_studio.answers([task])
    assert isinstance(answer, Answer)
    assert answer.kind is kind


def answered(*labels: tuple[str, ...], kind: Kind = Kind.tag) -> list[Answer]:
    return [Answer("x", "t", kind, each) for each in labels]


@pytest.mark.parametrize(
    ("answers", "multi_label", "majority", "ask"),
    [
        (answered(("a",)), False, ("a",), ("a",)),
        (answered(("a",), ("a",), ("b",)), False, ("a",), None),
        (answered(("a",), ("b",)), False, None, None),
        (answered(("a",), ("b",), ("c",)), False, None, None),
        (answered(("a", "b"), ("b", "a")), True, ("a", "b"), ("a", "b")),
        (answered(("a", "b"), ("a",), ("a", "c")), True, ("a",), None),
        (answered(("a",), ()), True, None, None),
        (answered(("a",), (), ()), True, (), None),
        (answered((), ()), True, (), ()),
        (answered(("a",)) + answered((), kind=Kind.ignored), False, ("a",), ("a",)),
        (answered((), kind=Kind.ignored), False, None, None),
        (answered(("a",), kind=Kind.unreviewed), False, None, None),
    ],
)
def test_several_people(answers: list[Answer], multi_label: bool, majority: Any, ask: Any) -> None:
    assert settle(answers, multi_label, OnDisagreement.majority)[0].labels == majority
    assert settle(answers, multi_label, OnDisagreement.ask)[0].labels == ask


@pytest.mark.parametrize(
    ("response", "status", "kinds"),
    [
        ({"value": "a", "status": "submitted"}, "pending", [Kind.tag]),
        ({"value": None, "status": "discarded"}, "completed", [Kind.ignored]),
        ({"value": "a", "status": "draft"}, "pending", []),
        ({"value": "a"}, "completed", [Kind.tag]),  # As records.to_json writes it, without a status.
        ({"value": "a"}, "pending", [Kind.unreviewed]),
        ({"value": None}, "pending", [Kind.ignored]),
    ],
)
def test_argilla_discards_and_drafts(response: dict[str, Any], status: str, kinds: list[Kind]) -> None:
    record = {"id": "x", "status": status, "fields": {"text": "t"}, "suggestions": {"class": {"value": "a"}}}
    both = [{**record, "responses": {"class": [response]}}, {**record, "responses": {}}]
    found = list(argilla.answers(both, ("a",), False))
    assert [answer.kind for answer in found if isinstance(answer, Answer)] == kinds


def test_only_flat_records_of_argilla_say_who_submitted() -> None:
    """The same three responses as version 2.8 writes them with `to_list(flatten=True)` and with `to_json`."""
    people = ["v", "u", "w"]
    flat = {"id": "x", "status": "completed", "_server_id": None, "text": "t", "class.responses": ["b", "a", "b"],
            "class.responses.users": people, "class.responses.status": ["discarded", "submitted", "draft"]}  # fmt: skip
    values = [{"value": value, "user_id": user} for value, user in zip(["b", "a", "b"], people, strict=True)]
    nested = {"id": "x", "status": "completed", "fields": {"text": "t"}, "responses": {"class": values}}
    for record, labels in ((flat, ("a",)), (nested, None)):
        found = [answer for answer in argilla.answers([record], ("a", "b"), False) if isinstance(answer, Answer)]
        assert settle(found, False, OnDisagreement.majority)[0].labels == labels
    (wrong,) = argilla.answers([{**flat, "class.responses.users": ["v"]}], ("a", "b"), False)
    assert "as many values" in str(wrong)


def test_doccano_exports_a_file_of_each_annotator(tmp_path: Path) -> None:
    path = tmp_path / "export"
    with zipfile.ZipFile(path, "w") as archive:
        for person, label in (("anna", "a"), ("ben", "a"), ("../eve", "b")):
            record = {"id": 1, "text": "t", "tagsmith_id": "x", "label": [label], "Comments": []}
            archive.writestr(f"{person}.jsonl", json.dumps(record) + "\n")
    found = [answer for answer in doccano.answers(path, ("a", "b"), False) if isinstance(answer, Answer)]
    assert [answer.annotator for answer in found] == ["anna", "ben", "eve"]
    assert settle(found, False, OnDisagreement.majority)[0].labels == ("a",)
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["export"]


def test_what_doccano_and_argilla_exported(tmp_path: Path) -> None:
    """The queue below was imported into doccano 1.8.4 and (twice) into Argilla 2.8.0, and tagged by two people.

    Both agreed on the first and the last document, the last having no class, and not on the next two. One tagged the
    fifth, one skipped the seventh. doccano's export of approved documents has the fourth, approved without a label.
    Argilla's has a draft of it, and of the sixth what one discarded and the other submitted.
    """
    names = ("a & b", "<x> \"q\" 's'", "ünï, cödé;#  two", "https://c.d", "plain")
    texts = ['  two  spaces <b>&amp; "q"\n 2nd line\t tab 🙂', "<script>alert(1)</script> \\\"q\\\" 's'", "=1+1, a;b|c",
             "x\u2028y \u00a0z", "مرحبا \u200fשלום\u202e abc \u202c 12", "plain", "skipped", "of no class"]  # fmt: skip
    lines = [{"id": f"d/{i} é", "text": text, "suggested": [], "tag": None} for i, text in enumerate(texts)]
    run = made_run(tmp_path, True, lines)
    Schema(names, Task.multi_label).save(run.schema)
    expected = {0: sorted(names[:2]), 1: "disagreement", 2: "disagreement", 4: sorted(names), 6: "ignored", 7: []}
    archive = Path(shutil.make_archive(str(tmp_path / "export"), "zip", FIXTURES / "doccano"))
    exports = [(Tool.doccano, archive, expected)]
    for name in ("flat_2_8.json", "datasets_2_8.jsonl"):  # As to_list(flatten=True) and to_datasets().to_json write it.
        exports.append((Tool.argilla, FIXTURES / "argilla" / name, {**expected, 5: [names[3]]}))
    for tool, export, each in exports:
        path, _ = take(settings(run, tool, export, overwrite=True))
        found = {line["id"]: (line["text"], line["why"] if line["tag"] is None else line["tag"]) for line in read(path)}
        assert found == {f"d/{i} é": (texts[i], tag) for i, tag in each.items()}


def test_argilla_asks_for_a_choice_and_keeps_texts_apart() -> None:
    """The server publishes no data set without a required question, and replaces the text of an id that it has."""
    (question,) = argilla.settings(("a", "b"), True)["questions"]
    assert question["required"]
    assert [option["value"] for option in question["settings"]["options"]] == ["a", "b", "none"]
    (question,) = argilla.settings(("none", "b"), True)["questions"]
    assert [option["value"] for option in question["settings"]["options"]] == ["none", "b"]
    first, again, other = argilla.records(
        [Question("x", text, 0.5, (), "") for text in ("t u", "t\nu ", "another")], "m", ("a", "b"), True
    )
    assert first["id"] == again["id"] != other["id"]
    assert first["suggestions"]["class"]["value"] == ["none"]


def test_special_words_are_not_classes() -> None:
    assert doccano.labels(("a", "ignore"), True)[-1]["text"] == "none"
    assert [label["text"] for label in doccano.labels(("a", "none"), False)] == ["a", "none", "ignore"]
    assert interpret(["none"], ("a",), True) == (Kind.tag, ())
    assert interpret(["None"], ("None",), True) == (Kind.tag, ("None",))
    assert interpret(["none"], ("a",), False) == (Kind.tag, ("none",))  # Not a class, which is reported later.
    assert interpret(["ignore"], ("a",), False) == (Kind.ignored, ())
    assert interpret(["a", "none"], ("a",), True) == "'none' cannot be combined with 'a'"


def test_an_annotator_has_one_vote_and_wins_over_a_suggestion() -> None:
    def by(person: str, label: str, at: str, kind: Kind = Kind.tag) -> Answer:
        return Answer("x", "t", kind, (label,), person, at=at)

    def agreed(*answers: Answer, accept: bool = False) -> tuple[str, ...] | None:
        return settle(answers, False, OnDisagreement.majority, accept)[0].labels

    assert agreed(by("1", "a", "2"), by("1", "a", "1"), by("2", "b", "3")) is None
    assert agreed(by("1", "b", "2"), by("1", "a", "1")) == ("b",)
    stamped = by("1", "a", "9", Kind.unreviewed)
    for accept in (False, True):
        assert agreed(stamped, by("1", "b", "1"), accept=accept) == ("b",)
        assert agreed(stamped, by("2", "b", "1"), accept=accept) == ("b",)
        assert agreed(stamped, by("2", "", "1", Kind.ignored), accept=accept) is None
    assert agreed(stamped) is None
    assert agreed(stamped, accept=True) == ("a",)


def test_which_annotations_were_reviewed_in_what_label_studio_exported() -> None:
    """As 1.23.2 exported them: a draft, one submitted as suggested after 0.3 s, one skipped and then tagged by another,
    one accepted in bulk, one accepted in bulk and then tagged by another."""
    exported = json.loads((FIXTURES / "label_studio" / "looked_at_1_23.json").read_text(encoding="utf-8"))
    answers = [answer for answer in label_studio.answers(exported) if isinstance(answer, Answer)]
    found = {one.id: one.labels or one.why for one in settle(answers, False, OnDisagreement.majority)}
    assert found == {
        "b2169": "unreviewed", "b2038": ("pending_cash_withdrawal",), "b1397": "unreviewed",
        "b1830": ("getting_spare_card",),
    }  # fmt: skip


def test_odd_classes_and_texts_went_through_label_studio(tmp_path: Path) -> None:
    """The queue below was pushed to 1.23.2, answered, and exported; one more task was imported with an annotation."""
    names = ("a & b", "<x> \"q\" 's'", "ünï, cödé;#  two", "https://c.d", "plain")
    texts = ['  two  spaces <b>&amp; "q"\n 2nd line\t tab 🙂', "https://example.com/only", "=1+1, a;b|c",
             "x\u2028y \u00a0z", "plain"]  # fmt: skip
    lines = [{"id": f"d/{i} é", "text": text, "suggested": [], "tag": None} for i, text in enumerate(texts)]
    run = made_run(tmp_path, True, lines)
    Schema(names, Task.multi_label).save(run.schema)
    export = FIXTURES / "label_studio" / "odd_classes_1_23.json"
    path, counts = take(settings(run, Tool.label_studio, export))
    assert counts == {"tagged": 4, "unreviewed": 1}
    tags = [[], list(names[:2]), list(names), [names[3]]]
    assert [(line["text"], line["tag"]) for line in read(path)[:4]] == [
        (text, sorted(tag)) for text, tag in zip(texts, tags, strict=False)
    ]
    accepted = settings(run, Tool.label_studio, export, unreviewed=Unreviewed.accept, overwrite=True)
    assert take(accepted)[1] == {"tagged": 5}


@pytest.mark.parametrize("tool", list(Tool))
def test_a_tag_is_never_given_to_another_text_with_its_id(tmp_path: Path, tool: Tool) -> None:
    """Documents without an id have their file and row as id, so that ids of two pools may be equal."""
    run = made_run(tmp_path, multi_label=False)
    text, tag = "of an earlier pool", CLASSES[0]
    result = [{"type": "choices", "value": {"choices": [tag]}}]
    exported: dict[Tool, Any] = {
        Tool.label_studio: [{"data": {"id": "two", "text": text}, "annotations": [{"result": result, "lead_time": 3}]}],
        Tool.argilla: [{"id": "two", "text": text, "class.responses": [tag], "class.responses.users": ["u"],
                        "class.responses.status": ["submitted"]}],
        Tool.doccano: {"tagsmith_id": "two", "text": text, "label": [tag]},
    }  # fmt: skip
    export = tmp_path / "export"
    export.write_text(json.dumps(exported[tool]) if tool in exported else f"id,text,tag\ntwo,{text},{tag}\n")
    with pytest.raises(DataError, match="id 'two' belongs to another text in the queue"):
        take(settings(run, tool, export))
    assert not (run.improve / f"from_{tool.value}.jsonl").exists()


def test_texts_that_tools_changed() -> None:
    assert same_document(" a\r\n b", "a b ")
    assert not same_document("a b", "a")
    assert same_document("word " * 9000, ("word " * 9000)[:32_767])  # Truncated by a spreadsheet.


def test_an_interface_keeps_its_customisations() -> None:
    own = label_studio.config(CLASSES, True).replace("<View>", '<View><Header value="Read our rules"/>')
    assert label_studio.with_missing_classes(own, CLASSES, True) is None
    wider = label_studio.with_missing_classes(own, (*CLASSES, "<new>"), True)
    assert wider is not None
    assert "Read our rules" in wider
    assert [node.get("value") for node in ElementTree.fromstring(wider).iter("Choice")] == [*CLASSES, "<new>"]
    for wrong, multi_label in ((own, False), ("<View/>", True), ("no xml", True)):
        with pytest.raises(SettingsError, match="has no Choices named 'class'"):
            label_studio.with_missing_classes(wrong, CLASSES, multi_label)


def test_special_words_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,text,tag\n1,x,Ignore\n2,y,none\n3,z,\n4,w,a|b\n")
    found = [(a.kind, a.labels) for a in sheet.answers(path, ("a", "b;"), True) if isinstance(a, Answer)]
    assert found == [(Kind.ignored, ()), (Kind.tag, ()), (Kind.tag, ("a", "b"))]
    only = [(a.kind, a.labels) for a in sheet.answers(path, ("ignore", "none", "a|b"), False) if isinstance(a, Answer)]
    assert only == [(Kind.ignored, ()), (Kind.tag, ("none",)), (Kind.tag, ("a|b",))]


@pytest.mark.parametrize(
    ("tool", "content", "message"),
    [
        (Tool.label_studio, "{", "expected JSON"),
        (Tool.label_studio, '{"a": 1}', "expected a list of tasks"),
        (Tool.label_studio, '[{"text": "t", "class": "x"}]', "not JSON-MIN"),
        (Tool.label_studio, '[{"data": {"id": 1}}]', "found no data.text"),
        (Tool.label_studio, '[{"data": {"text": "t"}, "annotations": [3]}]', "cannot be read"),
        (Tool.argilla, "[]x", "expected JSON"),
        (Tool.argilla, '["x"]', "a record with text"),
        (Tool.argilla, '[{"fields": {"text": "t"}, "responses": {"class": [{"status": "odd"}]}}]', "cannot be read"),
        (Tool.argilla, '{"text": "t"}\n{"', "export:2: not a JSON object"),
        (Tool.doccano, '{"text": "t", "label": "x"}', "a list in label"),
        (
            Tool.doccano,
            '{"text": "t", "label": ["ignore", "=sum"]}',
            "export:1: 'ignore' cannot be combined with '=sum'",
        ),
        (Tool.doccano, "no json", "not a JSON object"),
        (Tool.csv, "id,tag\n1,2\n", "expected the columns"),
        (Tool.csv, "", "expected the columns"),
        (Tool.csv, "id,text,tag\n1,t,unknown\n", "unknown class 'unknown'"),
        (Tool.doccano, '{"text": "t", "label": ["a; b", "=sum"]}', "expected one class"),
    ],
)
def test_unusable_exports(tmp_path: Path, tool: Tool, content: str, message: str) -> None:
    run = made_run(tmp_path, multi_label=False)
    (tmp_path / "export").write_text(content)
    with pytest.raises(DataError, match=message):
        take(settings(run, tool, tmp_path / "export"))
    assert not (run.improve / f"from_{tool.value}.jsonl").exists()


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    run = made_run(tmp_path, multi_label=False)
    give(settings(run, Tool.csv))
    with pytest.raises(SettingsError, match="overwrite=true"):
        give(settings(run, Tool.csv))
    give(settings(run, Tool.csv, overwrite=True))
    with pytest.raises(InputMissing, match="does not exist"):
        take(settings(run, Tool.csv, tmp_path / "none.csv"))
    (run.improve / "tag_next.jsonl").unlink()
    with pytest.raises(InputMissing, match=r"scripts/improve\.py"):
        give(settings(run, Tool.doccano))


def test_a_damaged_queue(tmp_path: Path) -> None:
    run = made_run(tmp_path, False, [{"id": "1", "text": "t"}, {"id": 2, "text": "t"}, {"text": None}])
    with pytest.raises(DataError) as error:
        give(settings(run, Tool.csv))
    assert "tag_next.jsonl:2" in str(error.value)
    assert "tag_next.jsonl:3" in str(error.value)


def test_accepting_unreviewed_suggestions(tmp_path: Path) -> None:
    run = made_run(tmp_path, multi_label=False)
    folder, _ = give(settings(run, Tool.label_studio))
    tasks = json.loads((folder / "tasks.json").read_text())
    for task in tasks:
        task["annotations"] = [{"result": task["predictions"][0]["result"], "parent_prediction": 1, "completed_by": 1}]
    (tmp_path / "export").write_text(json.dumps(tasks))
    _, counts = take(settings(run, Tool.label_studio, tmp_path / "export"))
    assert counts == {"unreviewed": 2}
    given = settings(run, Tool.label_studio, tmp_path / "export", unreviewed=Unreviewed.accept, overwrite=True)
    assert take(given)[1] == {"tagged": 2}


def test_a_question_without_a_suggestion() -> None:
    (task,) = label_studio.tasks([Question("1", "t", 0.0, None, "")], "m")
    assert task["predictions"] == []
    assert doccano.lines([Question("1", "t", 0.0, None, "")])[0]["suggested"] == ""
