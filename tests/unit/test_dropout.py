import pytest
import torch
from torch import nn

from tagsmith.train.dropout import CpuDropout, use_fast_dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_dropped_and_the_mean_stays(rate: float) -> None:
    torch.manual_seed(0)
    states = torch.ones(300, 1000, requires_grad=True)
    out = CpuDropout(rate)(states)
    assert (out == 0).float().mean().item() == pytest.approx(rate, abs=0.003)
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert out.max().item() == pytest.approx(1 / (1 - rate), rel=1e-3)
    out.sum().backward()
    assert states.grad is not None
    assert torch.equal(states.grad, out)


def test_the_same_seed_drops_the_same_and_each_call_drops_others() -> None:
    dropout, states = CpuDropout(0.5), torch.ones(4, 100)
    torch.manual_seed(1)
    first, second = dropout(states), dropout(states)
    torch.manual_seed(1)
    assert torch.equal(dropout(states), first)
    assert not torch.equal(first, second)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (CpuDropout(0.5)(torch.ones(400_000)) > 0).float() - 0.5
    for lag in (1, 2, 4, 384):
        assert abs((kept[:-lag] * kept[lag:]).mean().item()) < 0.002


def test_nothing_is_dropped_out_of_training() -> None:
    states = torch.randn(3, 5)
    assert CpuDropout(0.5).eval()(states) is states


def test_every_dropout_that_drops_is_replaced() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1), nn.Sequential(nn.Dropout(0.3), nn.Dropout(0.0)))
    use_fast_dropout(model)
    kinds = [type(module) for module in model.modules() if "Dropout" in type(module).__name__]
    assert kinds == [CpuDropout, CpuDropout, nn.Dropout]
