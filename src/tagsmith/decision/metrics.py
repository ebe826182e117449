"""Figures of scores: pure functions; scikit-learn does the arithmetic."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    log_loss,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
)

Floats = NDArray[np.float32]


def probabilities(logits: Floats, multi_label: bool) -> Floats:
    """Scores float32 [documents, classes] of logits of that shape: sigmoid (multi-label), or softmax."""
    scores = expit(logits) if multi_label else softmax(logits, axis=1)
    return np.asarray(scores, dtype=np.float32)


def decide(scores: Floats, multi_label: bool, threshold: float) -> NDArray[np.int8]:
    """Predicted classes, int8 [documents, classes]: those from the threshold up (multi-label), or the best one."""
    if multi_label:
        return (scores >= threshold).astype(np.int8)
    predicted = np.zeros(scores.shape, dtype=np.int8)
    predicted[np.arange(len(scores)), scores.argmax(axis=1)] = 1
    return predicted


def figures(
    scores: Floats,
    truth: NDArray[np.int8],
    classes: list[str],
    multi_label: bool,
    threshold: float,
    predicted: NDArray[np.int8] | None = None,
) -> Any:
    """All figures of one split, ready for JSON.

    A figure whose denominator is 0 is 0. Macro is the mean over the classes that occur in the truth or in the
    predictions: any other class has no figure to average. The average precision of a class without documents is None.
    `bootstrap.figures` computes the same from sums, for thousands of resamples; a test compares the two.

    Args:
        scores: float32 [documents, classes].
        truth: int8 [documents, classes].
        predicted: int8 [documents, classes]; None: the result of `decide`.

    Returns:
        documents, accuracy (multi-label: exact match), hamming_loss, log_loss; micro, macro and weighted, each
        with precision, recall, f1; classes: name -> figures; and `confusion_matrix` (single-label, [true][predicted])
        or `confusion_matrices` (multi-label, name -> [[TN, FP], [FN, TP]]).
    """
    predicted = decide(scores, multi_label, threshold) if predicted is None else predicted
    hamming_loss = float((truth != predicted).mean())
    loss = mean_log_loss(scores, truth, multi_label)
    if len(classes) == 1:
        # scikit-learn reads a single column as two classes; an empty second column changes no figure.
        truth, predicted = (np.hstack([matrix, np.zeros_like(matrix)]) for matrix in (truth, predicted))
    per_class = precision_recall_fscore_support(truth, predicted, average=None, zero_division=0)
    tables = multilabel_confusion_matrix(truth, predicted)
    occurring = [i for i in range(len(classes)) if truth[:, i].any() or predicted[:, i].any()]
    result: dict[str, Any] = {
        "documents": len(truth),
        "accuracy": float((truth == predicted).all(axis=1).mean()),
        "hamming_loss": hamming_loss,
        "log_loss": loss,
    }
    for average in ("micro", "macro", "weighted"):
        labels = occurring if average == "macro" and occurring else None
        precision, recall, f1, _ = precision_recall_fscore_support(
            truth, predicted, average=average, labels=labels, zero_division=0
        )
        result[average] = {"precision": float(precision), "recall": float(recall), "f1": float(f1)}
    result["classes"] = {
        name: {
            "precision": float(per_class[0][i]),
            "recall": float(per_class[1][i]),
            "f1": float(per_class[2][i]),
            "support": int(per_class[3][i]),
            "true_positives": int(tables[i, 1, 1]),
            "false_positives": int(tables[i, 0, 1]),
            "false_negatives": int(tables[i, 1, 0]),
            "true_negatives": int(tables[i, 0, 0]),
            "average_precision": float(average_precision_score(truth[:, i], scores[:, i]))
            if truth[:, i].any()
            else None,
        }
        for i, name in enumerate(classes)
    }
    if multi_label:
        result["confusion_matrices"] = {name: tables[i].tolist() for i, name in enumerate(classes)}
    else:
        ids = range(len(classes))
        table = confusion_matrix(truth.argmax(axis=1), predicted.argmax(axis=1), labels=ids)
        result["confusion_matrix"] = table.tolist()
    return result


def mean_log_loss(scores: Floats, truth: NDArray[np.int8], multi_label: bool) -> float:
    """Log loss of scores given the truth, both [documents, classes], in nats.

    The mean over the documents; multi-label: over documents and classes.
    """
    if not multi_label:
        shares = scores.astype(np.float64)
        shares /= shares.sum(axis=1, keepdims=True)  # Their sum is 1 within float32, which is not close enough.
        return float(log_loss(truth.argmax(axis=1), shares, labels=range(truth.shape[1])))
    # A score that float32 rounds to 0 or 1 must have a high loss, not an infinite one.
    edge = np.finfo(np.float32).eps
    likely = np.clip(np.where(truth == 1, scores, 1 - scores.astype(np.float64)), edge, 1)
    return float(-np.log(likely).mean())
