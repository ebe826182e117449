"""From a run to a bundle, with a proof that both give the same scores."""

import logging
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim

from tagsmith import bundle as layout
from tagsmith.classify import Classifier
from tagsmith.dataset_folders import load_documents
from tagsmith.decision_rule import DecisionRule, Decisions
from tagsmith.errors import DataError, SettingsError, counted
from tagsmith.evaluate import default_split, evaluation_of, rule_of_run
from tagsmith.files import replace_folder
from tagsmith.model import TextClassifier, load_classifier
from tagsmith.model_card import model_card
from tagsmith.run import RunFolder, git_commit
from tagsmith.schema import Schema
from tagsmith.scoring import logits_and_vectors
from tagsmith.settings import ExportRun
from tagsmith.tracking import add_bundle
from tagsmith.windows import encode

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]

TOLERANCE = 1e-3
"""Largest difference of a score between the trained model and the bundle."""


def export(settings: ExportRun) -> Path:
    """Write the bundle of a trained run; returns its folder.

    Raises:
        InputMissing: no run, or it has no trained weights.
        SettingsError: the folder of the bundle is taken.
        DataError: a file of the run is damaged; or the bundle gives other scores or labels than the trained model,
            and nothing is written.
    """
    run, bundle = RunFolder(Path(settings.run)), Path(settings.bundle)
    record = run.read_record()
    if not bundle.name:
        raise SettingsError(f"bundle={settings.bundle}: expected the name of a folder of its own.")
    try:
        bundle.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"bundle={bundle}: cannot be written: {error.strerror}.") from error
    taken = bundle.exists() and (not bundle.is_dir() or any(bundle.iterdir()))
    if taken and not (bundle / layout.MANIFEST).is_file():
        raise SettingsError(f"bundle={bundle}: is there already and holds no bundle; name another folder.")
    if taken and not settings.overwrite:
        raise SettingsError(f"bundle={bundle}: already holds a bundle; overwrite=true replaces it.")
    schema = Schema.load(run.schema)
    model, tokenizer, reading = load_classifier(run.model, len(schema.classes))
    accelerator = Accelerator(cpu=True)
    splits = load_documents(run.data, schema)
    split = default_split(splits)
    part = splits[split]
    encoded = encode(tokenizer, part["text"], reading.rule, reading.pad_id)
    rule = rule_of_run(run, schema, reading.threshold)
    logits, vectors = logits_and_vectors(model, encoded, settings.batch_tokens, accelerator, f"scoring {split}")
    decisions = rule.decide(rule.scores(logits), vectors)
    evaluation = {"split": split} | evaluation_of(rule, logits, decisions, None, part["labels"][:], schema)

    def write(folder: Path) -> None:
        (folder / layout.GRAPH).parent.mkdir()
        write_graph(folder / layout.GRAPH, model, embedding=rule.scope is not None)
        tokenizer.save(str(folder / layout.TOKENIZER))
        schema.save(folder / layout.SCHEMA)
        layout.Decision(reading.rule, reading.pad_id, rule).save(folder)
        card = model_card(schema, evaluation, record, {name: len(rows) for name, rows in splits.items()})
        (folder / layout.CARD).write_text(card, encoding="utf-8")
        layout.write_manifest(folder, _about(run))
        parity = prove(folder, part["text"], rule, rule.scores(logits), decisions, settings.batch_tokens)
        tested = counted(len(part), f"{split} document")
        log.info(f"parity over {tested}: largest score difference {parity:.1e}, no label differs")

    log.info("writing the graph")
    replace_folder(bundle, write)
    add_bundle(run, bundle)
    return bundle


class _WithVectors(nn.Module):
    """Logits and vectors of windows."""

    def __init__(self, model: TextClassifier):
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        vectors = self.model.features(inputs, attention_mask)
        return self.model.head(vectors), vectors


def write_graph(path: Path, model: TextClassifier, embedding: bool = False) -> None:
    """The ONNX graph of encoder, pooling and head, with windows and tokens of any number; `embedding`: vectors too."""
    device = next(model.parameters()).device
    ids = torch.ones(2, 16, dtype=torch.int64, device=device)
    mask = torch.ones_like(ids)
    # Padding in the example, so that no shortcut for masks of ones is baked into the graph.
    mask[1, 8:] = 0
    names = {0: Dim("windows"), 1: Dim("tokens")}
    with warnings.catch_warnings():
        # The exporter warns that two inputs share the names of their axes: so they should.
        warnings.filterwarnings("ignore", message=".*The axis name.*")
        warnings.filterwarnings("ignore", category=FutureWarning)  # of torch's own parts, about each other
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # It misses torchvision, which no text needs.
        torch.onnx.export(
            (_WithVectors(model) if embedding else model).eval(),
            (ids, mask),
            path,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits", layout.EMBEDDING] if embedding else ["logits"],
            dynamic_shapes={"inputs": names, "attention_mask": names},
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def prove(
    folder: Path, texts: Sequence[str], rule: DecisionRule, scores: Floats, decisions: Decisions, batch_tokens: int
) -> float:
    """The largest score difference between the bundle, from text to score, and the trained model.

    Args:
        rule: of the run.
        scores: of the trained model, float32 [documents, classes].
        decisions: about them.

    Raises:
        DataError: a score or a distance differs by more than `TOLERANCE`, or a decision does. A document that stands on
            the edge of its scope, by no more than that, may fall on either side.
    """
    classifier = Classifier.load(folder)
    found, decided = classifier.decide(list(texts), batch_tokens)
    difference = float(np.abs(found - scores).max())
    labels = (decided.predicted != decisions.predicted).any(axis=1)
    others = decided.to_person != decisions.to_person
    if decided.sets is not None and decisions.sets is not None:
        others |= (decided.sets != decisions.sets).any(axis=1)
    apart = 0.0
    if rule.scope is not None and decided.distances is not None and decisions.distances is not None:
        apart = float(np.abs(decided.distances - decisions.distances).max())
        others &= np.abs(decisions.distances - rule.scope.limit) > TOLERANCE
    if max(difference, apart) > TOLERANCE or labels.any() or others.any():
        raise DataError(
            f"The bundle does not give the scores of the trained model: the largest difference is {difference:.2e} "
            f"(allowed: {TOLERANCE:g}), of distances {apart:.2e}; other labels: {int(labels.sum()):,}, "
            f"other decisions: {int(others.sum()):,} of {counted(len(texts), 'document')}. Nothing was written."
        )
    return difference


def _about(run: RunFolder) -> dict[str, Any]:
    """Where the bundle comes from."""
    return {
        "run": str(run.path.resolve().name),
        "commit": git_commit(),
        "versions": {
            name: version(name)
            for name in ("tagsmith", "torch", "transformers", "tokenizers", "onnx", "onnxruntime", "numpy")
        },
    }
