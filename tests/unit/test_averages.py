import pytest
import torch

from tagsmith.train.optimizer import WeightAverages


def model_of(value: float) -> torch.nn.Linear:
    model = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(model.weight, value)
    model.bias.requires_grad_(False)
    return model


def test_averages_by_hand() -> None:
    model = model_of(1.0)
    averages = WeightAverages(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
    averages.update()  # decay 2/11: 1 * 2/11 + 2 * 9/11
    assert averages.averages[0].item() == pytest.approx(20 / 11)
    with torch.no_grad():
        model.weight.fill_(3.0)
    averages.update()  # decay 3/12
    assert averages.averages[0].item() == pytest.approx(20 / 11 / 4 + 9 / 4)
    assert len(averages.averages) == 1
    averages.updates = 1000
    expected = averages.averages[0].item() * 0.9 + 0.3
    averages.update()
    assert averages.averages[0].item() == pytest.approx(expected)


def test_averages_are_applied_only_within_the_block() -> None:
    model = model_of(1.0)
    averages = WeightAverages(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(5.0)
    with averages.applied():
        assert model(torch.ones(1, 1)).item() == pytest.approx(1.0 + model.bias.item())
    assert model.weight.item() == 5.0
    assert averages.averages[0].item() == 1.0


def test_averages_resume_from_their_state() -> None:
    model = model_of(1.0)
    first, second = WeightAverages(model, 0.9), WeightAverages(model_of(7.0), 0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
    first.update()
    second.load_state(first.state())
    assert second.updates == 1
    assert torch.equal(first.averages[0], second.averages[0])
