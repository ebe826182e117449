"""Windows without padding: all tokens of a batch in one row, in which each window attends only to itself.

The kernel is torch's Flash attention for sequences of different lengths (Dao, FlashAttention-2, arXiv 2307.08691), for
GPUs and half precision. Elsewhere, and for encoders that do not support it, windows are padded.
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
"""The name under which this attention is registered with transformers."""

MOST_DIFFERENCE = 0.01
"""Largest mean square difference between the vectors, of variance 1, of packed and of padded windows. MiniLM in bf16
has 0.00004; wrong positions, or windows that attend to each other, give 0.08 and more."""


class Packed(NamedTuple):
    """The positions of the windows in a row; a classifier takes it instead of an attention mask.

    Attributes:
        positions: int64 [1, tokens], each token's place in its window, from 0.
        window: int64 [tokens], the window of each token.
        lengths: int64 [windows], tokens of each.
        bounds: int32 [windows + 1], where each window starts, and where the last one ends.
        longest: tokens of the longest window.
    """

    positions: Tensor
    window: Tensor
    lengths: Tensor
    bounds: Tensor
    longest: int

    def arguments(self, first_position: int) -> dict[str, Any]:
        """The encoder's arguments besides the tokens; each window starts at position `first_position`."""
        positions = self.positions + first_position
        return {"position_ids": positions, "cu_seq_lens_q": self.bounds, "max_length_q": self.longest}


def mean_by_group(values: Tensor, group: Tensor, sizes: Tensor) -> Tensor:
    """The mean of each group of rows, such as the windows of a document, float [groups, n].

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
    """CPU tensors moved to the device, without waiting for what a GPU still computes."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def tensors(batch: Batch, device: torch.device, packed: bool = False) -> tuple[Tensor, Tensor | Packed, Tensor, Tensor]:
    """The input of a classifier, on the device: padded, or packed into one row.

    Returns:
        inputs [windows, tokens] and their attention_mask, or inputs [1, tokens] and `Packed`; and document [windows]
        and windows [documents] as of `Batch`.
    """
    document, windows = (moved(torch.from_numpy(array), device) for array in (batch.document, batch.windows))
    if not packed:
        inputs, mask = (moved(torch.from_numpy(array), device) for array in (batch.inputs, batch.attention_mask))
        return inputs, mask, document, windows
    # All of it from the batch on the CPU: reading from the device would wait for what it still computes.
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
    """Why this encoder's windows must be padded on this device; None: packed windows are supported and enabled.

    Support depends on the GPU, the build of torch, the size of the heads and the encoder's kind of positions. So the
    documents of `batch` go through the encoder both ways, and the vectors are compared. An encoder that supports packed
    windows still takes padded ones.

    Args:
        features: vectors of windows, as of `TextClassifier.features`, from the output of `tensors`.
    """
    if accelerator.mixed_precision == "no":
        return "the kernel for packed windows needs half precision, not fp32"
    if not encoder.is_backend_compatible() or encoder.config._attn_implementation != "sdpa":
        return f"{type(encoder).__name__} has its own implementation of attention"
    encoder.set_attn_implementation(NAME)
    try:
        difference = _difference(encoder, features, batch, accelerator)
        reason = (
            None
            if difference <= MOST_DIFFERENCE
            else f"packed windows get different vectors (difference {difference:.2g})"
        )
    except (
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:  # How torch and transformers report what they do not support.
        reason = str(error).splitlines()[0]
    encoder.eval()
    if reason:
        encoder.set_attn_implementation("sdpa")
    return reason


def _difference(
    encoder: nn.Module, features: Callable[[Tensor, Any], Tensor], batch: Batch, accelerator: Accelerator
) -> float:
    """The mean square difference of the vectors from padded and from packed windows, of the window with the largest."""
    padded, packed = (tensors(batch, accelerator.device, way)[:2] for way in (False, True))
    with torch.no_grad(), accelerator.autocast():
        encoder.train()  # The kernel may not support dropout.
        features(*packed)
        encoder.eval()
        squares = (features(*packed).float() - features(*padded).float()).square().mean(dim=-1)
    return float(squares.max().nan_to_num(nan=torch.inf))


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, float [1, tokens, heads, size] of [1, heads, tokens, size]; or padded.

    Raises:
        ValueError: a dropout of attention weights is set, which the kernel lacks.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **others)
    if dropout:
        raise ValueError(
            "the kernel for packed windows has no dropout of attention weights; set model.attention_dropout=0"
        )
    # transformers includes the token itself in the window, the kernel does not.
    near = -1 if sliding_window is None else sliding_window - 1
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    output: Any = varlen_attn(
        q, k, v, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, scale=scaling, window_size=(near, near)
    )
    return output[None], None


def _mask(attention_mask: Tensor | None = None, **about: Any) -> Tensor | None:
    """The mask of padded windows; packed ones have none."""
    return None if attention_mask is None else sdpa_mask(attention_mask=attention_mask, **about)


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _mask)
