"""Embeddings of any image, each by itself."""

import pytest
import torch

from src.data.spec import Spec
from src.networks.encoder import ConvEncoder


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 64, 64), (2, 9, 16)])
def test_sizes_come_from_the_spec(shape: tuple[int, ...]) -> None:
    network = ConvEncoder(Spec.of("image", shape), widths=[4, 12], groups=2, head=[9, 7])
    h = network(torch.randn(3, *shape))
    assert h.shape == (3, 12 * -(-shape[1] // 4) * -(-shape[2] // 4))
    assert network.project(h).shape == (3, 7)


def test_an_embedding_does_not_depend_on_the_batch() -> None:
    network, x = ConvEncoder(Spec.of("image", (1, 8, 8)), widths=[8], groups=2), torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]))
    torch.testing.assert_close(network(x), network.eval()(x))


def test_points_are_refused() -> None:
    with pytest.raises(ValueError, match="take image data"):
        ConvEncoder(Spec.of("points", (2,)))
