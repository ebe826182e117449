"""scripts/classify.py on many rows: kills, processes, Parquet; with a small bundle from the fixtures."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Script
from tests.conftest import make_documents, write_jsonl

pytestmark = pytest.mark.slow

BUNDLE = f"bundle={ROOT / 'tests' / 'fixtures' / 'format_1' / 'single'}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows in new.jsonl, some of which cannot be classified, and their classes in whole.jsonl."""
    folder = tmp_path_factory.mktemp("whole")
    records = [{"id": r["id"], "text": r["text"]} for r in make_documents(3000, multi_label=False, longest=40)]
    for i in range(7, 3000, 500):
        records[i]["text"] = ""
    write_jsonl(folder / "new.jsonl", records)
    done = Script(folder)("classify", BUNDLE, "input=new.jsonl", "output=whole.jsonl", "batch_documents=32")
    assert done.returncode == 0, done.stderr
    assert "2,994 rows classified, 6 rows with an error" in done.stdout
    return folder


@pytest.fixture
def rows(whole: Path, tmp_path: Path) -> list[dict[str, object]]:
    """The rows of new.jsonl."""
    shutil.copy(whole / "new.jsonl", tmp_path)
    return [json.loads(line) for line in (whole / "new.jsonl").read_text().splitlines()]


@pytest.fixture
def expected(whole: Path, rows: list[dict[str, object]]) -> bytes:
    return (whole / "whole.jsonl").read_bytes()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for orphans in /proc")
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_command_resumes_to_the_same_bytes(
    script: Script, expected: bytes, tmp_path: Path, processes: int
) -> None:
    words = [BUNDLE, "input=new.jsonl", "output=out.jsonl", "batch_documents=32", "checkpoint_seconds=0"]
    words += [f"processes={processes}", "resume=true"]
    command = [sys.executable, str(ROOT / "scripts" / "classify.py"), *words]
    progress, draw, done_before = tmp_path / ".out.jsonl.partial.json", random.Random(processes), 0
    for kill in range(2):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None:  # Until it has made some progress.
            done = json.loads(progress.read_text())["state"] if progress.exists() else {}
            if done.get("classified", 0) > done_before:
                break
            time.sleep(0.001)
        time.sleep(draw.random() / 100)
        workers = children(process.pid) if process.poll() is None else []
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"done before kill {kill + 1}"
        assert not (tmp_path / "out.jsonl").exists()
        done_before = json.loads(progress.read_text())["state"]["classified"]
        deadline = time.monotonic() + 20
        while any(map(alive, workers)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(map(alive, workers))
    without = script("classify", *[word for word in words if word != "resume=true"])
    assert without.returncode == 64
    assert "resume=true resumes from it" in without.stderr
    assert 0 < done_before < 2994
    ended = script("classify", *words)
    assert ended.returncode == 0, ended.stderr
    assert "2,994 rows classified, 6 rows with an error" in ended.stdout
    assert (tmp_path / "out.jsonl").read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.jsonl", "out.jsonl"]
    again = script("classify", *words)
    assert (again.returncode, again.stdout) == (0, ended.stdout)
    assert "nothing was classified" in again.stderr
    other = script("classify", BUNDLE.replace("single", "multi"), *words[1:])
    assert other.returncode == 64
    assert "predicts something else for row 1, id 0-0;" in other.stderr


@pytest.mark.parametrize("processes", [1, 2])
def test_the_message_after_sigterm_says_how_to_resume(
    script: Script, rows: list[dict[str, object]], tmp_path: Path, processes: int
) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "classify.py"), BUNDLE, "input=new.jsonl", "output=out.jsonl"]
    command += ["batch_documents=8", "checkpoint_seconds=0", f"processes={processes}"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / ".out.jsonl.partial.json").exists():
        time.sleep(0.005)
    process.terminate()
    _, message = process.communicate(timeout=60)
    assert process.returncode == 75, message
    assert "run the same command with output=out.jsonl resume=true" in message
    done = script("classify", *command[2:], "resume=true")
    assert done.returncode == 0, done.stderr
    assert "2,994 rows classified" in done.stdout


def test_parquet_gives_the_same_output_as_json_lines(
    script: Script, rows: list[dict[str, object]], expected: bytes, tmp_path: Path
) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"more": list(range(3000)), "id": [r["id"] for r in rows], "text": [r["text"] for r in rows]})
    parquet.write_table(table, tmp_path / "new.parquet", row_group_size=700)
    done = script(
        "classify", BUNDLE, "input=new.parquet", "output=out.jsonl", "batch_documents=32", "processes=2"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == expected

    # Arrow accepts arbitrary bytes as strings.
    nulls, offsets, data = pa.array([b"a cat", None, b"\xff\xfe", b" "], pa.binary()).buffers()
    raw = pa.StringArray.from_buffers(4, offsets, data, nulls)
    parquet.write_table(pa.table({"text": raw, "id": pa.array([1, 2, 3, 4])}), tmp_path / "odd.parquet")
    done = script("classify", BUNDLE, "input=odd.parquet", "output=odd.jsonl")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (tmp_path / "odd.jsonl").read_text().splitlines()]
    assert [line.get("error", line.get("label")) for line in found[1:]] == [
        "expected text as text, found NoneType",
        "text is not valid Unicode",
        "text is empty",
    ]
    assert [line["id"] for line in found] == [1, 2, 3, 4]

    wrong = script("classify", BUNDLE, "input=odd.parquet", "output=p.jsonl", "text_field=body")
    assert wrong.returncode == 65
    assert "expected the column body, found text, id" in wrong.stderr
    (tmp_path / "no.parquet").write_bytes(b"no parquet")
    wrong = script("classify", BUNDLE, "input=no.parquet", "output=p.jsonl")
    assert wrong.returncode == 65
    assert "cannot be read as Parquet" in wrong.stderr


@pytest.mark.parametrize("content", ["", '{"body": "a cat"}\n{"text": ""}\nno json\n'])
def test_an_input_without_usable_rows_is_refused(script: Script, tmp_path: Path, content: str) -> None:
    (tmp_path / "new.jsonl").write_text(content)
    done = script("classify", BUNDLE, "input=new.jsonl", "output=out.jsonl")
    assert done.returncode == 65
    assert ("none of" if content else "there are no rows") in done.stderr
    assert ("row 1: no field text; found body" in done.stderr) == bool(content)
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["new.jsonl"]  # noqa: PTH208
