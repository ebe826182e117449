"""The answers of Azure and of a run to a further file, whose documents have no tags: where they agree."""

from collections import Counter
from typing import Any

import numpy as np

from tagsmith.azure.recorded import Answer, class_names, reason
from tagsmith.config.settings import EvaluateRun
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.decision.intervals import proportion
from tagsmith.evaluate.evaluate_run import rule_of_run
from tagsmith.model.loaded_model import load_trained
from tagsmith.model.processes import start_accelerator
from tagsmith.model.score import score

Json = dict[str, Any]


def agreement(run: RunFolder, schema: Schema, answers: dict[str, Answer]) -> Json:
    """Classify the texts with the run, and compare with the answers of Azure.

    Returns:
        documents, without (those without an answer, by reason), agree, share and its interval; classes: {class of
        Azure: {documents, agree}}; differ: a line for each document with other classes, Azure's most confident first.

    Raises:
        InputMissing: the run has no weights.
    """
    without = Counter(why for answer in answers.values() if (why := reason(answer, schema)))
    kept = [answer for answer in answers.values() if reason(answer, schema) is None]
    names = class_names({name for answer in kept for name in answer.scores or ()}, schema)
    azure = [{names[name]: score for name, score in (answer.scores or {}).items()} for answer in kept]
    texts = [str(answer.text) for answer in kept]
    found = _classify(run, schema, texts) if texts else []
    classes: dict[str, Counter[str]] = {name: Counter() for name in schema.classes}
    differ: list[Json] = []
    agree = 0
    for text, theirs, ours in zip(texts, azure, found, strict=True):
        same = set(theirs) == set(ours)
        agree += same
        for name in theirs:
            classes[name].update(documents=1, agree=int(same))
        if not same:
            differ.append({"text": text, "azure": theirs, "run": ours})
    differ.sort(key=lambda line: -max(line["azure"].values(), default=0.0))
    return {
        "documents": len(texts),
        "without": dict(without),
        "agree": agree,
        "share": agree / len(texts) if texts else None,
        "interval": proportion(agree, len(texts)),
        "classes": {name: dict(count) for name, count in classes.items() if count},
        "differ": differ,
    }


def _classify(run: RunFolder, schema: Schema, texts: list[str]) -> list[dict[str, float]]:
    """The classes that the run predicts for each text, with their scores."""
    settings = EvaluateRun(run=str(run.path))
    model = load_trained(run.model, schema)
    accelerator = start_accelerator(settings.cpu)
    rule = rule_of_run(run, schema, model.encoding.threshold)
    classifier = model.classifier.to(accelerator.device).eval()
    encoded = model.encode(texts)
    scores = rule.scores(score(classifier, encoded, settings.batch_tokens, accelerator, "scoring the further file"))
    predicted = rule.decide(scores).predicted
    return [
        {schema.classes[i]: round(float(row[i]), 6) for i in np.flatnonzero(chosen)}
        for row, chosen in zip(scores, predicted, strict=True)
    ]
