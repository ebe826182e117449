"""Bundles created without training: a graph in which every word of a topic votes for its class.

They are of format 1, written by hand: what comes later keeps loading them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tagsmith.core.files import digest
from tagsmith.core.schema import Schema, Task
from tagsmith.decision.scope import unit_rows
from tests.conftest import FILLERS, TOPICS, make_tokenizer

VOTE = 2.0
"""What one word adds to the logit of its class."""


def make_bundle(
    folder: Path,
    multi_label: bool = False,
    vote: float = VOTE,
    max_tokens: int = 64,
    reference: dict[str, Any] | None = None,
    start: float | None = None,
    abstain_below: float | None = None,
    scope_limit: float | None = None,
    topics: Mapping[str, Sequence[str]] = TOPICS,
) -> Path:
    """Write a bundle that Classifier loads.

    Logits are the sums of votes from `start` on: -1 where it is multi-label, 0 where it is not.

    Args:
        reference: content of reference.json.
        abstain_below: confidence below which a person should decide.
        scope_limit: distance beyond which a person should decide. Vectors count words by topic, without topic, unknown.
        topics: the classes, and the words that vote for each; words are those of `TOPICS`.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    (folder / "onnx").mkdir(parents=True)
    size = make_tokenizer(folder)
    (folder / "tokenizer_config.json").unlink()
    classes = sorted(topics)
    votes = np.zeros((size, len(classes)), dtype=np.float32)
    known = [word for words in TOPICS.values() for word in words]
    for topic, words in topics.items():
        votes[[4 + len(FILLERS) + known.index(word) for word in words], classes.index(topic)] = vote
    votes[2] = start if start is not None else -1.0 if multi_label else 0.0  # [CLS], once in every window.
    nodes = [
        helper.make_node("Gather", ["votes", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["each", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["logits"], keepdims=0),
    ]
    outputs, constants = [], []
    if scope_limit is not None:
        counts = np.zeros((size, len(classes) + 2), dtype=np.float32)
        counts[:, : len(classes)] = np.sign(np.maximum(votes, 0))
        counts[4 : 4 + len(FILLERS), -2] = counts[1, -1] = 1  # [UNK] is the second token.
        nodes += [
            helper.make_node("Gather", ["counts", "input_ids"], ["counted"]),
            helper.make_node("Mul", ["counted", "wide"], ["kept_counts"]),
            helper.make_node("ReduceSum", ["kept_counts", "tokens"], ["sentence_embedding"], keepdims=0),
        ]
        constants = [numpy_helper.from_array(counts, "counts")]
        outputs = [
            helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["windows", len(classes) + 2])
        ]
        np.save(
            folder / "scope.npy", unit_rows(np.eye(len(classes), len(classes) + 2, dtype=np.float32)).astype(np.float16)
        )
    places: list[Any] = ["windows", "tokens"]
    graph = helper.make_graph(
        nodes,
        "votes",
        [helper.make_tensor_value_info(name, TensorProto.INT64, places) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["windows", len(classes)]), *outputs],
        [
            numpy_helper.from_array(votes, "votes"),
            numpy_helper.from_array(np.array([2]), "last"),
            numpy_helper.from_array(np.array([1]), "tokens"),
            *constants,
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "onnx" / "model.onnx")
    schema = Schema(tuple(classes), Task.multi_label if multi_label else Task.single_label)
    schema.save(folder / "schema.json")
    decision: dict[str, Any] = {
        "window_rule": {"max_tokens": max_tokens, "long_documents": "head", "overlap": 32, "max_windows": 8},
        "pad_id": 0,
        "thresholds": [0.5] * len(classes),
        "window_pooling": "mean_logits",
        "abstain_below": abstain_below,
        "out_of_scope_beyond": scope_limit,
    }
    (folder / "decision.json").write_text(json.dumps(decision))
    (folder / "README.md").write_text("# votes\n")
    names = ["onnx/model.onnx", "tokenizer.json", "schema.json", "decision.json", "README.md"]
    if scope_limit is not None:
        names.append("scope.npy")
    if reference is not None:
        (folder / "reference.json").write_text(json.dumps(reference))
        names.append("reference.json")
    files = {name: {"sha256": digest(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    manifest = {"format": 1, "schema_hash": schema.hash, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
