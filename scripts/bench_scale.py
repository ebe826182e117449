"""Measure how training scales with the number of documents: time to the first step, memory, speed."""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import BenchScaleRun

CLASSES = (
    "account booking card claim delivery invoice loan meter order parcel password refund router seat subscription "
    "ticket"
)
FILLERS = (
    "a again and broken by charged did for help how i in is it late lost my no not of on please still the to today "
    "twice was we what when where why with wrong yet you"
)


@script("bench_scale")
def main(settings: BenchScaleRun) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        distinct = settings.distinct or settings.documents
        write_documents(folder / "train.jsonl", settings.documents, distinct, "")
        write_documents(folder / "test.jsonl", 1000, 1000, "test ")
        print(f"{settings.documents:,} documents, {min(distinct, settings.documents):,} of them distinct")
        for cache in ("cold", "warm"):
            print(f"{cache} cache: {measure(settings, folder, folder / cache)}", flush=True)


def write_documents(path: Path, documents: int, distinct: int, before: str) -> None:
    """Short documents of 4 to 12 words, one of which determines the class; they repeat after `distinct`."""
    classes, fillers = CLASSES.split(), FILLERS.split()
    with path.open("w", encoding="utf-8") as file:
        for i in range(documents):
            draw = random.Random(i % distinct)
            label = classes[i % distinct % len(classes)]
            words = [*draw.choices(fillers, k=draw.randint(3, 10)), label]
            draw.shuffle(words)
            text = f"{before}{' '.join(words)} {i % distinct}"
            file.write(json.dumps({"text": text, "label": label}) + "\n")


def measure(settings: BenchScaleRun, folder: Path, run: Path) -> str:
    """Train in a separate process; report its times to the first and last step, and its peak memory."""
    command = [sys.executable, str(Path(__file__).with_name("train.py")), "data=jsonl", f"run={run}"]
    command += [f"data.{name}={folder / name}.jsonl" for name in ("train", "test")]
    command += [f"model={settings.model}", f"cache.folder={folder / 'cache'}", f"train.max_steps={settings.steps}"]
    command += ["train.log_every=1", "train.tensorboard=false", *(settings.overrides or [])]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        seconds: list[float] = []
        to_first_step = 0.0
        while process.returncode is None:
            time.sleep(0.05)
            steps = (run / "metrics.jsonl").read_text().count('"loss"') if (run / "metrics.jsonl").exists() else 0
            if steps and not seconds:
                to_first_step = sum(watched.cpu_times()[:2])
            seconds += [time.monotonic() - started] * (steps - len(seconds))
            ended, left, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                process.returncode = os.waitstatus_to_exitcode(left)
    if process.returncode or len(seconds) < settings.steps:
        print(f"training exited with status {process.returncode} after {len(seconds)} steps", file=sys.stderr)
        sys.exit(process.returncode or 70)
    speed = (len(seconds) - 1) / max(1e-9, seconds[-1] - seconds[0])
    # Linux reports KiB, macOS bytes; resident pages of memory-mapped files are included.
    peak = usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return (
        f"first step after {seconds[0]:.1f} s ({to_first_step:.1f} s of processor time), {speed:.2f} steps/s, "
        f"at most {peak:.2f} GiB of memory"
    )


if __name__ == "__main__":
    main()
