"""`python -m tagsmith.bench.classifiers.measure SPEC RESULT`: one contender, alone in this interpreter."""

import time

STARTED = time.perf_counter()  # Before anything that a contender may need is imported.

import json  # noqa: E402
import sys  # noqa: E402
from dataclasses import asdict, dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

from tagsmith.bench.classifiers.contenders import CONTENDERS, Task  # noqa: E402


@dataclass(frozen=True)
class Figures:
    """What a contender took.

    Attributes:
        first_answer: seconds from before its imports to its first answer.
        singles: seconds of each call with one short text.
        seconds, processor_seconds: of one call with all documents, the second one of all threads together.
        peak_memory: most resident memory of the process, MiB, imports included.
        classes: the most likely class of each document.
    """

    first_answer: float
    singles: list[float]
    seconds: float
    processor_seconds: float
    peak_memory: float
    classes: list[int]


def measure(name: str, task: Task, texts: list[str], short: list[str], calls: int, started: float) -> Figures:
    """Load, answer once, then short texts one by one, then all documents at once."""
    classify = CONTENDERS[name](task)
    classify(short[:1])
    first_answer = time.perf_counter() - started
    singles = []
    for i in range(calls):
        begun = time.perf_counter()
        classify([short[i % len(short)]])
        singles.append(time.perf_counter() - begun)
    begun, used = time.perf_counter(), time.process_time()
    classes = classify(texts)
    seconds, processor_seconds = time.perf_counter() - begun, time.process_time() - used
    return Figures(first_answer, singles, seconds, processor_seconds, peak_memory(), classes)


def peak_memory() -> float:
    """Most resident memory of this interpreter so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # Of this program alone: what getrusage tells began with the process that started it.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main(spec: Path, result: Path) -> None:
    """Measure what the file `spec` says, and write the figures to the file `result`."""
    content = json.loads(spec.read_text(encoding="utf-8"))
    task = Task(**content["task"])
    figures = measure(content["name"], task, content["texts"], content["short"], content["calls"], STARTED)
    result.write_text(json.dumps(asdict(figures)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
