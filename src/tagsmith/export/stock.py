"""The model as a stock sequence classifier of transformers: a folder that needs no code of ours.

A stock classifier gives its head the first token's state; ours takes the mean of all states, normalised to mean 0 and
variance 1. One more layer of the encoder's own kind makes the one of the other. Its query and key weights are zero, so
that it attends evenly to all tokens, and its layer norms, without scale and shift of their own, are our normalisation.
The residual is `MEAN` times smaller than the mean beside it. All factors are powers of two, and small enough that no
value leaves the range of half precision. For the first token's state, attention and feed-forward part are zero, and the
norm alone is left. The dense layer that stock heads begin with is the identity where its activation is linear: around 0
for tanh, far above it for GELU and ReLU. The decision rule's scale and shift of logits go into the last layer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import nn

from tagsmith.config.settings import Pooling
from tagsmith.core.errors import SettingsError
from tagsmith.core.files import write_json
from tagsmith.core.schema import Schema
from tagsmith.model.loaded_model import LoadedModel

Floats = NDArray[np.float32]

STATES, VALUES, OUTPUT = 2.0**-6, 2.0**6, 2.0**11
MEAN = VALUES * OUTPUT
"""How many times the mean is larger than the residual beside it; what `STATES` takes away, `VALUES` gives back."""
FIRST = 2.0**10
"""By what the first token's state is multiplied, so that the layer norm's epsilon is nothing beside its variance."""
LINEAR = 2.0**-10
"""Factor before a tanh: values of an n-vector with variance 1 are mostly below 5, and tanh(x) = x - x^3 / 3."""


@dataclass(frozen=True)
class Architecture:
    """Where a stock classifier keeps its parts.

    Attributes:
        layers: the encoder's layers, from the base model.
        dense, output: the head's two linear layers, from the whole model.
        tanh: what follows `dense`; else GELU or ReLU.
        even: whether zero query and key weights attend evenly: no bias by relative position is added to them.
    """

    layers: str
    dense: str
    output: str
    tanh: bool
    even: bool


_ROBERTA = Architecture("encoder.layer", "classifier.dense", "classifier.out_proj", tanh=True, even=True)
ARCHITECTURES = {
    "bert": Architecture("encoder.layer", "bert.pooler.dense", "classifier", tanh=True, even=True),
    "camembert": _ROBERTA,
    "deberta-v2": Architecture("encoder.layer", "pooler.dense", "classifier", tanh=False, even=False),
    "distilbert": Architecture("transformer.layer", "pre_classifier", "classifier", tanh=False, even=True),
    "electra": Architecture("encoder.layer", "classifier.dense", "classifier.out_proj", tanh=False, even=True),
    "mpnet": Architecture("encoder.layer", "classifier.dense", "classifier.out_proj", tanh=True, even=False),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}
"""Encoders with a layer norm behind each part of a layer, by their `model_type`."""
MODERNBERT = "modernbert"
"""Its stock classifier takes the mean itself, and has a layer norm behind it."""


def refusal(model: LoadedModel) -> str | None:
    """Why no stock classifier gives the scores of this model, and what helps; None: one does."""
    kind, encoding = model.classifier.encoder.config.model_type, model.encoding
    if encoding.rule.long_documents != "head":
        return (
            f"data.long_documents={encoding.rule.long_documents}: a stock classifier of transformers reads the head "
            "of a document alone; train with data.long_documents=head"
        )
    if kind == MODERNBERT:
        return None
    if kind not in ARCHITECTURES:
        known = ", ".join(sorted([*ARCHITECTURES, MODERNBERT]))
        return f"an encoder of the kind {kind} has not been expressed as a stock classifier; expected one of {known}"
    if encoding.pooling is Pooling.mean and not ARCHITECTURES[kind].even:
        return (
            f"a stock classifier of the kind {kind} cannot take the mean of all token states, for its attention is "
            "never even; train with model.pooling=cls, or leave transformers out of export.formats"
        )
    return None


def stock_classifier(model: LoadedModel) -> Any:
    """The classifier of transformers that gives the logits of `model`; its configuration names classes and task.

    Raises:
        SettingsError: there is none, see `refusal`.
    """
    config, classifier, pooling = stock_config(model), model.classifier, model.encoding.pooling
    kind = config.model_type
    if kind == MODERNBERT:
        # One more bias than the encoder has; the norm behind the activation takes it out again.
        config.classifier_pooling, config.classifier_bias = pooling.value, True
    else:
        config.num_hidden_layers += 1
    with torch.no_grad():
        stock: Any = transformers.AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
        loaded = stock.base_model.load_state_dict(classifier.encoder.state_dict(), strict=False)
        if loaded.unexpected_keys:
            raise RuntimeError(f"the stock {kind} has no place for {loaded.unexpected_keys}")
        if kind == MODERNBERT:
            _modernbert_head(stock, classifier.head)
        else:
            parts = ARCHITECTURES[kind]
            layers = stock.base_model.get_submodule(parts.layers)
            _pooling_layer(layers[-1], pooling)
            _multiply_norm(layers[-2], STATES if pooling is Pooling.mean else FIRST)
            _head(stock.get_submodule(parts.dense), stock.get_submodule(parts.output), classifier.head, parts.tanh)
    return stock.eval()


def stock_config(model: LoadedModel) -> Any:
    """The encoder's configuration, as that of a classifier of these classes."""
    encoder, schema = model.classifier.encoder, model.schema
    config = type(encoder.config).from_dict(encoder.config.to_dict())
    config.id2label = dict(enumerate(schema.classes))
    config.label2id = schema.label2id
    config.problem_type = "multi_label_classification" if schema.multi_label else "single_label_classification"
    mapping = transformers.models.auto.modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    config.architectures = [mapping[config.model_type]] if config.model_type in mapping else None
    return config


def _pooling_layer(layer: nn.Module, pooling: Pooling) -> None:
    """Attend evenly and keep the mean, or leave each state as it is; normalise it either way."""
    factors = {"attention.self.value": VALUES, "attention.v_lin": VALUES,
               "attention.output.dense": OUTPUT, "attention.out_lin": OUTPUT}  # fmt: skip
    found = 0
    for name, parameter in layer.named_parameters():
        part, _, what = name.rpartition(".")
        nn.init.zeros_(parameter)
        if what == "weight" and "norm" in part.lower():
            nn.init.ones_(parameter)
        elif what == "weight" and pooling is Pooling.mean and part in factors:
            nn.init.eye_(parameter).mul_(factors[part])
            found += 1
    if pooling is Pooling.mean and found != 2:
        raise RuntimeError(f"expected the value and output weights of an attention layer, found {found} of them")


def _multiply_norm(layer: nn.Module, factor: float) -> None:
    """Multiply what a layer gives, by the scale and the shift of its last layer norm."""
    norm = [module for module in layer.modules() if isinstance(module, nn.LayerNorm)][-1]
    norm.weight.mul_(factor)
    norm.bias.mul_(factor)


def _head(dense: nn.Linear, output: nn.Linear, head: nn.Linear, tanh: bool) -> None:
    """`head` as two linear layers with an activation between them, for vectors with variance 1."""
    # No value of such a vector is beyond the root of its length; GELU is linear from 8 on to the last digit.
    far = 0.0 if tanh else math.ceil(math.sqrt(dense.in_features)) + 8.0
    factor = LINEAR if tanh else 1.0
    nn.init.eye_(dense.weight).mul_(factor)
    nn.init.constant_(dense.bias, far)
    output.weight.copy_(head.weight / factor)
    output.bias.copy_(head.bias.double() - far * head.weight.double().sum(dim=1))


def _modernbert_head(stock: Any, head: nn.Linear) -> None:
    """`head` behind the dense layer, the activation and the layer norm of ModernBERT."""
    dense, norm = stock.head.dense, stock.head.norm
    # What the encoder's last norm can give at most, times the factor that makes the next norm's epsilon vanish.
    last = stock.base_model.final_norm
    largest = float(last.weight.abs().max()) * math.sqrt(dense.in_features)
    largest += float(last.bias.abs().max()) if last.bias is not None else 0.0
    factor = 2.0 ** round(math.log2(64 / largest))
    nn.init.eye_(dense.weight).mul_(factor)
    nn.init.constant_(dense.bias, factor * largest + 8.0)
    nn.init.ones_(norm.weight)
    if norm.bias is not None:
        nn.init.zeros_(norm.bias)
    stock.classifier.weight.copy_(head.weight)
    stock.classifier.bias.copy_(head.bias)


def write_stock(folder: Path, model: LoadedModel) -> None:
    """Write the folder that `transformers.pipeline("text-classification", model=FOLDER, truncation=True)` loads.

    Raises:
        SettingsError: no stock classifier gives the same scores.
    """
    if reason := refusal(model):
        raise SettingsError(f"export.formats=transformers: {reason}.")
    stock_classifier(model).save_pretrained(folder)
    model.tokenizer.save(str(folder / "tokenizer.json"))
    write_tokenizer_config(folder, model)
    # Where text-embeddings-inference looks for the longest input; without it, it takes all positions for tokens.
    longest = model.encoding.rule.max_tokens
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False})


def write_tokenizer_config(folder: Path, model: LoadedModel) -> None:
    """Write what a library has to know beside `tokenizer.json`."""
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model.encoding.rule.max_tokens,
            "pad_token": model.tokenizer.id_to_token(model.encoding.pad_id),
            "padding_side": "right",
            "truncation_side": "right",
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
        },
    )


def pipeline_scores(folder: Path, texts: Sequence[str], schema: Schema, batch_size: int = 32) -> Floats:
    """Scores float32 [documents, classes] by the pipeline of transformers, as anyone calls it."""
    pipeline: Any = transformers.pipeline("text-classification", model=str(folder), device="cpu", truncation=True)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    scores = np.empty((len(texts), len(schema.classes)), dtype=np.float32)
    answers = pipeline([texts[i] for i in order], batch_size=batch_size, top_k=None)
    for i, answer in zip(order, answers, strict=True):
        for one in answer:
            scores[i, schema.label2id[one["label"]]] = one["score"]
    return scores
