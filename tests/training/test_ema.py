import pytest
import torch
from torch import nn

from src.training.ema import EMA


def network(value: float) -> nn.Module:
    layer = nn.BatchNorm1d(2)
    nn.init.constant_(layer.weight, value)
    return layer


def test_half_life_in_images() -> None:
    """After `half_life` images of a constant network, half of the old weights is left, whatever the batch."""
    for batch in (10, 50):
        ema = EMA(network(0.0), half_life=100, ramp_up=1.0)
        for _ in range(100 // batch):
            ema.update(network(1.0), samples=batch, samples_seen=10**6)
        assert ema.network.weight.tolist() == pytest.approx([0.5, 0.5])


def test_ramp_up_forgets_the_start() -> None:
    ema = EMA(network(0.0), half_life=10**6, ramp_up=0.05)
    ema.update(network(1.0), samples=64, samples_seen=64)
    assert ema.network.weight[0].item() == pytest.approx(1 - 0.5 ** (1 / 0.05))


def test_zero_half_life_follows_the_weights() -> None:
    ema = EMA(network(0.0), half_life=0)
    ema.update(network(3.0), samples=1, samples_seen=10)
    assert ema.network.weight[0].item() == 3.0


def test_statistics_are_averaged_counters_copied_and_nothing_is_trained() -> None:
    source = network(1.0)
    ema = EMA(source, half_life=8, ramp_up=1.0)
    source(torch.randn(8, 2) + 5)
    ema.update(source, samples=8, samples_seen=8)
    assert torch.allclose(ema.network.running_mean, source.running_mean / 2)
    assert torch.equal(ema.network.num_batches_tracked, source.num_batches_tracked)
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())
    assert not ema.network.training
