"""TF-IDF of words and word pairs with a linear support vector machine per class: a classifier without an encoder."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from tagsmith.core.schema import indicators


def fit_and_predict(
    texts: Sequence[str], truth: NDArray[np.int8], new_texts: Sequence[str], multi_label: bool, seed: int
) -> NDArray[np.int8]:
    """Predicted classes of `new_texts`, int8 [documents, classes].

    Args:
        texts: of the training documents.
        truth: int8 [training documents, classes].

    Raises:
        ValueError: there is nothing to learn: no words, or a single class.
    """
    if multi_label:
        return (margins(texts, truth, new_texts, seed) > 0).astype(np.int8)
    found = _pipeline(LinearSVC(random_state=seed)).fit(texts, truth.argmax(axis=1)).predict(new_texts)
    return indicators(found, truth.shape[1])


def margins(texts: Sequence[str], truth: NDArray[np.int8], new_texts: Sequence[str], seed: int) -> NDArray[np.float32]:
    """The distance of `new_texts` to the decision boundary of each class, float32 [documents, classes] (multi-label).

    Arguments and exceptions as of `fit_and_predict`.
    """
    machines = OneVsRestClassifier(LinearSVC(random_state=seed))
    found = _pipeline(machines).fit(texts, truth).decision_function(new_texts)
    distances = np.asarray(found, dtype=np.float32).reshape(len(new_texts), truth.shape[1])
    # scikit-learn returns 0 for a class that all training documents have, or none.
    distances[:, truth.all(axis=0)], distances[:, ~truth.any(axis=0)] = 1, -1
    return distances


def _pipeline(machine: LinearSVC | OneVsRestClassifier) -> Pipeline:
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), machine)
