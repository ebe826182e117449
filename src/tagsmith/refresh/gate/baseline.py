"""The first version against TF-IDF on the same documents: an encoder that learns less is broken."""

import numpy as np

from tagsmith.config.settings import BestMetric
from tagsmith.decision.bootstrap import OVERALL
from tagsmith.decision.significance import LEVEL
from tagsmith.evaluate.comparison.paired import Decided, certain, compare_answers
from tagsmith.evaluate.report.wording import FIGURES, chance, percent
from tagsmith.evaluate.tfidf import fit_and_predict
from tagsmith.refresh.gate.answers import Answers, Documents
from tagsmith.refresh.gate.checks import Check, floor_figure
from tagsmith.refresh.gate.shared import RESAMPLES

MOST_TRAINING = 10_000
"""Training documents that TF-IDF is fitted on, drawn at random where there are more."""


def not_behind_tfidf(training: Documents, test: Documents, answers: Answers, by: BestMetric, seed: int) -> Check:
    """Whether a version is not significantly worse than TF-IDF with a linear machine, trained on the same documents."""
    multi_label = test.schema.multi_label
    drawn = np.random.default_rng(seed).permutation(len(training))[:MOST_TRAINING]
    texts = [training.texts[i] for i in drawn]
    try:
        predicted = fit_and_predict(texts, training.truth[drawn], test.texts, multi_label, seed)
    except ValueError as error:  # No words, or a single class.
        return Check("tfidf", None, None, True, f"There is no TF-IDF to compare with: {error}.")
    first, second = (Decided(one, np.zeros(len(test))) for one in (predicted, answers.predicted))
    name = floor_figure(by)
    one = compare_answers(test.truth, first, second, RESAMPLES, seed).overall[OVERALL.index(name)]
    worse = one["difference"] < 0 and certain(one["chance"], one["low"], one["high"])
    found = f"With {FIGURES[name]} of {percent(one['second'])}, it is {'' if worse else 'not '}significantly worse"
    sentence = f"{found} than TF-IDF, {percent(one['first'])} (p {chance(one['chance'])})."
    return Check("tfidf", one["chance"] if one["difference"] < 0 else 1.0, LEVEL, not worse, sentence)
