"""The frozen lower part of an encoder: run once a document, its token states kept in a file instead of computed anew.

The lowest layers' forward pass is paid for once instead of once an epoch, their backward pass never.
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


class _Given(nn.Module):
    """Stands where an encoder has its embeddings, and gives the token states that the encoder was called with."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Tensor:
        return inputs_embeds


class UpperClassifier(TextClassifier):
    """The layers above the frozen ones with pooling and head; it shares the weights of the whole classifier."""

    def token_states(self, inputs: Tensor, attention_mask: Tensor | Packed) -> Tensor:
        """The same as for the whole classifier, from `inputs`: float [windows, tokens, hidden]."""
        return self._encoded(attention_mask, inputs_embeds=inputs.float())


def freeze_layers(model: TextClassifier, count: int) -> None:
    """Freeze all of the encoder that stands below layer `count`, and what its layers share (relative positions).

    Raises:
        SettingsError: the encoder has no more layers than that, or is not built of layers one after the other.
    """
    layers = layers_of(model.encoder)
    if count >= len(layers):
        raise SettingsError(f"train.frozen_layers: expected at most {len(layers) - 1} of this encoder, found {count}.")
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
        raise SettingsError(f"train.frozen_layers: {type(encoder).__name__} cannot be cut between two layers; set 0.")
    return layers  # type: ignore[no-any-return]


def _twin(module: Any) -> Any:
    """The same module, of which submodules can be replaced without the original's noticing."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


def _with_layers(encoder: Any, layers: nn.ModuleList) -> Any:
    twin = _twin(encoder)
    if getattr(encoder, "encoder", None) is None:
        twin.layers = layers
    else:
        twin.encoder = _twin(encoder.encoder)
        twin.encoder.layer = layers
    return twin


def lower_part(model: TextClassifier, count: int) -> Any:
    """The encoder's embeddings and its lowest `count` layers, without the norm that comes after the last one."""
    lower = _with_layers(model.encoder, layers_of(model.encoder)[:count])
    if getattr(lower, "final_norm", None) is not None:
        lower.final_norm = nn.Identity()
    return lower


def upper_part(model: TextClassifier, count: int) -> UpperClassifier:
    """What `lower_part` leaves over, from token states to logits."""
    upper = UpperClassifier.__new__(UpperClassifier)
    nn.Module.__init__(upper)
    upper.pooling, upper.packs, upper.head = model.pooling, model.packs, model.head
    upper.encoder = _with_layers(model.encoder, layers_of(model.encoder)[count:])
    upper.encoder.embeddings = _Given()
    return upper


class TokenStates:
    """Encoded documents as the states that the lower part of the encoder makes of their tokens.

    Takes the place of `EncodedDocuments` where documents are trained on or scored. States are rounded to half
    precision whether they are kept or not, so that both give the same weights.

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
        """Compute all states into the file `path`; where it would be larger than `most_gib`, say so and keep none.

        Every process of a launch computes its share of the documents. A file that is there already is taken as it is:
        a run has one encoder and one set of documents.
        """
        shape = (len(self.encoded.ids), self.lower.config.hidden_size)
        if not from_main(path.is_file(), self.accelerator):
            if not from_main(self._may_keep(path, shape, most_gib), self.accelerator):
                return
            self._compute_all(path, shape, batch_tokens)
        self.states = np.memmap(path, np.float16, "r", shape=shape)

    def _compute_all(self, path: Path, shape: tuple[int, int], batch_tokens: int) -> None:
        main, beside = self.accelerator.is_main_process, path.with_suffix(".tmp")
        if main:
            np.memmap(beside, np.float16, "w+", shape=shape).flush()
        self.accelerator.wait_for_everyone()
        states = np.memmap(beside, np.float16, "r+", shape=shape)
        batches = scoring_batches(self.lengths, self.windows, batch_tokens)
        mine = batches[self.accelerator.process_index :: self.accelerator.num_processes]
        with meter("frozen layers", sum(map(len, mine)), "documents", show=main) as progress:
            for documents in mine:
                states[self.encoded.places(documents).tokens] = self._compute(documents)
                progress.advance(len(documents))
        states.flush()
        self.accelerator.wait_for_everyone()
        if main:
            beside.replace(path)
        self.accelerator.wait_for_everyone()

    def _may_keep(self, path: Path, shape: tuple[int, int], most_gib: float) -> bool:
        """Whether the states find room; the main process tells their size before anything is written."""
        if not self.accelerator.is_main_process:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        size, free = shape[0] * shape[1] * 2, shutil.disk_usage(path.parent).free
        told = f"frozen layers: the states of {shape[0]:,} tokens take {size / MIB:,.1f} MiB"
        if size > min(most_gib * 1024 * MIB, free):
            bound = f"train.frozen_states_gib={most_gib:g}"
            if size > free:
                bound = f"the {free / MIB:,.1f} MiB left on the disk"
            log.warning(f"{told}, more than {bound}: computed anew for each batch.")
            return False
        log.info(f"{told}, kept in {path}")
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
            raise SettingsError("train.frozen_layers: this encoder's states do not fit half precision; set 0.")
        return half.cpu().numpy()  # type: ignore[no-any-return]
