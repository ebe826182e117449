"""The README.md of a bundle: a model card with intended use, evaluation, formats, training and limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from tagsmith.classify.engine import BF16, FP32, OPENVINO, Engine
from tagsmith.core.errors import counted
from tagsmith.core.schema import Schema
from tagsmith.evaluate.class_limits import FEW
from tagsmith.evaluate.report import decision_text
from tagsmith.export.parity import Certificate
from tagsmith.tokens.windows import WindowRule


@dataclass(frozen=True)
class Facts:
    """The contents of a card in addition to the evaluation.

    Attributes:
        documents: their number by split.
        training_documents: their number by class.
        truncated: number of documents of the evaluated split that are not read to the end.
        parity: certificates by format.
        left_out: reasons by the names of parts that were left out.
        window_rule: which tokens of a document are read.
    """

    documents: Mapping[str, int]
    training_documents: Mapping[str, int]
    truncated: int
    parity: Mapping[str, Certificate]
    left_out: Mapping[str, str]
    window_rule: WindowRule


def encoder_of(settings: Mapping[str, Any]) -> str:
    """The name of the encoder on the hub, or of its local folder, without the private path to it."""
    if settings["model.path"]:
        return Path(settings["model.path"]).name or "a local folder"
    return str(settings["model.name"] or settings["model.package"])


def model_card(schema: Schema, evaluation: Mapping[str, Any], record: Mapping[str, Any], facts: Facts) -> str:
    """A model card in the format of the Hugging Face hub, with a model index.

    Args:
        schema: the schema of the classifier.
        evaluation: its metrics, see `metrics.figures` and `decision_figures`.
        record: the `settings.json` of the run.
    """
    settings, versions = record["settings"], record["versions"]
    encoder = encoder_of(settings)
    how = {"probe": "A logistic regression on the vectors of", "distill": "Fine-tuned with a teacher, from"}
    made = how.get(settings["train.recipe"], "Fine-tuned from")
    kind = "multi-label" if schema.multi_label else "single-label"
    exact = "Exact match" if schema.multi_label else "Accuracy"
    classes = "\n".join(
        f"| {_cell(name)} | {row['precision']:.4f} | {row['recall']:.4f} | {row['f1']:.4f} | {row['support']:,} |"
        for name, row in evaluation["classes"].items()
    )
    averages = "\n".join(
        f"| {name} | {row['precision']:.4f} | {row['recall']:.4f} | {row['f1']:.4f} | |"
        for name, row in ((name, evaluation[name]) for name in ("micro", "macro", "weighted"))
    )
    split = evaluation["split"]
    sizes = ", ".join(f"{count:,} {name}" for name, count in facts.documents.items())
    title = f"{kind.capitalize()} text classifier with {counted(len(schema.classes), 'class')}"
    task = "assigns any number" if schema.multi_label else "assigns one"
    local = bool(settings["model.path"]) or not settings["model.name"]
    limits = "\n".join(f"- {line}" for line in _limits(evaluation, facts))
    return f"""---
{_metadata(title, evaluation, None if local else encoder)}
---

# {title}

{made} `{encoder}` with Tagsmith {versions["tagsmith"]}. For the licence, see the encoder.

```python
from tagsmith import Classifier

classifier = Classifier.load("this folder")
classifier.predict(["some text"])
```

## Intended use

The classifier {task} of the {counted(len(schema.classes), "class")} below to a text.
It is intended for texts like those of its training data, and for decisions that a person can review.

## Evaluation

{exact} {evaluation["accuracy"]:.4f}, log loss {evaluation["log_loss"]:.4f}.
Measured on {counted(evaluation["documents"], "document")} of the {split} split. Documents of the run: {sizes}.

| class | precision | recall | F1 | support |
|---|---|---|---|---|
{classes}
{averages}

## Scores

{_scores(evaluation)}

## Formats

Each format was compared with the trained model over the whole {split} split.

| format | largest score difference | differing labels | macro F1 | macro F1 lost |
|---|---|---|---|---|
{_formats(facts)}

## Training

Seed {settings.get("seed")}, recipe `{settings.get("train.recipe")}`; the run's `settings.json` has every setting.
Trained on {record["started"]} with torch {versions["torch"]} and transformers {versions["transformers"]}.

## Limits

{limits}
"""


def _metadata(title: str, evaluation: Mapping[str, Any], encoder: str | None) -> str:
    """The YAML front matter, with a model index for the hub."""
    split = evaluation["split"]
    values = {
        "accuracy": ("Accuracy", evaluation["accuracy"]),
        "f1": ("Macro F1", evaluation["macro"]["f1"]),
        "precision": ("Macro precision", evaluation["macro"]["precision"]),
        "recall": ("Macro recall", evaluation["macro"]["recall"]),
    }
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type="private",
            dataset_name="documents of the run",
            dataset_split=split,
            metric_type=metric,
            metric_name=name,
            metric_value=round(value, 6),
        )
        for metric, (name, value) in values.items()
    ]
    data = ModelCardData(
        pipeline_tag="text-classification",
        library_name="tagsmith",
        tags=["tagsmith", "text-classification", "onnx"],
        base_model=encoder,
        model_name=title,
        eval_results=results,
    )
    return data.to_yaml().strip()


def _scores(evaluation: Mapping[str, Any]) -> str:
    """What the scores mean, as a list."""
    lines = decision_text(evaluation).splitlines()
    if thresholds := evaluation.get("thresholds"):
        named = ", ".join(f"{_cell(name)} {value:.3f}" for name, value in thresholds.items())
        lines.append(f"a class is predicted at or above its threshold: {named}")
    lines.append(
        "other libraries return the same scores, but not thresholds and to_person: these are in `decision.json`"
    )
    return "\n".join(f"- {line}" for line in lines)


def _formats(facts: Facts) -> str:
    js = "; transformers.js, except for the last token of long documents"
    usage = {
        "onnx": "`onnx/model.onnx`: `Classifier.load(FOLDER)`" + ("" if "transformers.js" in facts.left_out else js),
        "onnx_quantized": "`onnx/model_quantized.onnx`: `Classifier.load(FOLDER, quantized=True)`",
        # With the versions and the instruction sets of this machine, on which the certificates are made.
        "openvino": f'`onnx/model.onnx` by {Engine(OPENVINO, FP32)}: `Classifier.load(FOLDER, engine="openvino")`',
        "openvino_bf16": f'`onnx/model.onnx` by {Engine(OPENVINO, BF16)}: `Classifier.load(FOLDER, precision="bf16")`',
        "transformers": '`transformers/`: `pipeline("text-classification", "FOLDER/transformers", truncation=True)`',
    }
    rows = [
        f"| {usage[name]} | {found.largest_score_difference:.1e} | {found.labels_differ:,} of {found.documents:,} | "
        f"{found.macro_f1:.4f} | {found.macro_f1_lost:.4f} |"
        for name, found in facts.parity.items()
    ]
    notes = [f"\nLeft out: {name}, because {reason}." for name, reason in facts.left_out.items()]
    return "\n".join([*rows, *notes])


def _limits(evaluation: Mapping[str, Any], facts: Facts) -> list[str]:
    split, rule = evaluation["split"], facts.window_rule
    lines = [
        "It knows only the classes above; "
        + (
            "a document that is far from all training documents is left for a person to decide."
            if evaluation.get("out_of_scope")
            else "a document that belongs to none of them gets scores as well."
        ),
        f"The metrics hold for documents like those of the {split} split.",
        f"It reads windows of {rule.max_tokens} tokens (`long_documents: {rule.long_documents}`); "
        f"{facts.truncated:,} of {counted(evaluation['documents'], f'{split} document')} "
        f"{'was' if facts.truncated == 1 else 'were'} not read to the end.",
    ]
    if few := [name for name, count in facts.training_documents.items() if count < FEW]:
        lines.append(
            f"Fewer than {FEW} training documents: {', '.join(map(_cell, few))}; do not rely on their metrics."
        )
    if unseen := [name for name, row in evaluation["classes"].items() if not row["support"]]:
        lines.append(f"No documents in the {split} split, so never measured: {', '.join(map(_cell, unseen))}.")
    return lines


def _cell(text: str) -> str:
    """Escape text for a cell of a table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
