"""Converts the model to a stock sequence classifier of transformers, which loads without this package.

The head of a stock classifier reads the state of the first token; ours reads the mean of all states, normalised to mean
0 and variance 1. One additional layer of the encoder's architecture computes this mean: its query and key weights are
zero, so that it attends evenly to all tokens, and its layer norms, with unit scale and no shift, are our normalisation.
The mean is `VALUES * OUTPUT` times the residual. All factors are powers of two, and small enough that no value
overflows in half precision. With pooling=cls, the attention and feed-forward weights are zero, and only the norm
remains. The dense layer with which stock heads begin is the identity where its activation is linear: around 0 for tanh,
far above 0 for GELU and ReLU. The scale and shift of logits of the decision rule are part of the last layer.
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
"""The mean is `VALUES * OUTPUT` times the residual; `VALUES` compensates for `STATES`."""
FIRST = 2.0**10
"""Factor of the first token's state, so that the epsilon of the layer norm is negligible compared with its variance."""
LINEAR = 2.0**-10
"""Factor before a tanh: values of an n-vector with variance 1 are mostly below 5, and tanh(x) = x - x^3 / 3."""


@dataclass(frozen=True)
class Architecture:
    """The names of the parts of a stock classifier.

    Attributes:
        layers: the layers of the encoder, within the base model.
        dense, output: the two linear layers of the head, within the whole model.
        tanh: whether tanh follows `dense`; otherwise GELU or ReLU does.
        even: whether attention with zero query and key weights is uniform, that is without relative position biases.
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
"""Encoders with a layer norm after each part of a layer, by `model_type`."""
MODERNBERT = "modernbert"
"""Its stock classifier has a pooling of its own, followed by a layer norm."""


def refusal(model: LoadedModel) -> str | None:
    """Why no stock classifier returns the scores of this model, with a remedy; None: one does."""
    kind, encoding = model.classifier.encoder.config.model_type, model.encoding
    if encoding.rule.long_documents != "head":
        return (
            f"data.long_documents={encoding.rule.long_documents}: a stock classifier of transformers reads only the "
            "head of a document; train with data.long_documents=head"
        )
    if kind == MODERNBERT:
        return None
    if kind not in ARCHITECTURES:
        known = ", ".join(sorted([*ARCHITECTURES, MODERNBERT]))
        return f"encoders of the type {kind} are not supported as stock classifiers; expected one of {known}"
    if encoding.pooling is Pooling.mean and not ARCHITECTURES[kind].even:
        return (
            f"a stock classifier of the type {kind} cannot compute the mean of all token states, because its "
            "attention is never uniform; train with model.pooling=cls, or remove transformers from export.formats"
        )
    return None


def stock_classifier(model: LoadedModel) -> Any:
    """The classifier of transformers that returns the logits of `model`, configured with its classes and task.

    Raises:
        SettingsError: there is none, see `refusal`.
    """
    config, classifier, pooling = stock_config(model), model.classifier, model.encoding.pooling
    kind = config.model_type
    if kind == MODERNBERT:
        # Adds a bias that the encoder lacks; the norm after the activation removes it again.
        config.classifier_pooling, config.classifier_bias = pooling.value, True
    else:
        config.num_hidden_layers += 1
    with torch.no_grad():
        stock: Any = transformers.AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
        loaded = stock.base_model.load_state_dict(classifier.encoder.state_dict(), strict=False)
        if loaded.unexpected_keys:
            raise RuntimeError(f"the stock {kind} lacks the parameters {loaded.unexpected_keys}")
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
    """The configuration of the encoder, with the classes and the task of the schema."""
    encoder, schema = model.classifier.encoder, model.schema
    config = type(encoder.config).from_dict(encoder.config.to_dict())
    config.id2label = dict(enumerate(schema.classes))
    config.label2id = schema.label2id
    config.problem_type = "multi_label_classification" if schema.multi_label else "single_label_classification"
    mapping = transformers.models.auto.modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    config.architectures = [mapping[config.model_type]] if config.model_type in mapping else None
    return config


def _pooling_layer(layer: nn.Module, pooling: Pooling) -> None:
    """Make a layer compute the mean of all states, or leave each state unchanged; both are normalised."""
    factors = {
        "attention.self.value": VALUES,
        "attention.v_lin": VALUES,
        "attention.output.dense": OUTPUT,
        "attention.out_lin": OUTPUT,
    }
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
        raise RuntimeError(f"expected the value and output weights of an attention layer, found {found} of these two")


def _multiply_norm(layer: nn.Module, factor: float) -> None:
    """Multiply the output of a layer, through the scale and the shift of its last layer norm."""
    norm = [module for module in layer.modules() if isinstance(module, nn.LayerNorm)][-1]
    norm.weight.mul_(factor)
    norm.bias.mul_(factor)


def _head(dense: nn.Linear, output: nn.Linear, head: nn.Linear, tanh: bool) -> None:
    """Express `head` as two linear layers with an activation between them, for vectors with variance 1."""
    # No value of such a vector exceeds the square root of its length; above 8, GELU is linear in single precision.
    far = 0.0 if tanh else math.ceil(math.sqrt(dense.in_features)) + 8.0
    factor = LINEAR if tanh else 1.0
    nn.init.eye_(dense.weight).mul_(factor)
    nn.init.constant_(dense.bias, far)
    output.weight.copy_(head.weight / factor)
    output.bias.copy_(head.bias.double() - far * head.weight.double().sum(dim=1))


def _modernbert_head(stock: Any, head: nn.Linear) -> None:
    """Express `head` after the dense layer, the activation and the layer norm of ModernBERT."""
    dense, norm = stock.head.dense, stock.head.norm
    # The largest output of the encoder's last norm; the factor makes the epsilon of the next norm negligible.
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
        SettingsError: no stock classifier returns the same scores.
    """
    if reason := refusal(model):
        raise SettingsError(f"export.formats=transformers: {reason}.")
    stock_classifier(model).save_pretrained(folder)
    model.tokenizer.save(str(folder / "tokenizer.json"))
    write_tokenizer_config(folder, model)
    # text-embeddings-inference reads the maximum input length here; by default it uses the number of positions.
    longest = model.encoding.rule.max_tokens
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False})


def write_tokenizer_config(folder: Path, model: LoadedModel) -> None:
    """Write `tokenizer_config.json`, which libraries need in addition to `tokenizer.json`."""
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
    """Scores float32 [documents, classes] of the pipeline of transformers, called as a user would."""
    pipeline: Any = transformers.pipeline("text-classification", model=str(folder), device="cpu", truncation=True)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    scores = np.empty((len(texts), len(schema.classes)), dtype=np.float32)
    answers = pipeline([texts[i] for i in order], batch_size=batch_size, top_k=None)
    for i, answer in zip(order, answers, strict=True):
        for one in answer:
            scores[i, schema.label2id[one["label"]]] = one["score"]
    return scores
