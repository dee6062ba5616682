"""The generator of residual blocks: the published size, sides."""

import pytest
import torch

from src.data.spec import Field, Spec
from src.networks.translator import ResidualTranslator

SPEC = Spec({name: Field("image", (3, 256, 256), "uint8") for name in ("x", "source")})


def test_the_published_size() -> None:
    """11.378 M with 9 blocks, as the authors' program prints, whose norms have no gains and whose convolutions have biases."""
    with torch.device("meta"):
        network = ResidualTranslator(SPEC, width=64, blocks=9)
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(11.378e6, rel=1e-3)


def test_pictures_of_other_sides_and_channels() -> None:
    fields = {"x": Field("image", (1, 16, 16), "uint8"), "source": Field("image", (3, 16, 16), "uint8")}
    network = ResidualTranslator(Spec(fields), width=4, blocks=1)
    assert network(torch.zeros(2, 3, 12, 20)).shape == (2, 1, 12, 20)
    with pytest.raises(ValueError, match="sides must be multiples of 32"):
        ResidualTranslator(Spec(fields), halvings=5)
    with pytest.raises(ValueError, match="of the field source, which the data lack: take data=emoji_pairs"):
        ResidualTranslator(Spec.of("image", (1, 16, 16)))
