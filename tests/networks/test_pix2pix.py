"""The networks of pix2pix: published sizes, what a logit sees, sides."""

import pytest
import torch

from src.data.spec import Field, Spec
from src.networks.pix2pix import PatchDiscriminator, Pix2PixGenerator


def pairs(side: int, channels: int = 3) -> Spec:
    return Spec({"x": Field("image", (3, side, side), "uint8"), "source": Field("image", (channels, side, side), "uint8")})


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_published_sizes() -> None:
    """The authors' program prints 54.414 M and 2.769 M for their networks (junyanz/pytorch-CycleGAN-and-pix2pix)."""
    with torch.device("meta"):
        generator = Pix2PixGenerator(pairs(256), widths=[64, 128, 256, 512, 512, 512, 512, 512], dropout=0.5)
        discriminator = PatchDiscriminator(pairs(256), width=64, layers=3)
    assert round(count(generator) / 1e6, 3) in (54.414, 54.415)  # a bias more where there is no norm
    assert round(count(discriminator) / 1e6, 3) == 2.769
    assert generator.z_dim == 3 * 512


@pytest.mark.parametrize(("layers", "sees"), [(1, 16), (2, 34), (3, 70)])
def test_what_a_logit_sees(layers: int, sees: int) -> None:
    network = PatchDiscriminator(pairs(96, 1), width=4, layers=layers, norm="none")
    x = torch.zeros(1, 3, 96, 96, requires_grad=True)
    logits = network(x, torch.zeros(1, 1, 96, 96))
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [sees, sees]


def test_sides_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"pictures of 28 x 28 do not fit 4 widths.*multiples of 16: take data\.size=32"):
        Pix2PixGenerator(pairs(28))
    with pytest.raises(ValueError, match="too small for layers=3"):
        PatchDiscriminator(pairs(16), layers=3)
    with pytest.raises(ValueError, match="have no pairs: take data=emoji_pairs"):
        Pix2PixGenerator(Spec.of("image", (1, 32, 32)))
    with pytest.raises(ValueError, match="norm=batch: must be one of instance, group, none"):
        Pix2PixGenerator(pairs(32), norm="batch")
