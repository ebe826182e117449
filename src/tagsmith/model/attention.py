"""Attention in fp32 for CPUs that train in bf16, which compute it faster than in bf16."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "tagsmith_fp32"
"""The name under which this attention is registered with transformers."""


def use_fp32_attention(encoder: Any) -> None:
    """Let the encoder compute attention in fp32 within autocast, if its attention is torch's; see the README."""
    if encoder.is_backend_compatible() and encoder.config._attn_implementation == "sdpa":
        encoder.set_attn_implementation(NAME)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **others: Any
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, in fp32; the result has the dtype of the query."""
    others = {name: _to_fp32(value) for name, value in others.items()}
    q, k, v, mask = (_to_fp32(value) for value in (query, key, value, attention_mask))
    with torch.autocast("cpu", enabled=False):
        output, weights = sdpa_attention_forward(module, q, k, v, mask, **others)
    return output.to(query.dtype), weights


def _to_fp32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
