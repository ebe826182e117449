"""The contender `tfidf_svm`: see `tagsmith.evaluate.tfidf`."""

import time

from tagsmith.bench.recipes.contest import Contest, Outcome, outcome
from tagsmith.bench.recipes.training_sets import read
from tagsmith.evaluate.tfidf import fit_and_predict


def run(contest: Contest) -> Outcome:
    """Train and predict."""
    schema = contest.schema
    started = time.perf_counter()
    texts, truth = read(contest.train, schema)
    test_texts, test_truth = read(contest.test, schema)
    predicted = fit_and_predict(texts, truth, test_texts, schema.multi_label, contest.settings.seed)
    seconds = time.perf_counter() - started
    return outcome(seconds, None, None, predicted, test_truth, schema)
