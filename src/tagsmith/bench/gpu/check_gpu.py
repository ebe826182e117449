"""Check the claims of the READMEs that one GPU can check, and measure its speed; on a CPU, a dry run of the same."""

import json
import logging
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from rich.table import Table

from tagsmith.bench.gpu.made import ENCODERS, TINY, Size, make_documents, make_encoder
from tagsmith.bench.gpu.speed import tagsmith_speed, trainer_speed, words
from tagsmith.bench.kills import check_kills
from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import (
    CacheSettings,
    CheckGpu,
    CheckKills,
    Device,
    EvaluateSettings,
    ExportRun,
    ModelSettings,
    Precision,
    TableSettings,
    TrainRun,
    TrainSettings,
)
from tagsmith.core.errors import SettingsError
from tagsmith.core.files import read_json_lines, write_json
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.export.export_run import export
from tagsmith.model.loaded_model import LoadedModel, load_trained
from tagsmith.model.packed import why_padded
from tagsmith.model.processes import start_accelerator
from tagsmith.model.score import score
from tagsmith.train.train_run import train

log = logging.getLogger("tagsmith")

FP32 = 1e-3
"""Largest difference of logits of the GPU from those of the CPU, both in fp32."""

BF16 = 0.1
"""Largest difference of logits in bf16 from those in fp32, as a share of their standard deviation, root mean square."""

GPU_SCORES = 0.01
"""Largest difference of a score by onnxruntime on the GPU from that on the CPU; its default is TF32."""

USED = ("torch", "transformers", "accelerate", "datasets", "onnxruntime", "onnxruntime-gpu", "nvidia-ml-py")
"""Packages whose versions are reported; the last two are optional."""


class Skipped(Exception):
    """A check that this machine cannot make; the message says why."""


@dataclass(frozen=True)
class Result:
    """What a check or a measurement found.

    Attributes:
        outcome: "passed", "failed", "skipped" or, for a measurement, "measured".
        found: figures, or the reason.
    """

    what: str
    outcome: str
    found: str
    seconds: float


class Checks:
    """The checks of one encoder; `folder` holds its files, documents and runs."""

    def __init__(self, size: Size, folder: Path, cpu: bool):
        self.size, self.folder, self.cpu = size, folder, cpu
        self.lengths = (16,) if cpu else (64, 256)
        self.steps, self.batch_tokens = (3, 512) if cpu else (40, 8192)
        self.encoder = make_encoder(folder / size.name, size, max(self.lengths))
        for tokens in self.lengths:
            make_documents(self.documents(tokens), 64 if cpu else 16_000, tokens, size.vocabulary, 0)
            make_documents(self.documents(tokens, "test"), 32 if cpu else 1_000, tokens, size.vocabulary, 1)

    def documents(self, tokens: int, part: str = "train") -> Path:
        return self.folder / f"{part}-{tokens}.jsonl"

    def settings(self, name: str, tokens: int, **changes: Any) -> TrainRun:
        """Of a training with documents of at most `tokens` tokens; `changes` are of `TrainSettings`."""
        given = {"max_steps": self.steps, "cpu": self.cpu, "tensorboard": False, "log_every": 1, "epochs": 3}
        given |= {"batch_tokens": self.batch_tokens, "probe_documents": 64 if self.cpu else 500}
        return TrainRun(
            run=str(self.folder / name),
            overwrite=True,
            data=TableSettings(train=str(self.documents(tokens)), test=str(self.documents(tokens, "test"))),
            model=ModelSettings(path=str(self.encoder)),
            train=TrainSettings(**(given | changes)),
            evaluate=EvaluateSettings(batch_tokens=512 if self.cpu else 32_768),
            cache=CacheSettings(folder=None),
        )

    def trained(self) -> tuple[RunFolder, LoadedModel]:
        """The model of the first training, and its run."""
        run = RunFolder(self.folder / f"speed-{self.lengths[0]}")
        return run, load_trained(run.model, Schema.load(run.schema))

    def logits(self, model: LoadedModel, texts: list[str], cpu: bool, precision: Precision, packed: bool) -> Any:
        accelerator = start_accelerator(cpu, precision)
        model.classifier.to(accelerator.device).eval()
        encoded = model.encode(texts)

        def forward(*given: Any) -> Any:
            with accelerator.autocast():
                return model.classifier(*given)

        if packed:
            ends = encoded.batch(np.argsort(encoded.lengths, kind="stable")[[0, -1]])
            if reason := why_padded(model.classifier.encoder, model.classifier.features, ends, accelerator):
                raise RuntimeError(f"windows are padded: {reason}")
        return score(forward, encoded, 512 if cpu else 32_768, accelerator, "checking", packed=packed)

    def texts(self) -> list[str]:
        rows = read_json_lines(self.documents(max(self.lengths), "test"), "run the check again")
        return [row["text"] for row in rows][:200]

    def speed(self, tokens: int) -> str:
        """Tokens per second in training, ours and the Trainer's on the same documents, and in scoring."""
        precision = Precision.fp32 if self.cpu else Precision.bf16
        ours = tagsmith_speed(self.settings(f"speed-{tokens}", tokens, mixed_precision=precision))
        documents, folder = self.documents(tokens), self.folder / "trainer"
        theirs = trainer_speed(self.encoder, documents, folder, self.steps, tokens, self.batch_tokens, self.cpu)
        model = self.trained()[1]
        texts = [row["text"] for row in read_json_lines(self.documents(tokens, "test"), "run the check again")]
        self.logits(model, texts[:8], self.cpu, Precision.fp32, False)
        started = time.perf_counter()
        self.logits(model, texts, self.cpu, Precision.fp32, False)
        scored = len(texts) / (time.perf_counter() - started)
        figures = {"tagsmith": ours, "Trainer": theirs}
        return "; ".join(f"{name}: {words(found)}" for name, found in figures.items()) + (
            f"; scoring in fp32: {scored:,.0f} documents/s"
        )

    def fp32(self) -> str:
        """Scores in fp32 are those of the CPU."""
        model, texts = self.trained()[1], self.texts()
        here, there = (self.logits(model, texts, cpu, Precision.fp32, False) for cpu in (self.cpu, True))
        return _within(float(np.abs(here - there).max()), FP32, "logits differ by at most")

    def bf16(self) -> str:
        """bf16 changes scores little."""
        model, texts = self.trained()[1], self.texts()
        half, whole = (self.logits(model, texts, self.cpu, p, False) for p in (Precision.bf16, Precision.fp32))
        return _within(float(np.sqrt(np.mean((half - whole) ** 2)) / whole.std()), BF16, "of their deviation, RMS")

    def packed(self) -> str:
        """Windows without padding get the scores of padded ones."""
        if self.cpu:
            raise Skipped("the kernel for packed windows is one of GPUs")
        model, texts = self.trained()[1], self.texts()
        both = [self.logits(model, texts, False, Precision.bf16, packed) for packed in (False, True)]
        return _within(float(np.sqrt(np.mean((both[0] - both[1]) ** 2)) / both[0].std()), BF16, "of their deviation")

    def resumed(self) -> str:
        """A training that is killed and resumed ends with the same weights, bit for bit."""
        settings = self.settings("kills", self.lengths[0], checkpoint_every=4)
        known = {name: getattr(settings, name) for name in TrainRun.__dataclass_fields__}
        states = check_kills(CheckKills(**known | {"overwrite": False, "resume": False}, kills=2))
        return f"equal after {len(states)} kills"

    def halved(self) -> str:
        """A step that does not fit into memory is repeated in smaller parts, with the same loss."""
        if self.cpu:
            raise Skipped("only a GPU runs out of memory without ending the process")
        tokens, losses = self.lengths[-1], []
        given: dict[str, Any] = {"max_steps": 3, "batch_tokens": 65_536, "mixed_precision": Precision.bf16}
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        total = torch.cuda.get_device_properties(0).total_memory
        with _warnings() as said:
            for name, share in (("whole", 1.0), ("halved", 0.0)):
                if not share:
                    share = 0.6 * torch.cuda.max_memory_allocated() / total
                torch.cuda.empty_cache()
                torch.cuda.set_per_process_memory_fraction(share)
                try:
                    # Without dropout, whose masks depend on the parts.
                    settings = self.settings(name, tokens, **given)
                    settings = replace(settings, model=replace(settings.model, hidden_dropout=0.0))
                    run, _ = train(settings)
                finally:
                    torch.cuda.set_per_process_memory_fraction(1.0)
                lines = map(json.loads, run.metrics.open(encoding="utf-8"))
                losses.append([line["loss"] for line in lines if "loss" in line])
        if not any(line.startswith("out of memory: micro-batches") for line in said):
            raise RuntimeError("nothing was halved with 0.6 of the memory that the training needs")
        return _within(float(np.abs(np.subtract(losses[0], losses[1])).max()), 0.05, "losses differ by at most")

    def exported(self) -> str:
        """A bundle gives the scores of the trained model; on the GPU too, if onnxruntime can use it."""
        run, _ = self.trained()
        bundle = export(ExportRun(run=str(run.path), bundle=str(self.folder / "bundle"), overwrite=True))
        if self.cpu or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            return "onnxruntime on the CPU: as trained; on the GPU: needs onnxruntime-gpu"
        texts = self.texts()
        graphs = (Classifier.load(bundle), Classifier.load(bundle, providers=("CUDAExecutionProvider",)))
        started = time.perf_counter()
        one, other = (graph.predict_proba(texts) for graph in graphs)
        speed = f"{2 * len(texts) / (time.perf_counter() - started):,.0f} documents/s of both together"
        return _within(float(np.abs(one - other).max()), GPU_SCORES, "scores differ by at most") + f"; {speed}"


def check_gpu(settings: CheckGpu) -> list[Result]:
    """Make every check and measurement, write them to `settings.output`, and return them.

    Raises:
        SettingsError: device=cuda where torch finds no GPU.
    """
    cpu = settings.device is Device.cpu
    if not cpu and not torch.cuda.is_available():
        raise SettingsError("device=cuda: torch finds no GPU here; device=cpu is a dry run of the same checks.")
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="tagsmith_gpu_") as name:
        for size in TINY if cpu else ENCODERS:
            checks = Checks(size, Path(name), cpu)
            speeds = [(f"speed at {tokens} tokens", _speed_at(checks, tokens)) for tokens in checks.lengths]
            claims = ("fp32", "bf16", "packed", "resumed", "halved", "exported")
            # A second encoder adds speed and precision; how training is resumed does not depend on it.
            kept = claims if not results else claims[:3]
            parts = [*speeds, *(((getattr(checks, claim).__doc__ or ""), getattr(checks, claim)) for claim in kept)]
            for what, part in parts:
                results.append(_made(f"{size.name}: {what}", part, measured=what.startswith("speed")))
                log.info(" ".join(str(value) for value in asdict(results[-1]).values()))
    device = platform.processor() or platform.machine() if cpu else torch.cuda.get_device_name()
    about = {"device": device, "packages": {package: _version(package) for package in USED}}
    write_json(Path(settings.output), about | {"results": [asdict(result) for result in results]})
    return results


def table(results: Iterable[Result]) -> Table:
    """The results for the terminal."""
    drawn = Table("check", "outcome", "found", "seconds")
    for result in results:
        drawn.add_row(result.what, result.outcome, result.found, f"{result.seconds:.1f}")
    return drawn


def _speed_at(checks: Checks, tokens: int) -> Callable[[], str]:
    return lambda: checks.speed(tokens)


def _made(what: str, part: Callable[[], str], measured: bool) -> Result:
    started = time.perf_counter()
    try:
        outcome, found = ("measured" if measured else "passed"), part()
    except Skipped as reason:
        outcome, found = "skipped", str(reason)
    except Exception as error:  # The other checks are still worth making.
        log.warning(f"{what}: failed", exc_info=True)
        outcome, found = "failed", f"{type(error).__name__}: {error}".splitlines()[0]
    return Result(what, outcome, found, round(time.perf_counter() - started, 1))


def _within(found: float, bound: float, what: str) -> str:
    if not found <= bound:
        raise RuntimeError(f"{what} {found:.2g}, expected at most {bound:g}")
    return f"{what} {found:.2g} (bound {bound:g})"


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None


@contextmanager
def _warnings() -> Any:
    """The warnings that Tagsmith logs meanwhile."""
    said: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    handler = Kept(logging.WARNING)
    log.addHandler(handler)
    try:
        yield said
    finally:
        log.removeHandler(handler)
