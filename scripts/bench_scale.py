"""How training scales with the documents: seconds to the first step with a cold and a warm cache, memory, speed."""

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

THINGS = ["account", "booking", "card", "claim", "delivery", "invoice", "loan", "meter", "order", "parcel",
          "password", "refund", "router", "seat", "subscription", "ticket"]  # fmt: skip
WORDS = ["a", "again", "and", "broken", "by", "charged", "did", "for", "help", "how", "i", "in", "is", "it", "late",
         "lost", "my", "no", "not", "of", "on", "please", "still", "the", "to", "today", "twice", "was", "we", "what",
         "when", "where", "why", "with", "wrong", "yet", "you"]  # fmt: skip


@script("bench_scale")
def main(settings: BenchScaleRun) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        distinct = settings.distinct or settings.documents
        write_documents(folder / "train.jsonl", settings.documents, distinct, "")
        write_documents(folder / "test.jsonl", 1000, 1000, "test ")
        print(f"{settings.documents:,} documents, {min(distinct, settings.documents):,} of them different")
        for cache in ("cold", "warm"):
            print(f"{cache} cache: {measure(settings, folder, folder / cache)}", flush=True)


def write_documents(path: Path, documents: int, distinct: int, before: str) -> None:
    """Short documents, 4 to 12 words around the one that gives the class; number `distinct` is number 0 again."""
    with path.open("w", encoding="utf-8") as file:
        for i in range(documents):
            draw = random.Random(i % distinct)
            label = THINGS[i % distinct % len(THINGS)]
            words = [*draw.choices(WORDS, k=draw.randint(3, 10)), label]
            draw.shuffle(words)
            text = f"{before}{' '.join(words)} {i % distinct}"
            file.write(json.dumps({"text": text, "label": label}) + "\n")


def measure(settings: BenchScaleRun, folder: Path, run: Path) -> str:
    """Train in a process of its own; from its start to its first and last step, and the most memory it held."""
    command = [
        sys.executable, str(Path(__file__).with_name("train.py")), "data=jsonl", f"data.train={folder / 'train.jsonl'}",
        f"data.test={folder / 'test.jsonl'}", f"model={settings.model}", f"train.max_steps={settings.steps}",
        "train.log_every=1", "train.tensorboard=false", f"cache.folder={folder / 'cache'}", f"run={run}",
        *(settings.overrides or []),
    ]  # fmt: skip
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
        print(f"training ended with exit status {process.returncode}, {len(seconds)} steps seen", file=sys.stderr)
        sys.exit(process.returncode or 70)
    speed = (len(seconds) - 1) / max(1e-9, seconds[-1] - seconds[0])
    # Linux counts in KiB, macOS in bytes; pages of the memory-mapped files that are in memory count too.
    peak = usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return (
        f"first step after {seconds[0]:.1f} s ({to_first_step:.1f} s of processor time), {speed:.2f} steps/s, "
        f"at most {peak:.2f} GiB of memory"
    )


if __name__ == "__main__":
    main()
