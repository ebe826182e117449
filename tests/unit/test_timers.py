"""The unit files in configs/timers: they parse, and take each command and status as documented."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tagsmith.config.composition import to_settings
from tagsmith.config.settings import RefreshRun
from tagsmith.config.stages import STAGES
from tagsmith.config.words import groups_of, word_problems
from tagsmith.core.errors import DataError, InputMissing, SettingsError, TagsmithError, TryAgainLater
from tests.unit.test_config import CONFIGS, composed

TIMERS = CONFIGS / "timers"
README = CONFIGS.parent / "src" / "tagsmith" / "refresh" / "README.md"
SCRIPTS = CONFIGS.parent / "scripts" / "README.md"
PROGRAM = "/opt/tagsmith/bin/tagsmith"


def ini(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(TIMERS / name)
    return parser


def entry(name: str) -> tuple[str, str]:
    """The schedule and the command of the one entry of a crontab."""
    lines = [line for line in (TIMERS / name).read_text().splitlines() if line and not re.match(r"#|\w+=", line)]
    (line,) = lines
    *schedule, command = line.split(maxsplit=5)
    return " ".join(schedule), command


def cron_job() -> dict[str, Any]:
    _, found = yaml.safe_load_all((TIMERS / "cronjob.yaml").read_text())
    assert isinstance(found, dict)
    return found


def container() -> dict[str, Any]:
    (found,) = cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def words_of(name: str) -> list[str]:
    """What the program of a timer is started with."""
    if name == "cronjob.yaml":
        command = container()["command"]
    elif name == "tagsmith-refresh.service":
        command = shlex.split(ini(name)["Service"]["ExecStart"])
    else:
        (found,) = re.findall(rf"{PROGRAM} [^&|>)]*", entry(name)[1])
        command = shlex.split(found.removesuffix(" 2"))
    assert command[0].endswith("tagsmith")
    assert command[1] == "refresh"
    return list(command[2:])


KINDS = ["tagsmith-refresh.service", "crontab", "scrontab", "cronjob.yaml"]


def test_all_timers_are_tested() -> None:
    assert {path.name for path in TIMERS.iterdir()} == {*KINDS, "tagsmith-refresh.timer"}


@pytest.mark.parametrize("name", KINDS)
def test_the_command_of_a_timer_is_accepted(name: str) -> None:
    words = words_of(name)
    assert not word_problems(words, STAGES["refresh"], groups_of("refresh", CONFIGS))
    settings = to_settings(composed("refresh", *words), RefreshRun, "")
    assert settings.store.endswith("store/tickets")
    # Only systemd can be told of other statuses that are a success.
    assert settings.zero_unless_failed is (name != "tagsmith-refresh.service")


def rows(text: str) -> dict[int, list[str]]:
    """The cells of the rows that begin with a status, in the section about them."""
    text = text.partition("## What a status means")[2].partition("\n## ")[0] or text
    found = re.findall(r"^\| (\d+) \| (.*) \|$", text, flags=re.MULTILINE)
    return {int(status): cells.split(" | ") for status, cells in found}


def statuses(cell: int, word: str) -> set[int]:
    """The statuses of the guide's table, where the cell begins with the word."""
    found = {status for status, cells in rows(README.read_text()).items() if cells[cell].startswith(word)}
    assert found
    return found


def test_the_tables_name_all_statuses() -> None:
    kinds = (SettingsError, DataError, InputMissing, TagsmithError, TryAgainLater)
    every = {0, 3, 4, *(kind.exit_status for kind in kinds)}
    assert rows(README.read_text()).keys() == every
    assert every <= rows(SCRIPTS.read_text()).keys()


def test_systemd_takes_each_status_as_the_table_says() -> None:
    service = ini("tagsmith-refresh.service")["Service"]
    assert {0, *map(int, service["SuccessExitStatus"].split())} == statuses(2, "success")
    assert {*map(int, service["RestartForceExitStatus"].split())} == statuses(2, "again")
    assert statuses(2, "failed") == {64, 65, 66, 70}
    # Other restarts would train again and again on data that is refused.
    assert "Restart" not in service


def test_kubernetes_takes_each_status_as_the_table_says() -> None:
    job = cron_job()["spec"]["jobTemplate"]["spec"]
    actions: dict[str, set[int]] = {}
    for rule in job["podFailurePolicy"]["rules"]:
        assert len(rule.keys() & {"onExitCodes", "onPodConditions"}) == 1
        if "onExitCodes" in rule:
            codes = rule["onExitCodes"]
            assert codes["containerName"] == container()["name"]
            assert codes["operator"] == "In"
            assert codes["values"] == sorted(set(codes["values"]))
            assert 0 not in codes["values"]
            actions[rule["action"]] = {*codes["values"]}
    assert actions == {"FailJob": statuses(3, "FailJob"), "Count": statuses(3, "Count")}
    assert statuses(3, "0") == {0, 3, 4}


def test_a_preempted_pod_is_replaced_and_does_not_count() -> None:
    first = cron_job()["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"][0]
    # The first rule that fits decides: a pod that is drained ends with 75.
    assert first == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}


def test_the_cron_job_runs_once_at_a_time_and_may_save_a_checkpoint() -> None:
    spec = cron_job()["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert re.fullmatch(r"\d+ \d+ \* \* \*", spec["schedule"])
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # With any other, podFailurePolicy is refused.
    assert pod["terminationGracePeriodSeconds"] >= 120
    claim, _ = yaml.safe_load_all((TIMERS / "cronjob.yaml").read_text())
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert mounts == {pod["volumes"][0]["name"]: container()["workingDir"]}
    given = dict(word.split("=", 1) for word in words_of("cronjob.yaml"))
    assert all(given[name].startswith("/srv/tagsmith/") for name in ("store", "data.train"))
    assert {one["name"] for one in container()["env"]} == {"TAGSMITH_API_KEYS", "TAGSMITH_WEBHOOK_SECRET"}


def test_systemd_ends_a_training_with_a_checkpoint() -> None:
    unit = ini("tagsmith-refresh.service")
    assert unit["Service"]["KillMode"] == "mixed"
    assert unit["Service"]["TimeoutStopSec"] == "5min"
    assert unit["Unit"]["RequiresMountsFor"] == unit["Service"]["WorkingDirectory"]
    # The restarts that the limit allows fit into its interval.
    assert int(unit["Unit"]["StartLimitBurst"]) * 15 <= 6 * 60
    assert ini("tagsmith-refresh.timer")["Timer"]["Persistent"] == "true"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_reads_both_units(tmp_path: Path) -> None:
    for name in ("tagsmith-refresh.service", "tagsmith-refresh.timer"):
        (tmp_path / name).write_text((TIMERS / name).read_text().replace(PROGRAM, sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    # It does report a mistake.
    service = tmp_path / "tagsmith-refresh.service"
    service.write_text(service.read_text().replace("Type=exec", "Type=exce"))
    assert "tagsmith-refresh.service" in subprocess.run(command, capture_output=True, text=True).stderr


FIELD = r"(?:\*|\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)(?:/\d+)?"


@pytest.mark.parametrize("name", ["crontab", "scrontab"])
def test_a_crontab_has_five_fields_and_a_command(name: str) -> None:
    schedule, command = entry(name)
    assert re.fullmatch(rf"{FIELD}(?: {FIELD}){{4}}", schedule)
    assert "%" not in command  # A line end, in crontabs.
    assert (TIMERS / name).read_text().endswith("\n")
    assert subprocess.run(["sh", "-n", "-c", command]).returncode == 0


@pytest.mark.parametrize(("status", "mail"), [(0, ""), (65, "it went wrong\nand why\n")])
def test_cron_sends_mail_only_where_a_refresh_has_failed(tmp_path: Path, status: int, mail: str) -> None:
    program = tmp_path / "tagsmith"
    program.write_text(f"#!/bin/sh\necho it went wrong\necho and why >&2\nexit {status}\n")
    program.chmod(0o755)
    command = entry("crontab")[1].replace(PROGRAM, str(program)).replace("/srv/tagsmith", str(tmp_path))
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (mail, "")


def test_the_options_of_scrontab_stand_right_before_its_entry_and_leave_time_for_a_checkpoint() -> None:
    lines = (TIMERS / "scrontab").read_text().splitlines()
    options = dict(
        re.fullmatch(r"#SCRON --([\w-]+)(?:=(.+))?", line).groups()  # type: ignore[union-attr]
        for line in lines
        if line.startswith("#SCRON")
    )
    assert not lines[-1].startswith("#")
    assert all(line.startswith("#SCRON") for line in lines[-1 - len(options) : -1])
    assert options.keys() >= {"requeue", "time", "chdir", "output"}
    assert re.fullmatch(r"TERM@(\d+)", options["signal"]).group(1) == "300"  # type: ignore[union-attr]
    # A shell in between would keep the signal to itself.
    assert entry("scrontab")[1].startswith("exec srun ")
