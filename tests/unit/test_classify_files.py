"""Resuming interrupted commands, and the conditions for it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from tagsmith.classify.files import classify_files as module
from tagsmith.classify.files.classify_files import Counts, classify_files
from tagsmith.classify.files.inputs import Input, Row, open_input
from tagsmith.config.settings import ClassifyRun
from tagsmith.core.errors import DataError, Interrupted, SettingsError
from tagsmith.rows.open import open_table
from tagsmith.rows.table import Reading
from tests.conftest import make_documents
from tests.made_sheets import write_ods

BUNDLES = Path(__file__).parents[1] / "fixtures" / "format_1"


@pytest.fixture
def settings(tmp_path: Path) -> ClassifyRun:
    write(tmp_path / "new.jsonl", [{"text": record["text"]} for record in make_documents(200, multi_label=True)])
    return ClassifyRun(
        bundle=str(BUNDLES / "multi"),
        input=str(tmp_path / "new.jsonl"),
        output=str(tmp_path / "out.jsonl"),
        batch_documents=16,
        checkpoint_seconds=0,
    )


def write(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def interrupt(settings: ClassifyRun, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Run a command that receives SIGINT after reading `after` rows."""

    def interrupted(*words: Any, **more: Any) -> Input:
        given = open_input(*words, **more)

        def rows() -> Iterator[Row]:
            for row in given.rows:
                if row.place > after:
                    raise KeyboardInterrupt
                yield row

        return replace(given, rows=rows())

    monkeypatch.setattr(module, "open_input", interrupted)
    with pytest.raises(Interrupted, match="to resume, run the same command"):
        classify_files(settings)
    monkeypatch.setattr(module, "open_input", open_input)
    assert not Path(settings.output).exists()


def test_resuming_after_an_interruption(settings: ClassifyRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = replace(settings, output=str(tmp_path / "whole.jsonl"))
    counts = classify_files(whole)
    assert (counts.classified, counts.errors) == (200, 0)
    interrupt(settings, monkeypatch, 100)
    again = replace(settings, resume=True)
    interrupt(again, monkeypatch, 150)
    assert json.loads((tmp_path / ".out.jsonl.partial.json").read_text())["state"]["classified"] == 144
    assert classify_files(again) == counts
    assert Path(settings.output).read_bytes() == Path(whole.output).read_bytes()
    assert classify_files(again) == counts  # Already complete.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.jsonl", "out.jsonl", "whole.jsonl"]


def test_rows_added_after_an_interruption_are_classified(
    settings: ClassifyRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interrupt(settings, monkeypatch, 199)
    with Path(settings.input).open("a") as file:
        file.write('{"text": "a cat"}\n')
    assert classify_files(replace(settings, resume=True)).classified == 201
    classify_files(replace(settings, output=str(tmp_path / "whole.jsonl")))
    assert Path(settings.output).read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_resuming_with_other_rows_is_refused(settings: ClassifyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(settings, monkeypatch, 100)
    lines = Path(settings.input).read_text().splitlines(keepends=True)
    Path(settings.input).write_text("".join(['{"text": "another"}\n', *lines[1:]]))
    with pytest.raises(DataError, match="the first 96 rows differ from those classified before"):
        classify_files(replace(settings, resume=True))
    with pytest.raises(SettingsError, match="resume=true resumes from it"):
        classify_files(settings)
    assert classify_files(replace(settings, overwrite=True)).classified == 200


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("text_field", "body", r"text_field=body \(was text\)"),
        ("batch_documents", 17, r"batch_documents=17 \(was 16\)"),
        ("bundle", str(BUNDLES / "single"), "bundle="),
    ],
)
def test_resuming_with_other_settings_is_refused(
    settings: ClassifyRun, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, message: str
) -> None:
    interrupt(settings, monkeypatch, 100)
    with pytest.raises(SettingsError, match=message):
        classify_files(replace(settings, resume=True, **{name: value}))


@pytest.mark.parametrize("records", [5 * [{"text": "a cat"}], 200 * [{"text": "", "id": 3}], 201 * [{"text": "a cat"}]])
def test_the_output_of_another_input_is_refused(
    settings: ClassifyRun, tmp_path: Path, records: list[dict[str, Any]]
) -> None:
    classify_files(settings)
    write(tmp_path / "other.jsonl", records)
    with pytest.raises(SettingsError, match="belongs to another input"):
        classify_files(replace(settings, input=str(tmp_path / "other.jsonl"), resume=True))


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(settings: ClassifyRun, tmp_path: Path) -> None:
    classify_files(settings)
    classify_files(replace(settings, output=str(tmp_path / "two.jsonl"), processes=2))
    assert (tmp_path / "two.jsonl").read_bytes() == Path(settings.output).read_bytes()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder in which nobody can make a file")
def test_an_output_that_cannot_be_written_is_refused(settings: ClassifyRun) -> None:
    with pytest.raises(SettingsError, match=r"output=/proc/t\.jsonl: cannot be written"):
        classify_files(replace(settings, output="/proc/t.jsonl"))


def test_a_folder_is_read_without_hidden_files_and_counts_other_kinds(
    settings: ClassifyRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["a.txt", "B.TXT", "sub/c.txt", "sub/._c.txt", ".git/d.txt", "__MACOSX/e.txt", "notes.docx", "README"]
    for name in names:
        path = tmp_path / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("Where is my parcel?")
    classify_files(replace(settings, input=str(tmp_path / "inbox")))
    lines = [json.loads(line) for line in Path(settings.output).read_text().splitlines()]
    assert [line["file"] for line in lines] == ["B.TXT", "a.txt", "sub/c.txt"]
    assert f"input={tmp_path / 'inbox'}: left out 2 files other than .txt: 1 .docx, 1 without a suffix." in caplog.text


def test_a_folder_without_text_files_says_what_it_holds(settings: ClassifyRun, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.docx").touch()
    with pytest.raises(DataError, match=r"expected files such as .*, found 1 \.docx\."):
        open_input([str(tmp_path / "inbox")], ["text"], Reading())


TICKETS = "id,subject,body,queue\n7,Parcel,Where is it?,north\n8,Refund,,south\n9,,,\n10, , ,east\n"


@pytest.fixture
def tickets(settings: ClassifyRun, tmp_path: Path) -> ClassifyRun:
    (tmp_path / "tickets.csv").write_text(TICKETS)
    given = {"input": str(tmp_path / "tickets.csv"), "text_field": ["Subject", "body"], "keep": ["queue"]}
    return replace(settings, **given)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [record for _, record in open_table(path, Reading()).rows() if isinstance(record, dict)]


def test_where_no_row_can_be_classified_each_error_is_said_once(settings: ClassifyRun, tmp_path: Path) -> None:
    write(tmp_path / "odd.jsonl", [{"body": "Where is it?"}, {"body": "And this?"}, {"text": ""}])
    with pytest.raises(DataError) as caught:
        classify_files(replace(settings, input=str(tmp_path / "odd.jsonl")))
    assert str(caught.value).splitlines() == [
        f"input={tmp_path / 'odd.jsonl'}: none of 3 rows can be classified.",
        "  - row 1, row 2: no field text; found body; name it with text_field=",
        "  - row 3: text is empty",
    ]


def test_several_text_fields_and_kept_fields(tickets: ClassifyRun, tmp_path: Path) -> None:
    assert classify_files(tickets) == Counts(classified=2, errors=2)
    first, second, *bad = rows_of(tmp_path / "out.jsonl")
    assert list(first)[:3] == ["row", "id", "queue"]
    assert (first["row"], first["id"], first["queue"]) == (2, "7", "north")
    write(tmp_path / "joined.jsonl", [{"text": "Parcel\nWhere is it?"}, {"text": "Refund"}])
    classify_files(replace(tickets, input=str(tmp_path / "joined.jsonl"), text_field=None, keep=[], overwrite=True))
    assert [one["scores"] for one in rows_of(tmp_path / "out.jsonl")] == [first["scores"], second["scores"]]
    assert {one["error"] for one in bad} == {"Subject, body is empty"}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_output_may_be_a_table(tickets: ClassifyRun, tmp_path: Path, suffix: str) -> None:
    classify_files(tickets)
    lines = rows_of(tmp_path / "out.jsonl")
    to_table = replace(tickets, output=str(tmp_path / f"out{suffix}"))
    assert classify_files(to_table) == Counts(classified=2, errors=2)
    table = rows_of(tmp_path / f"out{suffix}")
    assert [str(one["id"]) for one in table] == [line["id"] for line in lines]
    assert [one["error"] or None for one in table] == [line.get("error") for line in lines]
    if suffix == ".parquet":
        assert [one["scores"] for one in table[:2]] == [line["scores"] for line in lines[:2]]
    else:
        names = list(lines[0]["scores"])
        assert [float(table[0][f"scores.{name}"]) for name in names] == list(lines[0]["scores"].values())
        assert json.loads(table[0]["labels"]) == lines[0]["labels"]
    assert not list(tmp_path.glob(".*"))
    assert classify_files(replace(to_table, resume=True)) == Counts(classified=2, errors=2)
    with pytest.raises(SettingsError, match="belongs to another input"):
        classify_files(replace(to_table, resume=True, input=str(tmp_path / "new.jsonl")))


def test_input_and_output_may_be_a_pipe(
    settings: ClassifyRun,
    tmp_path: Path,
    capfdbinary: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    classify_files(settings)
    assert not [message for message in caplog.messages if not message.startswith("engine: ")]
    caplog.clear()
    capfdbinary.readouterr()
    with Path(str(settings.input)).open("rb") as given:
        monkeypatch.setattr("sys.stdin", TextIOWrapper(given))
        classify_files(replace(settings, input="-", output="-"))
    assert capfdbinary.readouterr().out == (tmp_path / "out.jsonl").read_bytes()
    others = [message for message in caplog.messages if not message.startswith("engine: ")]
    assert others == ["Read standard input as JSON Lines."]
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"body;id\nHello;1\n")))
    with pytest.raises(DataError, match=r"^standard input: expected the column text, found body, id; name it"):
        classify_files(replace(settings, input="-", output="-"))


def test_an_open_document_is_classified(
    settings: ClassifyRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classify_files(settings)
    expected = [line["scores"] for line in rows_of(Path(settings.output))]
    write_ods(tmp_path / "t", [{"Text": line["text"]} for line in rows_of(Path(str(settings.input)))])
    classify_files(replace(settings, input=str(tmp_path / "t"), overwrite=True))
    found = rows_of(Path(settings.output))
    assert [(line["row"], line["scores"]) for line in found] == [*enumerate(expected, 2)]
    assert f"Read {tmp_path / 't'} as OpenDocument ('Tickets', the first of 2 sheets)." in caplog.messages


def test_every_line_is_valid_json(settings: ClassifyRun, tmp_path: Path) -> None:
    ids = ["NaN", "Infinity", '"\\ud800"', '[NaN, "\\udce9"]', "1e400", "null"]
    content = "".join(f'{{"id": {value}, "text": "Where is it?"}}\n' for value in ids)
    (tmp_path / "odd.jsonl").write_text(content)
    classify_files(replace(settings, input=str(tmp_path / "odd.jsonl")))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    lines = [json.loads(line, parse_constant=refuse) for line in Path(settings.output).read_bytes().splitlines()]
    found = [line.get("id") for line in lines]
    assert found == [None, "inf", "\\ud800", [None, "\\udce9"], "inf", None]
