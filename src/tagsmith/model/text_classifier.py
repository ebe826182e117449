"""The classifier's network: a pretrained encoder, pooling and a linear head."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagsmith.config.settings import Pooling
from tagsmith.model.packed import Packed, mean_by_group


class TextClassifier(nn.Module):
    """A pretrained encoder, pooled and layer-normalised token states, and a linear head.

    Attributes:
        packs: in the precision of training it takes packed windows, see `packed`.
    """

    def __init__(self, encoder: Any, classes: int, pooling: Pooling):
        super().__init__()
        self.encoder: Any = encoder
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # Its weights are never used, which a distributed training does not allow.
        self.pooling = pooling
        self.packs = False
        self.head = nn.Linear(encoder.config.hidden_size, classes)

    def token_states(self, inputs: Tensor, attention_mask: Tensor | Packed) -> Tensor:
        """The encoder's states of tokens, float [windows, tokens, hidden]; arguments as of `features`."""
        return self._encoded(attention_mask, input_ids=inputs)

    def _encoded(self, attention_mask: Tensor | Packed, **inputs: Tensor) -> Tensor:
        if isinstance(attention_mask, Packed):
            about = attention_mask.arguments(first_position(self.encoder.config))
        else:
            about = {"attention_mask": attention_mask}
        return self.encoder(**inputs, **about).last_hidden_state  # type: ignore[no-any-return]

    def features(self, inputs: Tensor, attention_mask: Tensor | Packed) -> Tensor:
        """Vectors of windows, float [windows, hidden], each with mean 0 and variance 1.

        Args:
            inputs: int64 [windows, tokens], token ids; or [1, tokens], if they are packed.
            attention_mask: int64 [windows, tokens]; or the positions of packed windows.
        """
        states = self.token_states(inputs, attention_mask)
        if isinstance(attention_mask, Packed):
            if self.pooling is Pooling.cls:
                pooled = states[0].index_select(0, attention_mask.bounds[:-1])
            else:
                pooled = mean_by_group(states[0].float(), attention_mask.window, attention_mask.lengths)
        elif self.pooling is Pooling.cls:
            pooled = states[:, 0]
        else:
            weights = attention_mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weights).sum(dim=1) / weights.sum(dim=1)
        # A layer norm without affine parameters, so that a stock encoder with one more layer can express the model.
        return functional.layer_norm(pooled, pooled.shape[-1:], eps=1e-12)

    def logits_and_vectors(self, inputs: Tensor, attention_mask: Tensor | Packed) -> Tensor:
        """Both in one pass, float [windows, classes + hidden]; arguments as of `features`."""
        vectors = self.features(inputs, attention_mask)
        return torch.cat([self.head(vectors), vectors], dim=1)

    def forward(self, inputs: Tensor, attention_mask: Tensor | Packed) -> Tensor:
        """Logits of windows, float [windows, classes]; arguments as of `features`."""
        logits: Tensor = self.head(self.features(inputs, attention_mask))
        return logits


def first_position(config: Any) -> int:
    """The position of a window's first token."""
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        return int(config.pad_token_id) + 1  # These count from the padding token's id on.
    return 0


def freeze_embeddings(model: TextClassifier) -> None:
    """Freeze the embeddings: over half of a small encoder's weights, of which little data trains only a few rows."""
    embeddings = getattr(model.encoder, "embeddings", None) or model.encoder.get_input_embeddings()
    for parameter in embeddings.parameters():
        parameter.requires_grad_(False)
