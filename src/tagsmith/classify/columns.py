"""Predictions for a batch of documents as columns, for engines that distribute work over machines."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tagsmith.classify.classifier import Classifier
from tagsmith.core.text import text_problem


def decided_columns(classifier: Classifier, texts: Sequence[Any]) -> dict[str, list[Any]]:
    """One value per document in each column; None if the document cannot be classified, in which case `error` says why.

    The columns are `label` (single-label) or `labels`, `score`, `to_person` and `error`, and `set` and `out_of_scope`
    if the bundle supports them; see `Prediction`. A bundle always has the same columns.
    """
    errors = [text_problem(text, "text") for text in texts]
    good = [i for i, error in enumerate(errors) if error is None]
    scores, decisions = classifier.decide([texts[i] for i in good])
    predictions = classifier.predictions(scores, decisions)
    single = not classifier.schema.multi_label
    values: dict[str, list[Any]] = {
        "label" if single else "labels": [found.label if single else list(found.labels) for found in predictions],
        "score": [found.score for found in predictions],
        "to_person": [found.to_person for found in predictions],
    }
    if decisions.sets is not None:
        values["set"] = [list(found.set or ()) for found in predictions]
    if decisions.distances is not None:
        values["out_of_scope"] = np.asarray(decisions.distances).tolist()
    columns: dict[str, list[Any]] = {}
    for name, column in values.items():
        by_row = dict(zip(good, column, strict=True))
        columns[name] = [by_row.get(i) for i in range(len(errors))]
    return {**columns, "error": errors}
