"""Windows without padding: all tokens of a batch in one row, in which each window attends to itself alone.

Attention over windows of different lengths is Flash attention (Dao, FlashAttention-2, arXiv 2307.08691), of which torch
brings the kernel, for GPUs and half precision. Elsewhere, and for encoders that know no such row, windows are padded.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tagsmith.tokens.windows import Batch

NAME = "tagsmith_packed"
"""Under which transformers knows this attention."""

MOST_DIFFERENCE = 0.01
"""Mean square of how far a vector, of variance 1, may be from packed windows and from padded ones. In bf16 and in fp32
those of MiniLM are 0.00004 apart; where positions do not begin anew, or windows see each other, 0.08 and more."""


class Packed(NamedTuple):
    """Where the windows of a row stand; a classifier takes it in the place of an attention mask.

    Attributes:
        positions: int64 [1, tokens], each token's place in its window, from 0.
        window: int64 [tokens], the window of each token.
        lengths: int64 [windows], tokens of each.
        bounds: int32 [windows + 1], where each window begins, and where the last one ends.
        longest: tokens of the longest window.
    """

    positions: Tensor
    window: Tensor
    lengths: Tensor
    bounds: Tensor
    longest: int

    def arguments(self, first_position: int) -> dict[str, Any]:
        """What an encoder needs beside the tokens, of which each window's first has the position `first_position`."""
        positions = self.positions + first_position
        return {"position_ids": positions, "cu_seq_lens_q": self.bounds, "max_length_q": self.longest}


def mean_by_group(values: Tensor, group: Tensor, sizes: Tensor) -> Tensor:
    """The mean over each group of rows, such as the windows of a document, float [groups, n].

    Args:
        values: float [rows, n].
        group: int64 [rows], the group of each row.
        sizes: int64 [groups], rows of each group, at least 1.
    """
    if len(values) == len(sizes):
        return values
    sums = torch.zeros(len(sizes), values.shape[1], dtype=values.dtype, device=values.device)
    return sums.index_add(0, group, values) / sizes.unsqueeze(-1)


def moved(values: Tensor, device: torch.device) -> Tensor:
    """Values of the CPU on the device, without waiting for what a GPU still computes."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def tensors(batch: Batch, device: torch.device, packed: bool = False) -> tuple[Tensor, Tensor | Packed, Tensor, Tensor]:
    """What a classifier takes, on the device: padded, or packed into one row.

    Returns:
        inputs [windows, tokens] and their attention_mask, or inputs [1, tokens] and where the windows are in it; and
        document [windows] and windows [documents] as of `Batch`.
    """
    document, windows = (moved(torch.from_numpy(array), device) for array in (batch.document, batch.windows))
    if not packed:
        inputs, mask = (moved(torch.from_numpy(array), device) for array in (batch.inputs, batch.attention_mask))
        return inputs, mask, document, windows
    # All of it from the batch on the CPU: a question to the device would wait for what it still computes.
    lengths = batch.attention_mask.sum(axis=1)
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    window = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.arange(len(window)) - bounds[window]
    arrays = (batch.inputs[batch.attention_mask == 1][None], positions[None], window, lengths, bounds)
    inputs, *where = (moved(torch.from_numpy(array), device) for array in arrays)
    return inputs, Packed(where[0], where[1], where[2], where[3], int(lengths.max())), document, windows


def why_padded(
    encoder: Any, features: Callable[[Tensor, Any], Tensor], batch: Batch, accelerator: Accelerator
) -> str | None:
    """Why this encoder's windows must be padded here; None: they may be packed, in the precision of the accelerator.

    An encoder that packs still takes padded windows, as before.

    What the installed kernel takes depends on the GPU, the build of torch and the size of the heads, and an encoder
    may have positions of its own kind: so these documents go through it both ways, once.

    Args:
        features: vectors of windows, as of `TextClassifier.features`, from what `tensors` gives.
    """
    if accelerator.mixed_precision == "no":
        return "the kernel for packed ones takes half precision, not fp32"
    if not encoder.is_backend_compatible() or encoder.config._attn_implementation != "sdpa":
        return f"{type(encoder).__name__} computes attention in a way of its own"
    encoder.set_attn_implementation(NAME)
    try:
        difference = _difference(encoder, features, batch, accelerator)
        reason = None if difference <= MOST_DIFFERENCE else f"packed ones get other vectors ({difference:.2g} apart)"
    except (RuntimeError, TypeError, ValueError) as error:  # As torch and transformers refuse what they do not know.
        reason = str(error).splitlines()[0]
    encoder.eval()
    if reason:
        encoder.set_attn_implementation("sdpa")
    return reason


def _difference(
    encoder: nn.Module, features: Callable[[Tensor, Any], Tensor], batch: Batch, accelerator: Accelerator
) -> float:
    """The mean square difference of vectors from padded and from packed windows, the largest of a window."""
    padded, packed = (tensors(batch, accelerator.device, way)[:2] for way in (False, True))
    with torch.no_grad(), accelerator.autocast():
        encoder.train()  # Where dropout is asked for.
        features(*packed)
        encoder.eval()
        apart = (features(*packed).float() - features(*padded).float()).square().mean(dim=-1)
    return float(apart.max().nan_to_num(nan=torch.inf))


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, dropout: float = 0.0,
    scaling: float | None = None, sliding_window: int | None = None, cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention as transformers calls it, float [1, tokens, heads, size] of [1, heads, tokens, size]; padded: as ever.

    Raises:
        ValueError: attention weights are to be dropped.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **others)
    if dropout:
        raise ValueError("the kernel for packed ones has no dropout of attention weights (model.attention_dropout=0)")
    # transformers counts the token itself, the kernel does not.
    near = -1 if sliding_window is None else sliding_window - 1
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    found: Any = varlen_attn(
        q, k, v, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, scale=scaling, window_size=(near, near)
    )
    return found[None], None


def _mask(attention_mask: Tensor | None = None, **about: Any) -> Tensor | None:
    """The mask of padded windows; packed ones come without, and need none."""
    return None if attention_mask is None else sdpa_mask(attention_mask=attention_mask, **about)


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _mask)
