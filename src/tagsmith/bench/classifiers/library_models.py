"""A run's encoder in the formats that other libraries load.

FOLDER/stock is an `AutoModelForSequenceClassification` with the encoder and the number of classes, but an untrained
head: it does the same work, its answers mean nothing. FOLDER/encoder is the encoder alone, with the run's head in
head.npz; `write_backend` adds it in the format of a backend of sentence-transformers.
"""

from pathlib import Path

import numpy as np
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.model.loaded_model import load_trained
from tagsmith.tokens.windows import without_limits


def write_library_models(run: RunFolder, folder: Path) -> None:
    """Write both folders."""
    model = load_trained(run.model, Schema.load(run.schema))
    tokenizer, classifier = model.tokenizer, model.classifier
    pad = tokenizer.id_to_token(model.encoding.pad_id)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=without_limits(tokenizer), pad_token=pad)  # type: ignore[no-untyped-call]
    encoder = folder / "encoder"
    classifier.encoder.save_pretrained(encoder)
    weight, bias = (value.detach().numpy() for value in (classifier.head.weight, classifier.head.bias))
    np.savez(encoder / "head.npz", weight=weight, bias=bias)
    labels = dict(enumerate(model.schema.classes))
    stock = AutoModelForSequenceClassification.from_pretrained(
        encoder, id2label=labels, label2id={name: i for i, name in labels.items()}
    )
    stock.save_pretrained(folder / "stock")
    for place in (encoder, folder / "stock"):
        wrapped.save_pretrained(place)


def write_backend(encoder: str, backend: str) -> None:
    """Convert the encoder for a backend of sentence-transformers, which would otherwise do it whenever it loads it."""
    from sentence_transformers import models

    models.Transformer(encoder, backend=backend).save(encoder)
