"""The gradients of one batch, in micro-batches that fit the memory."""

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from tagsmith.core.errors import SettingsError
from tagsmith.model.packed import Packed, mean_by_group, moved, tensors
from tagsmith.model.score import Encoded
from tagsmith.tokens.batches import cut
from tagsmith.train.training_log import TrainingLog

log = logging.getLogger("tagsmith")

Ints = NDArray[np.int64]


class Gradients:
    """Forward and backward of batches, in parts where the settings or the memory of a GPU want that."""

    def __init__(
        self,
        model: Any,
        forward: Callable[[Tensor, Tensor | Packed], Tensor],
        packed: bool,
        encoded: Encoded,
        labels: Tensor,
        document_loss: Callable[[Tensor, Tensor], Tensor],
        micro_batch_tokens: int | None,
        training_log: TrainingLog,
    ):
        """`model` is what accelerate has prepared, `forward` computes its logits (the model, or compiled from it), from
        packed windows or padded ones; `labels` are those of all documents, as `document_loss` takes them.
        """
        self.model, self.forward, self.packed = model, forward, packed
        self.encoded, self.labels, self.document_loss = encoded, labels, document_loss
        self.most, self.training_log = micro_batch_tokens, training_log
        self.accelerator: Accelerator = training_log.accelerator

    def of(self, documents: Ints) -> Tensor:
        """Add the gradients of the mean loss over these documents; gives this process's part of that loss, float [].

        Raises:
            SettingsError: not even one document at once fits the memory; or there are several processes, of which
                the others already wait for this one's gradients.
        """
        while True:
            try:
                return self._add(documents)
            except torch.OutOfMemoryError as error:
                told = str(error).splitlines()[0]
            # Not within the except: there the error still holds what fills the memory.
            self._halve(documents, told)

    def _add(self, documents: Ints) -> Tensor:
        loss = torch.zeros((), device=self.accelerator.device)
        batches = []
        for share, weight, last in self._shares(documents):
            batch = self.encoded.batch(share)
            batches.append(batch)
            inputs, mask, document, windows = tensors(batch, self.accelerator.device, self.packed)
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                logits = mean_by_group(self.forward(inputs, mask), document, windows)
                losses = self.document_loss(logits, moved(self.labels[share], self.accelerator.device))
                share_loss = losses.sum() * (weight / len(documents))
                # Gradients are averaged over the processes; the loss of a batch is a sum over them.
                self.accelerator.backward(share_loss * self.accelerator.num_processes)
            loss += share_loss.detach()
        for batch in batches:
            self.training_log.batch(batch, self.packed)
        return loss

    def _shares(self, documents: Ints) -> Iterator[tuple[Ints, float, bool]]:
        """This process's part of a batch, in parts: (documents, weight of the loss, whether it is the last).

        Every process has as many of them: where it has none left, it takes part in the exchange of gradients, and of
        weights that are spread, with a loss of nothing.
        """
        processes = self.accelerator.num_processes
        by_process = [self._cut(documents[i::processes]) for i in range(processes)]
        mine, last = by_process[self.accelerator.process_index], max(map(len, by_process)) - 1
        for i in range(last + 1):
            part, weight = (mine[i], 1.0) if i < len(mine) else (documents[:1], 0.0)
            yield part, weight, i == last

    def _cut(self, documents: Ints) -> list[Ints]:
        if self.most is None:
            return [documents] if len(documents) else []
        return cut(documents, self.encoded.lengths, self.encoded.windows, self.most)

    def _halve(self, documents: Ints, told: str) -> None:
        """From here on, take half as many tokens at once; the batch stays what it is."""
        parts = [part for part, _, _ in self._shares(documents)]
        largest = max(self._cost(part) for part in parts)
        if self.accelerator.num_processes > 1:
            raise SettingsError(f"{told} Set train.micro_batch_tokens={largest // 2} or less, go on with resume=true.")
        if all(len(part) == 1 for part in parts):
            raise SettingsError(f"{told} One document of {largest:,} tokens does not fit; set data.max_tokens= lower.")
        self.model.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.most = max(1, largest // 2)
        log.warning(f"out of memory: from here on {self.most:,} tokens at once; the batch stays, this step is redone")

    def _cost(self, documents: Ints) -> int:
        """Tokens that the encoder computes for these documents at once, padding included."""
        return int(self.encoded.lengths[documents].max() * self.encoded.windows[documents].sum())
