"""scripts/tag.py: its command until Ctrl-C, and the files that it writes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from tagsmith.config.settings import TagRun
from tagsmith.core.local_http import listen
from tagsmith.tag.tag_run import open_page
from tests.cli.conftest import Script

pytestmark = pytest.mark.slow


def test_a_page_until_ctrl_c_and_its_tags(script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pool.csv").write_text("text\nthe invoice is wrong\nit does not start\n", encoding="utf-8")
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    project = tmp_path / "tickets"
    settings = TagRun(
        project=str(project), pool=str(tmp_path / "pool.csv"), classes=["billing", "bug"], port=port, suggest=False
    )
    printed: list[str] = []

    def tag_one() -> None:
        try:
            while not printed:
                printed.extend(capsys.readouterr().out.splitlines())
                time.sleep(0.01)
            place, _, token = printed[0].removeprefix("me: ").partition("#")
            headers = {"Authorization": f"Bearer {token}"}
            (one,) = requests.post(f"{place}api/next", json={"count": 1}, headers=headers, timeout=30).json()[
                "documents"
            ]
            decision = {"key": "the only one", "document": one["id"], "kind": "tag", "tags": ["bug"]}
            assert requests.post(f"{place}api/decisions", json=decision, headers=headers, timeout=30).ok
            printed.append("tagged")
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    person = threading.Thread(target=tag_one)
    person.start()
    open_page(settings)
    person.join()
    assert printed[0].startswith(f"me: http://127.0.0.1:{port}/#")
    assert printed[-1] == "tagged"
    assert capsys.readouterr().out.endswith(f"python scripts/tag.py export project={project}\n")

    done = script("tag", "export", "project=tickets")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "1 document with a tag: tickets/tags.jsonl, tickets/tags.csv, tickets/label_studio/tasks.json, "
        "tickets/azure/labels.json",
        "To train on them:",
        "  python scripts/train.py data.train=tickets/tags.jsonl data.label_field=tag run=runs/tickets",
    ]
    done = script("tag", "export", "project=nowhere")
    assert done.returncode == 66
    assert "project=nowhere: no project here" in done.stderr


def test_the_page_does_not_wait_for_torch() -> None:
    code = (
        "import sys, tagsmith.tag.tag_run; print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
