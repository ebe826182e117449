"""Losses worked out by hand."""

from math import exp, log

import numpy as np
import pytest
import torch

from tagsmith.config.settings import ClassWeights, Loss, TrainSettings
from tagsmith.core.errors import SettingsError
from tagsmith.core.schema import Task, indicators
from tagsmith.train.losses import DistillationLoss, DocumentLoss, class_weights

CPU = torch.device("cpu")


def loss_of(task: Task, truth: np.ndarray, **changes: object) -> DocumentLoss:
    return DocumentLoss.of(TrainSettings(**changes), truth, task, CPU)  # type: ignore[arg-type]


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
TOTAL = exp(2) + 1 + exp(-1)
SINGLE = indicators([0, 2], 3)
MULTI = indicators([[0], [1, 2]], 3)


def test_cross_entropy_single_label() -> None:
    found = loss_of(Task.single_label, SINGLE)(LOGITS, torch.tensor([0, 2]))
    assert found.tolist() == pytest.approx([-log(exp(2) / TOTAL), log(3)])


def test_label_smoothing_spreads_a_share_over_all_classes() -> None:
    found = loss_of(Task.single_label, SINGLE, label_smoothing=0.3)(LOGITS, torch.tensor([0, 2]))
    logs = [-log(exp(value) / TOTAL) for value in (2, 0, -1)]
    assert found[0].item() == pytest.approx(0.7 * logs[0] + 0.1 * sum(logs), rel=1e-5)


def test_focal_loss_single_label() -> None:
    found = loss_of(Task.single_label, SINGLE, loss=Loss.focal)(LOGITS, torch.tensor([0, 2]))
    right = exp(2) / TOTAL
    assert found.tolist() == pytest.approx([-log(right) * (1 - right) ** 2, log(3) * (2 / 3) ** 2], rel=1e-5)


def test_binary_cross_entropy_is_the_mean_over_the_classes() -> None:
    found = loss_of(Task.multi_label, MULTI)(LOGITS, torch.from_numpy(MULTI).float())
    first = -(log(sigmoid(2)) + log(1 - sigmoid(0)) + log(1 - sigmoid(-1))) / 3
    assert found.tolist() == pytest.approx([first, log(2)], rel=1e-5)


def test_label_smoothing_multi_label_moves_targets_towards_a_half() -> None:
    found = loss_of(Task.multi_label, MULTI, label_smoothing=0.2)(LOGITS, torch.from_numpy(MULTI).float())
    targets, scores = (0.9, 0.1, 0.1), (sigmoid(2), sigmoid(0), sigmoid(-1))
    pairs = zip(targets, scores, strict=True)
    expected = -sum(target * log(score) + (1 - target) * log(1 - score) for target, score in pairs) / 3
    assert found[0].item() == pytest.approx(expected, rel=1e-5)


def test_focal_loss_multi_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainSettings, "loss_gamma", 1.0)
    found = loss_of(Task.multi_label, MULTI, loss=Loss.focal)(LOGITS, torch.from_numpy(MULTI).float())
    parts = [-log(sigmoid(2)) * (1 - sigmoid(2)), log(2) / 2, -log(1 - sigmoid(-1)) * sigmoid(-1)]
    assert found[0].item() == pytest.approx(sum(parts) / 3, rel=1e-5)


def test_asymmetric_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainSettings, "loss_gamma", 4.0)
    found = loss_of(Task.multi_label, MULTI, loss=Loss.asymmetric)(LOGITS, torch.from_numpy(MULTI).float())
    zero, minus = sigmoid(0) - 0.05, sigmoid(-1) - 0.05
    parts = [-log(sigmoid(2)), -log(1 - zero) * zero**4, -log(1 - minus) * minus**4]
    assert found[0].item() == pytest.approx(sum(parts) / 3, rel=1e-5)


def test_asymmetric_loss_of_sure_and_wrong_scores_is_finite() -> None:
    document_loss = loss_of(Task.multi_label, MULTI, loss=Loss.asymmetric)
    logits = torch.tensor([[-200.0, 200.0, 200.0]], requires_grad=True)
    document_loss(logits, torch.tensor([[1.0, 0.0, 0.0]])).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_asymmetric_loss_is_for_multi_label_documents() -> None:
    with pytest.raises(SettingsError, match="expected multi-label"):
        loss_of(Task.single_label, SINGLE, loss=Loss.asymmetric)


def test_balanced_weights_single_label() -> None:
    truth = indicators([0, 0, 0, 1], 3)
    weights = class_weights(truth, Task.single_label, ClassWeights.balanced)
    # 4 documents, 2 classes that occur: 4 / (2 * 3) and 4 / (2 * 1); the third has no document.
    assert weights[1].tolist() == pytest.approx([2 / 3, 2, 1])
    assert weights[0].tolist() == [1, 1, 1]


def test_root_weights_have_mean_one_over_the_documents() -> None:
    truth = indicators([0] * 9 + [1], 2)
    weights = class_weights(truth, Task.single_label, ClassWeights.root)[1]
    assert (weights[0] * 9 + weights[1]) / 10 == pytest.approx(1)
    assert weights[1] / weights[0] == pytest.approx(3)


def test_balanced_weights_multi_label_balance_present_and_absent() -> None:
    truth = indicators([[0], [1], [1], [1]], 3)
    weights = class_weights(truth, Task.multi_label, ClassWeights.balanced)
    assert weights[1].tolist() == pytest.approx([2, 2 / 3, 1])
    assert weights[0].tolist() == pytest.approx([2 / 3, 2, 1])


def test_weights_multiply_the_loss_of_a_document() -> None:
    truth = indicators([0, 0, 0, 2], 3)
    plain = loss_of(Task.single_label, truth)(LOGITS, torch.tensor([0, 2]))
    weighted = loss_of(Task.single_label, truth, class_weights=ClassWeights.balanced)(LOGITS, torch.tensor([0, 2]))
    assert (weighted / plain).tolist() == pytest.approx([2 / 3, 2])


TEACHER = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
TAGGED = torch.tensor([True, False])


def test_a_student_learns_from_teacher_and_tags() -> None:
    loss = DistillationLoss(loss_of(Task.single_label, SINGLE), temperature=2.0, share=0.25)
    found = loss(LOGITS, torch.tensor([0, 0]), TEACHER, TAGGED)
    logs = [value / 2 - log(exp(1) + 1 + exp(-0.5)) for value in (2, 0, -1)]
    of_teacher = -4 * (0.5 * logs[0] + 0.25 * logs[1] + 0.25 * logs[2])
    # The second document is untagged: what is in place of its label does not count.
    assert found.tolist() == pytest.approx([0.25 * of_teacher - 0.75 * log(exp(2) / TOTAL), 4 * log(3)], rel=1e-5)


def test_a_student_learns_from_a_teacher_of_each_class() -> None:
    loss = DistillationLoss(loss_of(Task.multi_label, MULTI), temperature=2.0, share=0.25)
    found = loss(LOGITS, torch.from_numpy(MULTI).float(), TEACHER, TAGGED)
    scores = [sigmoid(value / 2) for value in (2, 0, -1)]
    pairs = zip((0.5, 0.25, 0.25), scores, strict=True)
    of_teacher = -4 / 3 * sum(target * log(score) + (1 - target) * log(1 - score) for target, score in pairs)
    of_tags = -(log(sigmoid(2)) + log(1 - sigmoid(0)) + log(1 - sigmoid(-1))) / 3
    assert found.tolist() == pytest.approx([0.25 * of_teacher + 0.75 * of_tags, 4 * log(2)], rel=1e-5)


@pytest.mark.parametrize("task", list(Task))
def test_a_student_that_scores_as_its_teacher_stays_as_it_is(task: Task) -> None:
    logits = LOGITS.clone().requires_grad_()
    teacher = (LOGITS / 3).softmax(dim=1) if task is Task.single_label else (LOGITS / 3).sigmoid()
    labels = torch.tensor([0, 0]) if task is Task.single_label else torch.zeros(2, 3)
    loss = DistillationLoss(loss_of(task, SINGLE), temperature=3.0, share=1.0)
    loss(logits, labels, teacher, TAGGED).sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6
