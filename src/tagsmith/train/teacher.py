"""Teachers: runs and bundles whose scores a student learns from, each document scored once."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import CacheSettings, TrainRun
from tagsmith.config.settings.fields import names
from tagsmith.core.errors import InputMissing, SettingsError, counted, listing
from tagsmith.core.files import digest
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.decision.metrics import probabilities
from tagsmith.evaluate.evaluate_run import rule_of_run
from tagsmith.model.loaded_model import load_trained
from tagsmith.model.processes import from_main, on_main
from tagsmith.model.score import score
from tagsmith.tokens.array_cache import cached_arrays, read_cached

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
ToLogits = Callable[[Sequence[str], str], Floats]
"""From texts, and what to call them, to logits float32 [texts, classes]."""

DTYPES = {"logits": np.float32}

CHUNK = 20_000
"""Documents of an entry of the cache: what is lost where scoring is interrupted."""


@dataclass(frozen=True)
class TeacherScores:
    """The scores of teachers for documents.

    Attributes:
        logits: of each teacher, arrays float32 [documents, classes] of `CHUNK` documents and of the rest; memory maps,
            where there is a cache.
    """

    logits: Sequence[Sequence[Floats]]
    multi_label: bool
    temperature: float

    def probabilities(self, documents: Ints) -> Floats:
        """The mean of the teachers' probabilities at the temperature, float32 [n, classes], for n positions."""
        each = [_rows(chunks, documents) / self.temperature for chunks in self.logits]
        found: Floats = np.mean([probabilities(one, self.multi_label) for one in each], axis=0, dtype=np.float32)
        return found


def _rows(chunks: Sequence[Floats], documents: Ints) -> Floats:
    rows = np.empty((len(documents), chunks[0].shape[1]), dtype=np.float32)
    number = documents // CHUNK
    for i in np.unique(number).tolist():
        rows[number == i] = chunks[i][documents[number == i] % CHUNK]
    return rows


def identities(places: Sequence[str], schema: Schema) -> list[str]:
    """SHA-256 of what decides the scores of each teacher.

    Raises:
        InputMissing: a teacher is neither a trained run nor a bundle.
        SettingsError: it has other classes, or another task.
    """
    return [_identity(Path(place), schema) for place in places]


def _identity(place: Path, schema: Schema) -> str:
    run, manifest = RunFolder(place), place / "manifest.json"
    if run.holds_run and not run.weights.is_file():
        raise InputMissing(
            f"train.teacher={place}: found no trained weights; expected a run whose training is finished."
        )
    if not (run.holds_run or manifest.is_file()):
        raise InputMissing(f"train.teacher={place}: expected the folder of a run or of a bundle, found neither.")
    _require_same_classes(place, Schema.load(place / "schema.json"), schema)
    if not run.holds_run:
        return digest(manifest)  # It has the SHA-256 of all files.
    files = [run.model / name for name in ("model.safetensors", "config.json", "tokenizer.json", "reading.json")]
    files += [run.decision] * run.decision.is_file()
    return hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()


def _require_same_classes(place: Path, found: Schema, expected: Schema) -> None:
    if found.task is not expected.task:
        raise SettingsError(f"train.teacher={place}: expected {expected.task.value}, found {found.task.value}.")
    problems = [f"only in the teacher: {name}" for name in found.classes if name not in expected.classes]
    problems += [f"not in the teacher: {name}" for name in expected.classes if name not in found.classes]
    if problems:
        headline = (
            f"train.teacher={place}: expected the {counted(len(expected.classes), 'class')} of the documents; name "
            "them in data.classes if some have no documents here, or train the teacher on these classes:"
        )
        raise SettingsError(listing(headline, problems))


def score_by_teachers(
    settings: TrainRun, recorded: Sequence[str], texts: Sequence[str], schema: Schema, accelerator: Accelerator
) -> TeacherScores:
    """The scores of all teachers for texts; those in the cache are not computed again.

    Args:
        recorded: the teachers' `identities` when the run was made.
        texts: a list, or a column of a data set, which is read in chunks.

    Raises:
        InputMissing: see `identities`.
        SettingsError: the same, or a teacher has changed since the run was made.
        DataError: a file of a teacher is damaged.
    """
    places, tokens = names(settings.train.teacher or []), settings.evaluate.batch_tokens
    found = identities(places, schema)
    if changed := [place for place, now, then in zip(places, found, recorded, strict=True) if now != then]:
        raise SettingsError(
            f"train.teacher={changed[0]}: not the teacher that the run was made with; restore it, or train from "
            "scratch with overwrite=true."
        )
    logits = [
        list(_logits(Path(place), name, texts, schema, tokens, settings.cache, accelerator))
        for place, name in zip(places, found, strict=True)
    ]
    return TeacherScores(logits, schema.multi_label, settings.train.temperature)


def _logits(
    place: Path,
    identity: str,
    texts: Sequence[str],
    schema: Schema,
    batch_tokens: int,
    cache: CacheSettings,
    accelerator: Accelerator,
) -> Iterator[Floats]:
    """Logits of chunk after chunk, their columns in the order of the schema's classes."""
    to_logits: ToLogits | None = None
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        about = json.dumps([identity, schema.classes, [*chunk]])
        key = hashlib.sha256(about.encode("utf-8", "surrogatepass")).hexdigest()
        kept = read_cached(cache, key, DTYPES)
        if not from_main(kept is not None, accelerator):
            to_logits = to_logits or _open(place, schema, batch_tokens, accelerator)
            made = {"logits": to_logits(chunk, f"{place.name} scores").ravel()}
            kept = on_main(accelerator, partial(cached_arrays, cache, key, DTYPES, partial(list, [made]))) or made
        assert kept is not None
        yield kept["logits"].reshape(len(chunk), len(schema.classes))


def _open(place: Path, schema: Schema, batch_tokens: int, accelerator: Accelerator) -> ToLogits:
    """Load a teacher, whose logits are those of calibrated scores, if it is calibrated.

    A run computes on the device and all processes, a bundle on the main process and the CPU.
    """
    own = Schema.load(place / "schema.json")
    order = [own.classes.index(name) for name in schema.classes]
    if RunFolder(place).holds_run:
        model = load_trained(RunFolder(place).model, own)
        model.classifier.to(accelerator.device).eval()
        rule = rule_of_run(RunFolder(place), own, model.encoding.threshold)
        scale, shift = (np.asarray(values, np.float32) for values in (rule.scale, rule.shift))

        def by_run(texts: Sequence[str], what: str) -> Floats:
            logits = score(model.classifier, model.encode(texts), batch_tokens, accelerator, what)
            return (logits * scale + shift)[:, order]

        return by_run
    from tagsmith.classify.classifier import Classifier  # Here, as only a bundle needs onnxruntime.

    classifier: Any = on_main(accelerator, lambda: Classifier.load(place, out_of_scope=False))

    def by_bundle(texts: Sequence[str], what: str) -> Floats:
        logits: Floats = from_main(on_main(accelerator, lambda: classifier.logits([*texts])), accelerator)
        return logits[:, order]

    return by_bundle
