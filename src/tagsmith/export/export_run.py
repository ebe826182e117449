"""Export a run as a bundle, and verify that each format returns the scores of the trained model."""

import logging
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tagsmith.classify.bundle import contents as layout
from tagsmith.classify.bundle import golden
from tagsmith.classify.bundle.reference import DOCUMENTS, bins_for, reference_of
from tagsmith.classify.bundle.signature import signer
from tagsmith.classify.bundle.tested import AtTest
from tagsmith.classify.classifier import Classifier
from tagsmith.classify.engine import CERTIFICATES
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
from tagsmith.export.certify_engines import certify_engine, certify_graph, engines_to_certify
from tagsmith.export.graph import write_schema_hash
from tagsmith.export.graph_templates import write_graph
from tagsmith.export.model_card import Facts, encoder_of, model_card
from tagsmith.export.parity import F1_LOST, TOLERANCE, Answers, Certificate, ParityTest
from tagsmith.model.loaded_model import LoadedModel, load_trained
from tagsmith.model.processes import start_accelerator
from tagsmith.model.score import logits_and_vectors
from tagsmith.model.text_classifier import TextClassifier

log = logging.getLogger("tagsmith")


def export(settings: ExportRun) -> Path:
    """Write the bundle of a trained run; returns its folder.

    Raises:
        InputMissing: there is no run, no trained weights in it, or no key.
        SettingsError: the folder of the bundle exists, a format does not support the encoder, or the key cannot be
            used.
        DataError: a file of the run is damaged, or a format returns other scores or labels than the trained model;
            nothing is written.
    """
    run, bundle = RunFolder(Path(settings.run)), Path(settings.bundle)
    record = run.read_record()
    _check_target(bundle, settings.overwrite)
    key = settings.export.signing_key
    sign = signer(Path(key)) if key is not None else None
    schema = Schema.load(run.schema)
    model = load_trained(run.model, schema)
    if "transformers" in settings.export.formats and (reason := stock.refusal(model)):
        raise SettingsError(f"export.formats=transformers: {reason}.")
    engines = engines_to_certify(settings.export.openvino)
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
    test = ParityTest(split, list(part["text"]), truth, schema, folded, Answers(scores, decisions))

    def write(folder: Path) -> None:
        (folder / layout.GRAPH).parent.mkdir()
        write_graph(folder / layout.GRAPH, model.classifier, rule.scope is not None, settings.cache)
        write_schema_hash(folder / layout.GRAPH, schema)
        model.tokenizer.save(str(folder / layout.TOKENIZER))
        schema.save(folder / layout.SCHEMA)
        layout.Decision(model.encoding.rule, model.encoding.pad_id, folded).save(folder)
        parity, left_out = _formats(folder, model, test, settings.export)
        _write_golden(folder, model, test, settings.export.golden)
        for engine in engines:
            name = CERTIFICATES[engine.precision]
            certificate, why = certify_engine(folder, test, engine)
            parity |= {name: certificate} if certificate else {}
            left_out |= {name: why} if why else {}
        if (reason := _no_reference(split, len(part))) is None:
            limit = rule.scope.limit if rule.scope is not None else None
            tested = AtTest.of(truth, scores, decisions, limit, schema.multi_label, bins_for(len(part)))
            found = reference_of(split, schema.classes, decisions.predicted, scores, encoded.tokens, tested)
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


def _check_target(bundle: Path, overwrite: bool) -> None:
    """Raises: SettingsError, the bundle cannot be written to this folder."""
    if not bundle.name:
        raise SettingsError(f"bundle={bundle}: expected the name of a new folder.")
    try:
        bundle.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"bundle={bundle}: cannot be written: {error.strerror}.") from error
    taken = bundle.exists() and (not bundle.is_dir() or any(bundle.iterdir()))
    if taken and not (bundle / layout.MANIFEST).is_file():
        raise SettingsError(f"bundle={bundle}: exists but is not a bundle; use another folder.")
    if taken and not overwrite:
        raise SettingsError(f"bundle={bundle}: already exists; overwrite=true replaces it.")


def fold(model: TextClassifier, rule: DecisionRule) -> DecisionRule:
    """Fold the rule's scale and shift of logits into the head, so that every library computes calibrated scores.

    Returns:
        The rule for the logits of the changed model.
    """
    scale = torch.tensor(rule.scale, dtype=torch.float64)
    with torch.no_grad():
        model.head.weight.copy_(model.head.weight.double() * scale[:, None])
        model.head.bias.copy_(model.head.bias.double() * scale + torch.tensor(rule.shift, dtype=torch.float64))
    count = len(rule.scale)
    return replace(rule, scale=(1.0,) * count, shift=(0.0,) * count)


def _formats(
    folder: Path, model: LoadedModel, test: ParityTest, settings: ExportSettings
) -> tuple[dict[str, Certificate], dict[str, str]]:
    """Write the requested formats in addition to the graph, and verify all of them.

    Returns:
        The certificate of each format, and the reason for each format that was left out.

    Raises:
        DataError: a format in single precision returns other scores or labels than the trained model.
    """
    parity = {"onnx": certify_graph(folder, test)}
    left_out: dict[str, str] = {}
    if settings.quantize:
        found, reason = _quantized(folder, test)
        parity |= {"onnx_quantized": found} if found else {}
        left_out |= {"onnx_quantized": reason} if reason else {}
    if model.encoding.rule.long_documents == "head":
        # By default transformers.js loads the smallest graph that it finds; the verified one is fp32.
        config = stock.stock_config(model)
        setattr(config, "transformers.js_config", {"dtype": "fp32"})
        config.save_pretrained(folder)
        stock.write_tokenizer_config(folder, model)
    else:
        left_out["transformers.js"] = "it reads only the head of a document, but this model reads more"
    if "transformers" in settings.formats:
        place = folder / layout.STOCK
        stock.write_stock(place, model)
        scores = stock.pipeline_scores(place, test.texts, test.schema)
        # A stock classifier does not compute distances to training documents.
        decisions = replace(test.rule.decide(scores), to_person=test.model.decisions.to_person)
        parity["transformers"] = test.certify(Answers(scores, decisions))
    for name, certificate in parity.items():
        log.info(certificate.describe() if name == "onnx" else f"{name}: {certificate.describe()}")
    if wrong := [
        f"{name}: the largest difference of scores is {found.largest_score_difference:.2e} (allowed: {TOLERANCE:g}), "
        f"of distances {found.largest_distance_difference or 0:.2e}; differing labels: {found.labels_differ:,}, "
        f"differing decisions: {found.decisions_differ:,} of {found.documents:,} documents"
        for name, found in parity.items()
        if name != "onnx_quantized" and not found.same
    ]:
        raise DataError(
            listing("The bundle does not return the scores of the trained model; nothing was written:", wrong)
        )
    return parity, left_out


def _quantized(folder: Path, test: ParityTest) -> tuple[Certificate | None, str | None]:
    """Write the first quantized graph that loses at most `F1_LOST`; returns its certificate, or why there is none."""
    path, tried = folder / layout.QUANTIZED, []
    for attempt in quantize.attempts(folder / layout.GRAPH):
        products = quantize.quantize(folder / layout.GRAPH, path, attempt)
        if not products:
            tried.append(f"{attempt.name}: no matrix product could be quantized")
            continue
        found = certify_graph(folder, test, quantized=True)
        if found.macro_f1_lost <= F1_LOST:
            log.info(f"quantized: {attempt.name}, {products} matrix products in 8-bit integers")
            return found, None
        tried.append(f"{attempt.name}: {100 * found.macro_f1_lost:.2f} points of macro F1 lost")
        log.info(f"quantized: {tried[-1]}; quantizing fewer products")
    path.unlink(missing_ok=True)
    reason = f"more than {100 * F1_LOST:g} points of macro F1 lost: {'; '.join(tried)}"
    log.warning(f"{layout.QUANTIZED} is left out: {reason}")
    return None, reason


def _write_golden(folder: Path, model: LoadedModel, test: ParityTest, source: GoldenFrom) -> None:
    documents = test.texts if source is GoldenFrom.documents else None
    texts = golden.inputs(model.schema, model.encoding.rule.max_tokens, documents)
    both = [False, True] if (folder / layout.QUANTIZED).is_file() else [False]
    answer = [Classifier.open_unchecked(folder, quantized=quantized).decide for quantized in both]
    golden.write(folder / layout.GOLDEN, texts, model.schema, *answer)


def _no_reference(split: str, documents: int) -> str | None:
    """Why the documents of a split cannot serve as a reference for drift; None: they can."""
    if split == "train":
        return "all documents were used for training, and new ones have other scores"
    if documents < DOCUMENTS:
        return f"{counted(documents, f'{split} document')} are fewer than the {DOCUMENTS} needed"
    return None


def _training_documents(splits: Any, schema: Schema) -> dict[str, int]:
    """Number of training documents of each class."""
    if "train" not in splits:
        return {}
    counts = indicators(splits["train"]["labels"][:], len(schema.classes)).sum(axis=0)
    return dict(zip(schema.classes, map(int, counts), strict=True))


def _about(run: RunFolder, record: dict[str, Any]) -> dict[str, Any]:
    """The origin of the bundle, for the manifest."""
    settings = record["settings"]
    return {
        "run": str(run.path.resolve().name),
        "commit": git_commit(),
        "text_fields": record["text_fields"],
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
