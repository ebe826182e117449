"""Batches in parts that fit into memory: gradient accumulation, and smaller parts after running out of memory."""

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from tagsmith.core.errors import SettingsError
from tagsmith.model.packed import Packed, moved, tensors
from tagsmith.model.score import Encoded
from tagsmith.tokens.batches import cut
from tagsmith.tokens.windows import Batch
from tagsmith.train.training_job import Targets

log = logging.getLogger("tagsmith")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class MicroBatch:
    """The part of a batch that one process puts through the model in one pass, on its device.

    Attributes:
        inputs, attention_mask, document, windows: as of `packed.tensors`.
        targets: of the documents, as the loss takes them besides the logits.
        weight: of the sum of the documents' losses in the mean loss of the batch.
    """

    inputs: Tensor
    attention_mask: Tensor | Packed
    document: Tensor
    windows: Tensor
    targets: tuple[Tensor, ...]
    weight: float


class MicroBatches:
    """Cuts each batch into this process's micro-batches; all processes of a launch get the same number of them."""

    def __init__(
        self, encoded: Encoded, targets: Targets, most_tokens: int | None, packed: bool, accelerator: Accelerator
    ):
        """Cut batches of these documents.

        Args:
            targets: of documents at some positions.
            most_tokens: of one micro-batch, padding included; None: one micro-batch per batch.
            packed: whether windows are packed into one row, see `model.packed`.
        """
        self.encoded, self.targets, self.packed, self.accelerator = encoded, targets, packed, accelerator
        self.most_tokens = most_tokens

    def accumulate(
        self, documents: Ints, model: Any, forward_backward: Callable[[MicroBatch], Tensor]
    ) -> tuple[Tensor, list[Batch]]:
        """Run `forward_backward` on each micro-batch; return the sum of its losses, and what was computed.

        After running out of memory, the step is repeated with micro-batches of half the size, which are kept for the
        steps that follow.

        Args:
            model: what accelerate has prepared; the processes exchange gradients after the last micro-batch only.

        Raises:
            SettingsError: out of memory with a single document, or with several processes, of which the others
                already wait for this one's gradients.
        """
        while True:
            try:
                return self._accumulate(documents, model, forward_backward)
            except torch.OutOfMemoryError as error:
                message = str(error).splitlines()[0]
            # Outside of the except clause, in which the error still holds the tensors that fill the memory.
            self._halve(documents, message)
            model.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _accumulate(
        self, documents: Ints, model: Any, forward_backward: Callable[[MicroBatch], Tensor]
    ) -> tuple[Tensor, list[Batch]]:
        device = self.accelerator.device
        loss, batches = torch.zeros((), device=device), []
        for share, weight, is_last in self._shares(documents):
            batch = self.encoded.batch(share)
            batches.append(batch)
            targets = tuple(moved(values, device) for values in self.targets(share))
            micro_batch = MicroBatch(*tensors(batch, device, self.packed), targets, weight / len(documents))
            with nullcontext() if is_last else self.accelerator.no_sync(model):
                loss += forward_backward(micro_batch)
        return loss, batches

    def _shares(self, documents: Ints) -> Iterator[tuple[Ints, float, bool]]:
        """This process's micro-batches of a batch: (documents, weight of their loss, whether it is the last one).

        A process that has fewer of them than another adds some of weight 0: all processes take part in each exchange
        of gradients, and of weights that are sharded.
        """
        processes = self.accelerator.num_processes
        by_process = [self._cut(documents[i::processes]) for i in range(processes)]
        mine, last = by_process[self.accelerator.process_index], max(map(len, by_process)) - 1
        for i in range(last + 1):
            part, weight = (mine[i], 1.0) if i < len(mine) else (documents[:1], 0.0)
            yield part, weight, i == last

    def _cut(self, documents: Ints) -> list[Ints]:
        if self.most_tokens is None:
            return [documents] if len(documents) else []
        return cut(documents, self.encoded.lengths, self.encoded.windows, self.most_tokens)

    def _halve(self, documents: Ints, message: str) -> None:
        parts = [part for part, _, _ in self._shares(documents)]
        largest = max(self._cost(part) for part in parts)
        if self.accelerator.num_processes > 1:
            raise SettingsError(f"{message} Set train.micro_batch_tokens={largest // 2} or less, and resume=true.")
        if all(len(part) == 1 for part in parts):
            raise SettingsError(f"{message} One document of {largest:,} tokens does not fit; lower data.max_tokens.")
        self.most_tokens = max(1, largest // 2)
        log.warning(
            f"out of memory: micro-batches have at most {self.most_tokens:,} tokens from here on; "
            "the batch size is unchanged, this step is repeated"
        )

    def _cost(self, documents: Ints) -> int:
        """Tokens that the encoder computes for these documents in one pass, padding included."""
        return int(self.encoded.lengths[documents].max() * self.encoded.windows[documents].sum())
