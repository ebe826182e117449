"""The test documents of a version, and what a bundle answers on them: what is judged is what is served."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagsmith.classify.classifier import Classifier
from tagsmith.core.errors import DataError
from tagsmith.core.schema import Schema, indicators
from tagsmith.data.dataset_folders import load_documents
from tagsmith.refresh.store import Version

Floats = NDArray[np.float32]
Indicators = NDArray[np.int8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Documents:
    """Tagged documents of one split.

    Attributes:
        schema: the classes that they are tagged with.
        truth: int8 [documents, classes].
    """

    schema: Schema
    ids: list[str]
    texts: list[str]
    truth: Indicators

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Answers:
    """What a bundle answers, in its own classes.

    Attributes:
        scores: float32 [documents, classes].
        predicted: int8 [documents, classes].
        to_person: bool [documents].
    """

    schema: Schema
    scores: Floats
    predicted: Indicators
    to_person: Flags


def documents_of(version: Version, split: str) -> Documents:
    """The documents of a split that a version was made with, by the tags of that time.

    Raises:
        DataError: there are none, or they are damaged.
    """
    schema = Schema.load(version.run.schema)
    splits = load_documents(version.run.data, schema)
    if split not in splits:
        raise DataError(
            f"{version.run.data}: expected {split} documents to judge version {version.name} on, found none; "
            f"data.test_share=, or a test file, gives some."
        )
    columns = splits[split][:]
    truth = indicators(columns["labels"], len(schema.classes))
    return Documents(schema, list(columns["id"]), list(columns["text"]), truth)


def load_bundle(version: Version, remedy: str) -> Classifier:
    """The classifier of a version, checked as a service checks it.

    Args:
        remedy: what the user can do about a damaged bundle, as an imperative.

    Raises:
        DataError: the bundle is missing or damaged.
    """
    try:
        return Classifier.load(version.bundle)
    except (DataError, OSError) as error:
        raise DataError(f"version {version.name} cannot be judged: {error}; {remedy}.") from error


def answers_of(classifier: Classifier, texts: Sequence[str]) -> Answers:
    """What a classifier answers on the texts, in their order."""
    scores, decisions = classifier.decide(texts)
    return Answers(classifier.schema, scores, decisions.predicted, decisions.to_person)
