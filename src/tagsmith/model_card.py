"""The README.md of a bundle: what the classifier is, how good, and where it comes from."""

import json
from collections.abc import Mapping
from typing import Any

from tagsmith.errors import counted
from tagsmith.report import decision_text
from tagsmith.schema import Schema


def model_card(
    schema: Schema, evaluation: Mapping[str, Any], record: Mapping[str, Any], documents: Mapping[str, int]
) -> str:
    """A model card in the format of the Hugging Face hub.

    Args:
        schema: of the classifier.
        evaluation: its figures, see `metrics.figures`.
        record: the run's `settings.json`.
        documents: number of documents by split.
    """
    settings, versions = record["settings"], record["versions"]
    encoder = settings["model.path"] or settings["model.name"] or settings["model.package"]
    made = "A logistic regression on the vectors of" if settings["train.recipe"] == "probe" else "Fine-tuned from"
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
    sizes = ", ".join(f"{count:,} {name}" for name, count in documents.items())
    return f"""---
pipeline_tag: text-classification
tags:
- tagsmith
- text-classification
base_model: {json.dumps(encoder)}
---

# {kind.capitalize()} text classifier with {counted(len(schema.classes), "class")}

{made} `{encoder}` with Tagsmith {versions["tagsmith"]}.

```python
from tagsmith import Classifier

classifier = Classifier.load("this folder")
classifier.predict(["some text"])
```

## Evaluation

{exact} {evaluation["accuracy"]:.4f}, log loss {evaluation["log_loss"]:.4f}.
Measured on {counted(evaluation["documents"], "document")} of the {split} split. Documents of the run: {sizes}.

| class | precision | recall | F1 | support |
|---|---|---|---|---|
{classes}
{averages}

## Scores

{_scores(evaluation)}

## Training

Seed {settings.get("seed")}, recipe `{settings.get("train.recipe")}`; the run's `settings.json` has every setting.
Trained on {record["started"]} with torch {versions["torch"]} and transformers {versions["transformers"]}.

## Limits

It knows the classes above and no others: a document that belongs to none of them gets scores all the
same{_unless(evaluation)}.
The figures hold for documents like those of the {split} split.
"""


def _scores(evaluation: Mapping[str, Any]) -> str:
    """What the scores are worth, a line of a list each."""
    return "\n".join(f"- {line}" for line in decision_text(evaluation).splitlines())


def _unless(evaluation: Mapping[str, Any]) -> str:
    return ", with a distance to the training documents beside them" if evaluation["out_of_scope"] else ""


def _cell(text: str) -> str:
    """Text that cannot break out of its cell in a table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
