"""Gated convolutions: gates, and what is known of a picture."""

import pytest
import torch
from torch import nn

from src.data.spec import Spec
from src.networks.gated import Gated, GatedInpainter


def test_a_gate_closes() -> None:
    layer = Gated(nn.Conv2d(1, 2, 1))
    nn.init.ones_(layer.convolution.weight)
    layer.convolution.bias.data.copy_(torch.tensor([0.0, -100.0]))  # type: ignore[union-attr]
    x = torch.rand(1, 1, 2, 2)
    assert layer(x).abs().max() < 1e-30
    layer.convolution.bias.data[1] = 100.0  # type: ignore[index]
    torch.testing.assert_close(layer(x), x)


def test_what_is_known_stays_and_what_is_hidden_is_not_seen() -> None:
    torch.manual_seed(0)
    network = GatedInpainter(Spec.of("image", (3, 16, 16)), width=4, dilations=[1, 2])
    x, mask = torch.rand(2, 3, 16, 16), torch.zeros(2, 1, 16, 16)
    mask[:, :, 4:9, 5:8] = 1
    filled = network(x, mask)
    hole = mask.expand_as(x) > 0.5
    assert torch.equal(filled[~hole], x[~hole])
    assert torch.equal(filled, network(torch.where(hole, 7.0, x), mask))
    assert 0.03 < filled[hole].std() < 1  # not vanishing after many layers
    with pytest.raises(ValueError, match="sides that are multiples of 4"):
        GatedInpainter(Spec.of("image", (1, 10, 10)))
