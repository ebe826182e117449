"""How each contender loads and classifies; each imports its libraries when it is called."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

BATCH = 32
"""Batch size of the other libraries, as in their documentation."""


@dataclass(frozen=True)
class Task:
    """The models to classify with.

    Attributes:
        bundle: folder of an exported bundle.
        stock: folder that `AutoModelForSequenceClassification` loads; "" if there is none.
        encoder: folder of the encoder alone, with the head in head.npz; "" if there is none.
        max_tokens: longest input.
        threads: threads of a call; None for the default of the contender.
    """

    bundle: str
    stock: str
    encoder: str
    max_tokens: int
    threads: int | None


Classify = Callable[[Sequence[str]], list[int]]
"""From documents to their most likely classes, as ids."""


def tagsmith(task: Task, engine: str = "auto", precision: str = "auto") -> Classify:
    """`Classifier` with its defaults, or with another engine."""
    from tagsmith.classify.classifier import Classifier

    classifier = Classifier.load(task.bundle, threads=task.threads, engine=engine, precision=precision)
    return lambda texts: [int(best) for best in classifier.predict_proba(texts).argmax(axis=1)]


def onnxruntime(task: Task) -> Classify:
    """The bundle's graph in onnxruntime with its defaults: padded batches of 32 in the order of the documents."""
    import json

    import numpy as np
    import onnxruntime as runtime
    from tokenizers import Tokenizer

    folder = Path(task.bundle)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = task.threads or 0
    session = runtime.InferenceSession(str(folder / "onnx/model.onnx"), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    pad_id = json.loads((folder / "decision.json").read_text(encoding="utf-8"))["pad_id"]
    tokenizer.enable_truncation(task.max_tokens)
    tokenizer.enable_padding(pad_id=pad_id, pad_token=tokenizer.id_to_token(pad_id))

    def classify(texts: Sequence[str]) -> list[int]:
        found: list[int] = []
        for start in range(0, len(texts), BATCH):
            encoded = tokenizer.encode_batch(list(texts[start : start + BATCH]))
            inputs = {
                "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
                "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
            }
            found += session.run(["logits"], inputs)[0].argmax(axis=1).tolist()
        return found

    return classify


def pipeline(task: Task) -> Classify:
    """`transformers.pipeline("text-classification")` in batches of 32."""
    import torch
    import transformers

    if task.threads is not None:
        torch.set_num_threads(task.threads)
    classifier: Any = transformers.pipeline("text-classification", model=task.stock, device="cpu")
    ids = classifier.model.config.label2id

    def classify(texts: Sequence[str]) -> list[int]:
        answers = classifier(list(texts), batch_size=BATCH, truncation=True, max_length=task.max_tokens)
        return [ids[answer["label"]] for answer in answers]

    return classify


def sentence_transformers(task: Task, backend: str = "torch") -> Classify:
    """`SentenceTransformer.encode` with mean pooling, and the head in numpy."""
    import numpy as np
    import torch
    from sentence_transformers import SentenceTransformer, models

    if task.threads is not None:
        torch.set_num_threads(task.threads)
    head = np.load(Path(task.encoder) / "head.npz")
    weight, bias = head["weight"], head["bias"]
    encoder = models.Transformer(task.encoder, max_seq_length=task.max_tokens, backend=backend)
    pooling = models.Pooling(weight.shape[1], "mean")
    model = SentenceTransformer(modules=[encoder, pooling], device="cpu", backend=backend)

    def classify(texts: Sequence[str]) -> list[int]:
        vectors = model.encode(list(texts), batch_size=BATCH, show_progress_bar=False)
        vectors = vectors - vectors.mean(axis=1, keepdims=True)
        vectors /= np.sqrt((vectors**2).mean(axis=1, keepdims=True) + 1e-12)
        best: list[int] = (vectors @ weight.T + bias).argmax(axis=1).tolist()
        return best

    return classify


BACKENDS = {"sentence_transformers_onnx": "onnx", "sentence_transformers_openvino": "openvino"}
"""Backends of sentence-transformers, by contender."""

CONTENDERS: dict[str, Callable[[Task], Classify]] = {
    "tagsmith": tagsmith,
    "tagsmith_onnxruntime": partial(tagsmith, engine="onnxruntime"),
    "tagsmith_openvino": partial(tagsmith, engine="openvino"),
    "onnxruntime": onnxruntime,
    "pipeline": pipeline,
    "sentence_transformers": sentence_transformers,
    **{name: partial(sentence_transformers, backend=backend) for name, backend in BACKENDS.items()},
}

NEEDED = {
    "tagsmith_openvino": ("openvino",),
    "pipeline": ("torch", "transformers"),
    "sentence_transformers": ("torch", "sentence_transformers"),
    # Its backends convert the model with optimum.
    "sentence_transformers_onnx": ("torch", "sentence_transformers", "optimum", "onnxruntime"),
    "sentence_transformers_openvino": ("torch", "sentence_transformers", "optimum", "openvino"),
}
"""Packages that a contender imports, by its name."""


def missing(name: str, task: Task) -> str | None:
    """Why a contender cannot be measured, if it cannot."""
    for package in NEEDED.get(name, ()):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
    if (name == "pipeline" and not task.stock) or (name.startswith("sentence_transformers") and not task.encoder):
        return "it needs run= for the encoder's weights"
    return None
