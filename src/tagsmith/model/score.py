"""Scoring documents: logits or vectors of each, in their order, on every process; and encoding the documents before."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor

from tagsmith.config.settings import CacheSettings
from tagsmith.core.errors import counted
from tagsmith.core.progress import meter
from tagsmith.core.schema import indicators
from tagsmith.model.loaded_model import LoadedModel
from tagsmith.model.packed import Packed, mean_by_group, tensors
from tagsmith.model.processes import on_main
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.tokens.batches import scoring_batches
from tagsmith.tokens.windows import Batch, EncodedDocuments

log = logging.getLogger("tagsmith")
datasets.disable_progress_bars()

Floats = NDArray[np.float32]


class Encoded(Protocol):
    """Documents ready for an encoder: `windows.EncodedDocuments`, or `frozen.TokenStates` computed from them."""

    @property
    def lengths(self) -> NDArray[np.int64]: ...

    @property
    def windows(self) -> NDArray[np.int64]: ...

    def __len__(self) -> int: ...

    def batch(self, documents: NDArray[np.int64]) -> Batch: ...


@dataclass(frozen=True)
class Part:
    """The documents at these positions, as if they were all."""

    encoded: Encoded
    documents: NDArray[np.int64]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        return self.encoded.lengths[self.documents]

    @cached_property
    def windows(self) -> NDArray[np.int64]:
        return self.encoded.windows[self.documents]

    def __len__(self) -> int:
        return len(self.documents)

    def batch(self, documents: NDArray[np.int64]) -> Batch:
        return self.encoded.batch(self.documents[documents])


def score(
    forward: Callable[[Tensor, Tensor | Packed], Tensor],
    encoded: Encoded,
    batch_tokens: int,
    accelerator: Accelerator,
    what: str,
    documents: NDArray[np.int64] | None = None,
    packed: bool = False,
) -> Floats:
    """The output of `forward` for documents, float32 [documents, n], the same on every process.

    Args:
        forward: from inputs and attention_mask [windows, tokens] to float [windows, n]; a document gets the
            mean over its windows.
        documents: positions of the documents to score; None: all of them, in their order.
        packed: whether `forward` gets packed windows.
    """
    chosen = np.arange(len(encoded)) if documents is None else documents
    batches = scoring_batches(encoded.lengths[chosen], encoded.windows[chosen], batch_tokens)
    mine = batches[accelerator.process_index :: accelerator.num_processes]
    parts: list[tuple[NDArray[np.int64], Floats]] = []
    total = sum(map(len, mine))

    def scored(places: NDArray[np.int64]) -> Floats:
        inputs, mask, document, windows = tensors(encoded.batch(chosen[places]), accelerator.device, packed)
        values: Floats = mean_by_group(forward(inputs, mask).float(), document, windows).cpu().numpy()
        return values

    # Not inference_mode: gathered weights of a sharded model could not be trained on afterwards.
    with torch.no_grad(), meter(what, total, "documents", show=accelerator.is_main_process) as progress:
        for places in mine:
            parts.append((places, scored(places)))
            progress.advance(len(places))
        if len(mine) < len(batches[:: accelerator.num_processes]):
            # The others are one batch ahead; with sharded weights they wait for this process's part.
            scored(batches[-1])
    if accelerator.num_processes > 1:
        parts = gather_object(parts)
    gathered = np.concatenate([places for places, _ in parts])
    if len(gathered) != len(chosen) or len(np.unique(gathered)) != len(chosen):
        raise RuntimeError(f"expected a score for each of {len(chosen)} documents, gathered {len(gathered)}")
    scores = np.empty((len(chosen), parts[0][1].shape[1]), dtype=np.float32)
    scores[gathered] = np.concatenate([values for _, values in parts])
    return scores


def logits_and_vectors(
    model: TextClassifier,
    encoded: Encoded,
    batch_tokens: int,
    accelerator: Accelerator,
    what: str,
    documents: NDArray[np.int64] | None = None,
) -> tuple[Floats, Floats]:
    """Logits float32 [documents, classes] and vectors float32 [documents, hidden]; arguments as of `score`."""
    both = score(model.eval().logits_and_vectors, encoded, batch_tokens, accelerator, what, documents)
    classes = model.head.out_features
    return both[:, :classes], both[:, classes:]


def encode_split(
    part: datasets.Dataset, name: str, model: LoadedModel, cache: CacheSettings, accelerator: Accelerator
) -> EncodedDocuments:
    """The documents of a split as tokens; warns of documents that are longer than a window."""

    def load() -> EncodedDocuments:
        return model.encode_cached(cache, name, part["text"])

    # With a cache the main process goes first: it tokenises, and the others read its tokens.
    encoded = on_main(accelerator, load) if cache.folder is not None else None
    if encoded is None:
        encoded = load()
    if (encoded.tokens > model.encoding.rule.max_tokens).any():
        log.warning(_long_documents(encoded, part["labels"][:], name, model))
    return encoded


def _long_documents(encoded: EncodedDocuments, labels: Any, name: str, model: LoadedModel) -> str:
    """How many documents of each class are longer than a window, and how much of them is not read."""
    rule, schema = model.encoding.rule, model.schema
    truth = indicators(labels, len(schema.classes))
    longer, cut = encoded.tokens > rule.max_tokens, encoded.unread > 0
    by_class = ", ".join(
        f"{label} {int(truth[cut, i].sum()):,} of {int(truth[:, i].sum()):,}"
        for i, label in enumerate(schema.classes)
        if truth[cut, i].any()
    )
    unread = int(encoded.unread.sum()) / int(encoded.tokens.sum())
    message = f"{name}: longer than {rule.max_tokens} tokens: {int(longer.sum()):,} of "
    message += f"{counted(len(encoded), 'document')}; "
    message += f"data.long_documents={rule.long_documents}"
    if not cut.any():
        return f"{message} reads all of them."
    return f"{message} leaves {unread:.0%} of all tokens unread, in documents of these classes: {by_class or 'none'}."
