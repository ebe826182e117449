"""From a run to a bundle, with a proof for each format that it gives the scores of the trained model."""

import logging
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from tagsmith.classify.bundle import contents as layout
from tagsmith.classify.bundle import golden
from tagsmith.classify.bundle.reference import DOCUMENTS, reference_of
from tagsmith.classify.bundle.signature import signer
from tagsmith.classify.classifier import Classifier
from tagsmith.classify.verify import verify
from tagsmith.config.settings import ExportRun, ExportSettings, GoldenFrom
from tagsmith.core.errors import DataError, SettingsError, counted, listing
from tagsmith.core.files import replace_folder
from tagsmith.core.run import RunFolder, git_commit
from tagsmith.core.schema import Schema, indicators
from tagsmith.data.dataset_folders import load_documents
from tagsmith.decision.rule import DecisionRule
from tagsmith.evaluate.evaluate_run import default_split, evaluation_of, rule_of_run
from tagsmith.evaluate.tracking import add_bundle
from tagsmith.export import quantize, stock
from tagsmith.export.graph import stamp, write_graph
from tagsmith.export.model_card import Facts, encoder_of, model_card
from tagsmith.export.parity import F1_LOST, TOLERANCE, Answers, Certificate, certify
from tagsmith.model.loaded_model import LoadedModel, load_trained
from tagsmith.model.processes import start_accelerator
from tagsmith.model.score import logits_and_vectors
from tagsmith.model.text_classifier import TextClassifier

log = logging.getLogger("tagsmith")


@dataclass(frozen=True)
class Exam:
    """What every format has to answer, and what the trained model answers.

    Attributes:
        split: its name.
        texts: of its documents.
        truth: int8 [documents, classes].
        rule: of the bundle, for logits that are scaled and shifted already.
    """

    split: str
    texts: list[str]
    truth: NDArray[Any]
    schema: Schema
    rule: DecisionRule
    model: Answers

    def certify(self, found: Answers) -> Certificate:
        return certify(self.split, self.rule, self.model, found, self.truth, self.schema)


def export(settings: ExportRun) -> Path:
    """Write the bundle of a trained run; returns its folder.

    Raises:
        InputMissing: no run, or it has no trained weights; no key.
        SettingsError: the folder of the bundle is taken, the encoder cannot be expressed in a format, or nothing can be
            signed with the key.
        DataError: a file of the run is damaged; or a format gives other scores or labels than the trained model, and
            nothing is written.
    """
    run, bundle = RunFolder(Path(settings.run)), Path(settings.bundle)
    record = run.read_record()
    _require_room(bundle, settings.overwrite)
    key = settings.export.signing_key
    sign = signer(Path(key)) if key is not None else None
    schema = Schema.load(run.schema)
    model = load_trained(run.model, schema)
    if "transformers" in settings.export.formats and (reason := stock.refusal(model)):
        raise SettingsError(f"export.formats=transformers: {reason}.")
    splits = load_documents(run.data, schema)
    split = default_split(splits)
    part = splits[split]
    encoded = model.encode(part["text"])
    rule = rule_of_run(run, schema, model.encoding.threshold)
    accelerator = start_accelerator(True)
    logits, vectors = logits_and_vectors(
        model.classifier, encoded, settings.batch_tokens, accelerator, f"scoring {split}"
    )
    scores = rule.scores(logits)
    decisions = rule.decide(scores, vectors)
    evaluation = {"split": split} | evaluation_of(rule, logits, decisions, None, part["labels"][:], schema)
    truth = indicators(part["labels"][:], len(schema.classes))
    folded = fold(model.classifier, rule)
    exam = Exam(split, list(part["text"]), truth, schema, folded, Answers(scores, decisions))

    def write(folder: Path) -> None:
        (folder / layout.GRAPH).parent.mkdir()
        write_graph(folder / layout.GRAPH, model.classifier, embedding=rule.scope is not None)
        stamp(folder / layout.GRAPH, schema)
        model.tokenizer.save(str(folder / layout.TOKENIZER))
        schema.save(folder / layout.SCHEMA)
        layout.Decision(model.encoding.rule, model.encoding.pad_id, folded).save(folder)
        parity, left_out = _formats(folder, model, exam, settings.export)
        _write_golden(folder, model, exam, settings.export.golden)
        if (reason := _no_reference(split, len(part))) is None:
            found = reference_of(split, schema.classes, decisions.predicted, scores, encoded.tokens)
            found.save(folder / layout.REFERENCE)
        else:
            left_out[layout.REFERENCE] = reason
        cut = int((encoded.unread > 0).sum())
        facts = Facts(splits.num_rows, _training_documents(splits, schema), cut, parity, left_out, model.encoding.rule)
        (folder / layout.CARD).write_text(model_card(schema, evaluation, record, facts), encoding="utf-8")
        certificates = {name: certificate.as_dict() for name, certificate in parity.items()}
        layout.write_manifest(folder, _about(run, record) | {"parity": certificates, "left_out": left_out})
        verify(folder)
        if sign is not None:
            sign(folder)

    log.info("writing the graph")
    replace_folder(bundle, write)
    add_bundle(run, bundle)
    return bundle


def _require_room(bundle: Path, overwrite: bool) -> None:
    """Raises: SettingsError where the bundle cannot be written to this folder."""
    if not bundle.name:
        raise SettingsError(f"bundle={bundle}: expected the name of a folder of its own.")
    try:
        bundle.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"bundle={bundle}: cannot be written: {error.strerror}.") from error
    taken = bundle.exists() and (not bundle.is_dir() or any(bundle.iterdir()))
    if taken and not (bundle / layout.MANIFEST).is_file():
        raise SettingsError(f"bundle={bundle}: is there already and holds no bundle; name another folder.")
    if taken and not overwrite:
        raise SettingsError(f"bundle={bundle}: already holds a bundle; overwrite=true replaces it.")


def fold(model: TextClassifier, rule: DecisionRule) -> DecisionRule:
    """Put the rule's scale and shift of logits into the head, so that every reader of the weights gives its scores.

    Returns:
        The rule for the logits that the model gives from now on.
    """
    scale = torch.tensor(rule.scale, dtype=torch.float64)
    with torch.no_grad():
        model.head.weight.copy_(model.head.weight.double() * scale[:, None])
        model.head.bias.copy_(model.head.bias.double() * scale + torch.tensor(rule.shift, dtype=torch.float64))
    count = len(rule.scale)
    return replace(rule, scale=(1.0,) * count, shift=(0.0,) * count)


def _formats(
    folder: Path, model: LoadedModel, exam: Exam, wanted: ExportSettings
) -> tuple[dict[str, Certificate], dict[str, str]]:
    """Write what is wanted beside the graph, and prove all; returns certificates, and why something is not there.

    Raises:
        DataError: a format in single precision gives other scores or labels than the trained model.
    """
    parity = {"onnx": _answers_of(folder, exam, False)}
    left_out: dict[str, str] = {}
    if wanted.quantize:
        found, reason = _quantized(folder, exam)
        parity |= {"onnx_quantized": found} if found else {}
        left_out |= {"onnx_quantized": reason} if reason else {}
    if model.encoding.rule.long_documents == "head":
        # transformers.js takes the graph in the smallest form that it finds, unless told; the proven one is fp32.
        config = stock.stock_config(model)
        setattr(config, "transformers.js_config", {"dtype": "fp32"})
        config.save_pretrained(folder)
        stock.write_tokenizer_config(folder, model)
    else:
        left_out["transformers.js"] = "it reads the head of a document alone, this model more of it"
    if "transformers" in wanted.formats:
        place = folder / layout.STOCK
        stock.write_stock(place, model)
        scores = stock.pipeline_scores(place, exam.texts, exam.schema)
        # Distances to training documents are nothing that a stock classifier knows.
        decisions = replace(exam.rule.decide(scores), to_person=exam.model.decisions.to_person)
        parity["transformers"] = exam.certify(Answers(scores, decisions))
    for name, certificate in parity.items():
        log.info(certificate.describe() if name == "onnx" else f"{name}: {certificate.describe()}")
    if wrong := [
        f"{name}: the largest difference is {found.largest_score_difference:.2e} (allowed: {TOLERANCE:g}), "
        f"of distances {found.largest_distance_difference or 0:.2e}; other labels: {found.labels_differ:,}, "
        f"other decisions: {found.decisions_differ:,} of {found.documents:,} documents"
        for name, found in parity.items()
        if name != "onnx_quantized" and not found.same
    ]:
        raise DataError(
            listing("The bundle does not give the scores of the trained model, and nothing was written:", wrong)
        )
    return parity, left_out


def _answers_of(folder: Path, exam: Exam, quantized: bool) -> Certificate:
    classifier = Classifier.open_unchecked(folder, quantized=quantized)
    return exam.certify(Answers(*classifier.decide(exam.texts)))


def _quantized(folder: Path, exam: Exam) -> tuple[Certificate | None, str | None]:
    """The first quantized graph that costs no more than `F1_LOST`, or why there is none; that one is left there."""
    path, tried = folder / layout.QUANTIZED, []
    for attempt in quantize.attempts(folder / layout.GRAPH):
        products = quantize.quantize(folder / layout.GRAPH, path, attempt)
        if not products:
            tried.append(f"{attempt.name}: no product could be quantized")
            continue
        found = _answers_of(folder, exam, True)
        if found.macro_f1_lost <= F1_LOST:
            log.info(f"quantized: {attempt.name}, {products} products in whole numbers of 8 bits")
            return found, None
        tried.append(f"{attempt.name}: {100 * found.macro_f1_lost:.2f} points of macro F1 lost")
        log.info(f"quantized: {tried[-1]}; trying more carefully")
    path.unlink(missing_ok=True)
    reason = f"more than {100 * F1_LOST:g} points of macro F1 lost: {'; '.join(tried)}"
    log.warning(f"{layout.QUANTIZED} is not shipped: {reason}")
    return None, reason


def _write_golden(folder: Path, model: LoadedModel, exam: Exam, source: GoldenFrom) -> None:
    documents = exam.texts if source is GoldenFrom.documents else None
    texts = golden.inputs(model.schema, model.encoding.rule.max_tokens, documents)
    both = [False, True] if (folder / layout.QUANTIZED).is_file() else [False]
    answer = [Classifier.open_unchecked(folder, quantized=quantized).decide for quantized in both]
    golden.write(folder / layout.GOLDEN, texts, model.schema, *answer)


def _no_reference(split: str, documents: int) -> str | None:
    """Why documents of a split are nothing to compare later ones with; None: they are."""
    if split == "train":
        return "all documents were trained on, and new ones do not get their scores"
    return (
        f"{counted(documents, f'{split} document')} are too few, {DOCUMENTS} are needed"
        if documents < DOCUMENTS
        else None
    )


def _training_documents(splits: Any, schema: Schema) -> dict[str, int]:
    """Training documents of each class."""
    if "train" not in splits:
        return {}
    counts = indicators(splits["train"]["labels"][:], len(schema.classes)).sum(axis=0)
    return dict(zip(schema.classes, map(int, counts), strict=True))


def _about(run: RunFolder, record: dict[str, Any]) -> dict[str, Any]:
    """Where the bundle comes from."""
    settings = record["settings"]
    return {
        "run": str(run.path.resolve().name),
        "commit": git_commit(),
        "training": {
            "started": record["started"],
            "commit": record.get("commit"),
            "encoder": encoder_of(settings),
            "recipe": settings.get("train.recipe"),
            "seed": settings.get("seed"),
        },
        "versions": {
            name: version(name)
            for name in ("tagsmith", "torch", "transformers", "tokenizers", "onnx", "onnxruntime", "numpy")
        },
    }
