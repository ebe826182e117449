"""The frozen lower layers of an encoder: they run once per document, and their token states are kept in a file.

Their forward pass is computed once instead of once per epoch, their backward pass never.
Frozen layers with kept states: Liu et al., AutoFreeze, arXiv 2102.01386.
"""

import copy
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from tagsmith.core.errors import SettingsError
from tagsmith.core.progress import meter
from tagsmith.model.packed import Packed, moved
from tagsmith.model.processes import from_main
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.tokens.batches import scoring_batches
from tagsmith.tokens.windows import Batch, EncodedDocuments

log = logging.getLogger("tagsmith")

MIB = 2**20


class _PassThrough(nn.Module):
    """Replaces the embeddings of an encoder; returns the token states that the encoder was called with."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Tensor:
        return inputs_embeds


class UpperClassifier(TextClassifier):
    """The layers above the frozen ones with pooling and head; it shares the weights of the complete classifier."""

    def token_states(self, inputs: Tensor, attention_mask: Tensor | Packed) -> Tensor:
        """As of the complete classifier; `inputs` are the states of the lower part, float [windows, tokens, hidden]."""
        return self._encoded(attention_mask, inputs_embeds=inputs.float())


def freeze_layers(model: TextClassifier, count: int) -> None:
    """Freeze everything below layer `count`, and what the layers of the encoder share (relative positions).

    Raises:
        SettingsError: the encoder has no layer above those, or does not consist of layers one after the other.
    """
    layers = layers_of(model.encoder)
    if count >= len(layers):
        raise SettingsError(f"train.frozen_layers: expected at most {len(layers) - 1} for this encoder, found {count}.")
    trained = {id(parameter) for layer in layers[count:] for parameter in layer.parameters()}
    if (norm := getattr(model.encoder, "final_norm", None)) is not None:
        trained |= {id(parameter) for parameter in norm.parameters()}
    for parameter in model.encoder.parameters():
        parameter.requires_grad_(id(parameter) in trained)


def layers_of(encoder: Any) -> nn.ModuleList:
    """The encoder's layers, the lowest first."""
    inner = getattr(encoder, "encoder", None)
    layers = getattr(encoder, "layers", None) if inner is None else getattr(inner, "layer", None)
    if layers is None or getattr(inner, "conv", None) is not None:
        raise SettingsError(
            f"train.frozen_layers: {type(encoder).__name__} cannot be split between two layers; set it to 0."
        )
    return layers  # type: ignore[no-any-return]


def _shallow_copy(module: Any) -> Any:
    """A shallow copy of a module, of which submodules can be replaced without changing the original."""
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied


def _with_layers(encoder: Any, layers: nn.ModuleList) -> Any:
    copied = _shallow_copy(encoder)
    if getattr(encoder, "encoder", None) is None:
        copied.layers = layers
    else:
        copied.encoder = _shallow_copy(encoder.encoder)
        copied.encoder.layer = layers
    return copied


def lower_part(model: TextClassifier, count: int) -> Any:
    """The encoder's embeddings and its lowest `count` layers, without the norm after the last one."""
    lower = _with_layers(model.encoder, layers_of(model.encoder)[:count])
    if getattr(lower, "final_norm", None) is not None:
        lower.final_norm = nn.Identity()
    return lower


def upper_part(model: TextClassifier, count: int) -> UpperClassifier:
    """The rest above `lower_part`, from token states to logits."""
    upper = UpperClassifier.__new__(UpperClassifier)
    nn.Module.__init__(upper)
    upper.pooling, upper.packs, upper.head = model.pooling, model.packs, model.head
    upper.encoder = _with_layers(model.encoder, layers_of(model.encoder)[count:])
    upper.encoder.embeddings = _PassThrough()
    return upper


class TokenStates:
    """Encoded documents as the token states that the lower part of the encoder computes.

    Replaces `EncodedDocuments` as the input of training and scoring. States are rounded to half precision whether they
    are kept or not, so that both give the same weights.

    Attributes:
        lengths, windows: as of `EncodedDocuments`.
        states: float16 [tokens, hidden] in a memory-mapped file; None: computed for each batch.
    """

    def __init__(self, encoded: EncodedDocuments, lower: Any, accelerator: Accelerator):
        self.encoded, self.lower, self.accelerator = encoded, lower, accelerator
        self.lengths, self.windows = encoded.lengths, encoded.windows
        self.states: NDArray[np.float16] | None = None

    def __len__(self) -> int:
        return len(self.encoded)

    def keep(self, path: Path, most_gib: float, batch_tokens: int) -> None:
        """Compute all states into the file `path`; if it would be larger than `most_gib`, warn and keep none.

        Every process of a launch computes its share of the documents. An existing file is used as it is: a run has one
        encoder and one set of documents.
        """
        shape = (len(self.encoded.ids), self.lower.config.hidden_size)
        if not from_main(path.is_file(), self.accelerator):
            if not from_main(self._may_keep(path, shape, most_gib), self.accelerator):
                return
            self._compute_all(path, shape, batch_tokens)
        self.states = np.memmap(path, np.float16, "r", shape=shape)

    def _compute_all(self, path: Path, shape: tuple[int, int], batch_tokens: int) -> None:
        main, temporary = self.accelerator.is_main_process, path.with_suffix(".tmp")
        if main:
            np.memmap(temporary, np.float16, "w+", shape=shape).flush()
        self.accelerator.wait_for_everyone()
        states = np.memmap(temporary, np.float16, "r+", shape=shape)
        batches = scoring_batches(self.lengths, self.windows, batch_tokens)
        mine = batches[self.accelerator.process_index :: self.accelerator.num_processes]
        with meter("frozen layers", sum(map(len, mine)), "documents", show=main) as progress:
            for documents in mine:
                states[self.encoded.places(documents).tokens] = self._compute(documents)
                progress.advance(len(documents))
        states.flush()
        self.accelerator.wait_for_everyone()
        if main:
            temporary.replace(path)
        self.accelerator.wait_for_everyone()

    def _may_keep(self, path: Path, shape: tuple[int, int], most_gib: float) -> bool:
        """Whether the states fit on the disk; the main process logs their size before anything is written."""
        if not self.accelerator.is_main_process:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        size, free = shape[0] * shape[1] * 2, shutil.disk_usage(path.parent).free
        needed = f"frozen layers: the states of {shape[0]:,} tokens take {size / MIB:,.1f} MiB"
        if size > min(most_gib * 1024 * MIB, free):
            bound = f"train.frozen_states_gib={most_gib:g}"
            if size > free:
                bound = f"the {free / MIB:,.1f} MiB left on the disk"
            log.warning(f"{needed}, more than {bound}; they are computed for each batch instead.")
            return False
        log.info(f"{needed}, kept in {path}")
        return True

    def batch(self, documents: NDArray[np.int64]) -> Batch:
        """As of `EncodedDocuments`, with `inputs` float16 [windows, tokens, hidden]."""
        places = self.encoded.places(documents)
        values = self.states[places.tokens] if self.states is not None else self._compute(documents)
        inputs = np.zeros((*places.mask.shape, values.shape[-1]), dtype=np.float16)
        inputs[places.mask] = values
        return Batch(inputs, places.mask.astype(np.int64), places.document, places.windows)

    def _compute(self, documents: NDArray[np.int64]) -> NDArray[np.float16]:
        """The states of the tokens of these documents, float16 [tokens, hidden]."""
        batch = self.encoded.batch(documents)
        ids, mask = (moved(torch.from_numpy(a), self.accelerator.device) for a in (batch.inputs, batch.attention_mask))
        with torch.no_grad(), self.accelerator.autocast():
            states = self.lower.eval()(input_ids=ids, attention_mask=mask).last_hidden_state
        half = states[mask.bool()].to(torch.float16)
        if not bool(torch.isfinite(half).all()):
            raise SettingsError("train.frozen_layers: the states of this encoder exceed half precision; set it to 0.")
        return half.cpu().numpy()  # type: ignore[no-any-return]
