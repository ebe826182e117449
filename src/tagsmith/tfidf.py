"""Weighted words and word pairs, and a linear support vector machine a class: a classifier without an encoder."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC


def fit_and_predict(
    texts: Sequence[str], truth: NDArray[np.int8], new_texts: Sequence[str], multi_label: bool, seed: int
) -> NDArray[np.int8]:
    """Predicted classes of `new_texts`, int8 [documents, classes].

    Args:
        texts: of the training documents.
        truth: int8 [training documents, classes].

    Raises:
        ValueError: there is nothing to learn: no word, or a single class.
    """
    machine = LinearSVC(random_state=seed)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    pipeline = make_pipeline(words, OneVsRestClassifier(machine) if multi_label else machine)
    pipeline.fit(texts, truth if multi_label else truth.argmax(axis=1))
    found = np.asarray(pipeline.predict(new_texts))
    classes = truth.shape[1]
    predicted = found.reshape(len(new_texts), classes) if multi_label else np.eye(classes)[found]
    return predicted.astype(np.int8)
