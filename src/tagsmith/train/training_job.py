"""What a training works on: tagged documents, the folds of a cross-validation, and one model with one recipe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, indicators
from tagsmith.model.loaded_model import LoadedModel
from tagsmith.model.score import Encoded, Part
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.train.resolved_recipe import ResolvedRecipe
from tagsmith.train.teacher import TeacherScores

Ints = NDArray[np.int64]

Targets = Callable[[Ints], tuple[Tensor, ...]]
"""From documents (positions) to what their loss takes besides the logits, a row for each."""


@dataclass(frozen=True)
class TaggedSplit:
    """Encoded documents with their ids and labels: class ids [documents], or lists of them (multi-label).

    Attributes:
        teacher: scores of a teacher for all documents; of these, the ones after those with labels are untagged.
    """

    encoded: Encoded
    labels: list[Any]
    ids: Sequence[str]
    teacher: TeacherScores | None = None

    def part(self, documents: Ints) -> "TaggedSplit":
        """The documents at these positions."""
        places = documents.tolist()
        labels, ids = [self.labels[i] for i in places], [self.ids[i] for i in places]
        return TaggedSplit(Part(self.encoded, documents), labels, ids)

    def truth(self, schema: Schema) -> NDArray[np.int8]:
        """Which classes each document has, int8 [documents, classes]."""
        return indicators(self.labels, len(schema.classes))

    def targets(self, schema: Schema) -> Targets:
        """The labels, as `losses.DocumentLoss` takes them; with a teacher, as `losses.DistillationLoss` does."""
        multi_label, teacher = schema.multi_label, self.teacher
        labels = torch.from_numpy(self.truth(schema)).float() if multi_label else torch.tensor(self.labels)
        if teacher is None:
            return lambda documents: (labels[documents],)

        def with_teacher(documents: Ints) -> tuple[Tensor, ...]:
            tagged = documents < len(labels)
            probabilities = torch.from_numpy(teacher.probabilities(documents))
            return labels[np.where(tagged, documents, 0)], probabilities, torch.from_numpy(tagged)

        return with_teacher


@dataclass(frozen=True)
class Folds:
    """Training documents, each of which is held out in one fold.

    Attributes:
        fold: int64 [documents], the number of the fold in which each document is held out.
    """

    train: TaggedSplit
    fold: Ints

    def __len__(self) -> int:
        return int(self.fold.max()) + 1

    def inside(self, number: int) -> Ints:
        """Positions of the documents that fold `number` trains on."""
        return np.flatnonzero(self.fold != number)

    def held_out(self, number: int) -> Ints:
        """Positions of the documents that fold `number` does not train on."""
        return np.flatnonzero(self.fold == number)


@dataclass(frozen=True)
class TrainingJob:
    """A model, the recipe to train it with, its run, and the processes and devices that do it."""

    model: LoadedModel
    recipe: ResolvedRecipe
    run: RunFolder
    accelerator: Accelerator


@dataclass(frozen=True)
class Trainable:
    """What is left to train above frozen layers, and the splits as its input.

    Attributes:
        classifier: computes the logits of the splits: the model's own, or its upper part, which shares its weights.
    """

    classifier: TextClassifier
    train: TaggedSplit
    validation: TaggedSplit | None
