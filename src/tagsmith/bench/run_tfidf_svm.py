"""The contender `tfidf_svm`: weighted words and word pairs, and a linear support vector machine a class."""

import time

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from tagsmith.bench.contest import Contest, Outcome, outcome
from tagsmith.bench.documents import read


def run(contest: Contest) -> Outcome:
    """Train and predict."""
    schema = contest.schema
    started = time.perf_counter()
    texts, truth = read(contest.train, schema)
    test_texts, test_truth = read(contest.test, schema)
    machine = LinearSVC(random_state=contest.settings.seed)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    pipeline = make_pipeline(words, OneVsRestClassifier(machine) if schema.multi_label else machine)
    pipeline.fit(texts, truth if schema.multi_label else truth.argmax(axis=1))
    found = np.asarray(pipeline.predict(test_texts))
    seconds = time.perf_counter() - started
    predicted = found.reshape(test_truth.shape) if schema.multi_label else np.eye(test_truth.shape[1])[found]
    return outcome(seconds, None, None, predicted.astype(np.int8), test_truth, schema)
