"""The loss of each document, and the weight of each class in it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tagsmith.config.settings import ClassWeights, Loss, TrainSettings
from tagsmith.core.errors import SettingsError
from tagsmith.core.schema import Task

MARGIN = 0.05
"""Scores of absent classes below this add nothing to the asymmetric loss, as in its paper."""


@dataclass(frozen=True)
class DocumentLoss:
    """The loss of documents, float32 [documents], from logits [documents, classes] and labels.

    Labels are int64 [documents] (single-label: softmax) or float [documents, classes] (multi-label: sigmoid, mean
    over the classes).

    Attributes:
        loss: cross_entropy; focal: Lin et al., Focal Loss for Dense Object Detection, arXiv 1708.02002;
            asymmetric: Ridnik et al., Asymmetric Loss for Multi-Label Classification, arXiv 2009.14119.
        gamma: focusing exponent; in the asymmetric loss, of absent classes only.
        smoothing: share of a label that is spread over all classes (multi-label: over present and absent).
        weights: of absent (0) and present (1) classes, float [2, classes], as of `class_weights`.
    """

    task: Task
    loss: Loss
    gamma: float
    smoothing: float
    weights: Tensor

    @classmethod
    def of(cls, settings: TrainSettings, truth: NDArray[np.int8], task: Task, device: torch.device) -> "DocumentLoss":
        """The loss that the settings name, with class weights from the training documents' truth [documents, classes].

        Raises:
            SettingsError: the asymmetric loss is set for single-label documents.
        """
        if settings.loss is Loss.asymmetric and task is Task.single_label:
            raise SettingsError(
                "train.loss=asymmetric: expected multi-label documents; use train.loss=focal for single-label ones."
            )
        weights = class_weights(truth, task, settings.class_weights)
        smoothing = settings.label_smoothing
        return cls(task, settings.loss, settings.loss_gamma, smoothing, torch.from_numpy(weights).to(device))

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.float()
        return self._single(logits, labels) if self.task is Task.single_label else self._multi(logits, labels)

    def _single(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)
        if self.loss is Loss.focal:
            right = logits.softmax(dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
            losses = losses * (1 - right) ** self.gamma
        return losses * self.weights[1, labels]

    def _multi(self, logits: Tensor, labels: Tensor) -> Tensor:
        targets = labels * (1 - self.smoothing) + self.smoothing / 2
        scores = logits.sigmoid()
        if self.loss is Loss.asymmetric:
            shifted = (scores - MARGIN).clamp(min=0)
            present = -targets * functional.logsigmoid(logits)
            absent = -(1 - targets) * torch.log1p(-shifted.clamp(max=1 - 1e-6)) * shifted**self.gamma
            losses = present + absent
        else:
            losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
            if self.loss is Loss.focal:
                losses = losses * (labels * (1 - scores) + (1 - labels) * scores) ** self.gamma
        return (losses * torch.where(labels > 0, self.weights[1], self.weights[0])).mean(dim=1)


@dataclass(frozen=True)
class DistillationLoss:
    """The loss of documents of which a teacher has given probabilities, float32 [documents].

    Hinton et al., Distilling the Knowledge in a Neural Network, arXiv 1503.02531: the cross-entropy with the teacher's
    probabilities, both at a temperature, times its square, so that the gradients have the size of those of the tags.

    Attributes:
        tags: the loss of the tags.
        share: of the teacher in the loss of a tagged document; an untagged one has no other.
    """

    tags: DocumentLoss
    temperature: float
    share: float

    def __call__(self, logits: Tensor, labels: Tensor, teacher: Tensor, tagged: Tensor) -> Tensor:
        """The loss.

        Args:
            labels: as of `DocumentLoss`; those of untagged documents are not used.
            teacher: its probabilities at the temperature, float32 [documents, classes].
            tagged: bool [documents].
        """
        softened = logits.float() / self.temperature
        if self.tags.task is Task.single_label:
            losses = functional.cross_entropy(softened, teacher, reduction="none")
        else:
            losses = functional.binary_cross_entropy_with_logits(softened, teacher, reduction="none").mean(dim=1)
        share = torch.where(tagged, self.share, 1.0)
        return share * self.temperature**2 * losses + (1 - share) * self.tags(logits, labels)


def class_weights(truth: NDArray[np.int8], task: Task, kind: ClassWeights) -> NDArray[np.float32]:
    """Weights of absent (0) and present (1) classes, float32 [2, classes], whose mean over `truth` is 1.

    `balanced`: inversely proportional to the number of documents with (or without) the class; `root`: to its square
    root. A class without training documents has a weight of 1.
    """
    documents, classes = truth.shape
    weights = np.ones((2, classes))
    if kind is ClassWeights.equal:
        return weights.astype(np.float32)
    counts = np.stack([documents - truth.sum(axis=0), truth.sum(axis=0)]).astype(np.float64)
    power = 1.0 if kind is ClassWeights.balanced else 0.5
    rows = [1] if task is Task.single_label else [0, 1]
    seen = counts[rows] > 0
    inverse = np.where(seen, np.maximum(counts[rows], 1) ** -power, 0)
    if task is Task.single_label:
        mean = (inverse * counts[rows]).sum() / documents
    else:
        mean = (inverse * counts[rows]).sum(axis=0) / documents
    weights[rows] = np.where(seen, inverse / mean, 1)
    return weights.astype(np.float32)
