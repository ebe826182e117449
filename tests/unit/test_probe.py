import numpy as np
import pytest

from tagsmith.core.schema import indicators
from tagsmith.model.probe import draw_documents, fit_head


def points(classes: int, each: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Points around one corner a class, float32 [documents, 6], and their class ids."""
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    return (np.eye(6)[labels] * 3 + draw.normal(0, 0.3, (len(labels), 6))).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 4])
def test_the_head_separates_classes(classes: int) -> None:
    features, labels = points(classes)
    weights, bias = fit_head(features, indicators(labels, classes), False, 100)
    assert weights.shape == (classes, 6)
    assert ((features @ weights.T + bias).argmax(axis=1) == labels).all()


def test_two_classes_get_the_probabilities_of_the_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = points(2)
    weights, bias = fit_head(features, indicators(labels, 2), False, 6.0)
    logits = features @ weights.T + bias
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = LogisticRegression(C=1.0).fit(features, labels).predict_proba(features)
    assert np.abs(found - expected).max() < 2e-3  # both stop a little before the optimum


def test_a_class_without_a_document_is_not_predicted() -> None:
    features, labels = points(3)
    weights, bias = fit_head(features, indicators(labels + (labels == 2), 5), False, 100)
    predicted = (features @ weights.T + bias).argmax(axis=1)
    assert set(predicted.tolist()) == {0, 1, 3}


def test_multi_label_classes_with_no_or_every_document() -> None:
    features, labels = points(2)
    truth = indicators([[label, 3] for label in labels], 4)
    weights, bias = fit_head(features, truth, True, 100)
    predicted = (features @ weights.T + bias) > 0
    assert (predicted == truth).all()
    assert not weights[[2, 3]].any()


def test_drawn_documents_hold_every_class_and_follow_the_shares() -> None:
    labels = [*np.random.default_rng(0).choice([0, 1, 2], 5000, p=[0.7, 0.299, 0.001]).tolist(), 3]
    drawn = draw_documents(labels, 500, seed=0)
    assert len(drawn) == 500
    assert (np.diff(drawn) > 0).all()
    counts = np.bincount(np.array(labels)[drawn], minlength=4)
    assert counts[3] == 1
    assert counts[2] == min(20, labels.count(2))
    assert counts[0] / 500 == pytest.approx(0.7, abs=0.07)


def test_only_the_seed_decides_which_are_drawn() -> None:
    labels = [i % 3 for i in range(300)]
    assert draw_documents(labels, 50, seed=1).tolist() == draw_documents(labels, 50, seed=1).tolist()
    assert draw_documents(labels, 50, seed=1).tolist() != draw_documents(labels, 50, seed=2).tolist()


def test_drawn_multi_label_documents_hold_every_class() -> None:
    labels: list[list[int]] = [[] if i % 2 else [0, 1] if i % 4 else [0] for i in range(1000)]
    labels[500] = [1, 2]
    drawn = draw_documents(labels, 100, seed=0)
    assert len(drawn) == 100
    assert 500 in drawn
    assert any(not labels[i] for i in drawn)


def test_with_a_small_limit_each_class_has_one_document() -> None:
    labels = [i % 40 for i in range(400)]
    for most in (40, 30):
        assert sorted(labels[i] for i in draw_documents(labels, most, seed=0)) == list(range(40))
    assert draw_documents(labels, 1000, seed=0).tolist() == list(range(400))
    assert draw_documents([[], [], []], 2, seed=0).shape == (2,)
