"""What each pixel's distribution depends on, and that steps and enumerations agree with it."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from src.data.spec import Field, Spec
from src.networks.decoder import Decoder, decoder
from src.networks.patch_decoder import PatchDecoder

SMALL = {"width": 16, "depth": 2, "heads": 2, "hidden": 8, "mixture": 3}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def spec_of(shape: tuple[int, ...], levels: int = 256, classes: int = 3) -> Spec:
    y = Field("class", (), "int64", tuple("abcdef"[:classes]))
    return Spec({"x": Field("image", shape, "uint8", levels=levels), "y": y})


def make(shape: tuple[int, ...] = (1, 4, 4), levels: int = 256, **changes: Any) -> PatchDecoder:
    """A network of random weights, large enough that every pixel changes the ones after it."""
    network = PatchDecoder(spec_of(shape, levels), **{**SMALL, "patch": 2, **changes}).eval()
    with torch.no_grad():
        network.embedding.weight.mul_(3)
        network.pixels.weight.mul_(3)
    return network


def images(network: PatchDecoder, batch: int = 3) -> Tensor:
    levels = torch.randint(network.field.levels, (batch, *network.field.shape))
    return network.field.to_model((levels * 255 // (network.field.levels - 1)).to(torch.uint8))


def test_the_order_of_pixels_by_hand() -> None:
    network = make((1, 4, 4))
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert network.to_patches(x).tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]]
    colour = make((3, 2, 4))
    rgb = torch.arange(24.0).reshape(1, 3, 2, 4)  # pixel (r, c) has channels n, n + 8, n + 16 with n = 4 r + c
    assert colour.to_patches(rgb)[0, 1].tolist() == [2, 10, 18, 3, 11, 19, 6, 14, 22, 7, 15, 23]
    for net, image in ((network, x), (colour, rgb)):
        assert torch.equal(net.to_images(net.to_patches(image).flatten(1)), image)


@pytest.mark.parametrize("levels", [2, 256])
def test_symbols_and_pixels_are_each_other(levels: int) -> None:
    network = make(levels=levels)
    x = images(network)
    symbols = network.symbols(x)
    assert (symbols.dtype, symbols.shape, symbols.max() < levels) == (torch.int64, (3, 16), True)
    assert torch.equal(network.to_images(network.values(symbols)), x)
    assert torch.equal(network.symbols(x.double()), symbols)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((1, 4, 4), {}),
        ((1, 4, 6), {"levels": 2}),
        ((3, 4, 4), {}),
        ((1, 3, 3), {"patch": 1}),
        ((1, 6, 2), {}),  # one patch in a row
        ((1, 2, 4), {"mixture": 0}),
    ],
)
def test_a_pixel_depends_on_earlier_pixels_alone_and_on_the_class(shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    network = make(shape, conditional=True, **settings)
    x, y = images(network), torch.tensor([0, 1, 2])
    parameters = network(x, y)
    count = parameters.shape[1]
    assert count == x[0].numel()
    for t in range(count):
        pixels = network.to_patches(x).flatten(1).clone()
        pixels[:, t] = -pixels[:, t] + 0.1
        moved = (network(network.to_images(pixels), y) != parameters).any(dim=2).any(dim=0)  # [T * D]
        assert moved.tolist() == [s > t for s in range(count)]
    assert (network(x, y.roll(1)) != parameters).any(dim=2).all()


@pytest.mark.parametrize(("shape", "settings"), [((1, 4, 6), {"levels": 2}), ((3, 4, 4), {}), ((1, 3, 3), {"patch": 1})])
def test_steps_give_the_distributions_of_the_whole(shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    network = make(shape, conditional=True, **settings).double()
    x, y = images(network).double(), torch.tensor([2, 0, 1])
    symbols = network.symbols(x)
    cache = network.cache(3, symbols.shape[1])
    steps = [network.step(symbol, cache) for symbol in [network.start(3, y), *symbols[:, :-1].split(1, dim=1)]]
    logits = torch.stack(steps, dim=1)  # [B, T * D, levels]
    nats = -logits.log_softmax(2).gather(2, symbols[..., None]).squeeze(2)
    torch.testing.assert_close(nats, network.nats(network(x, y), x).detach(), rtol=1e-5, atol=1e-5)
    assert (cache.drawn, cache.trunk.used) == (symbols.shape[1], len(network.position))


@pytest.mark.parametrize("mixture", [0, 3])
def test_levels_have_probabilities_that_sum_to_1(mixture: int) -> None:
    network = make((1, 1, 1), patch=1, mixture=mixture).double()
    x = torch.arange(256, dtype=torch.float64)[:, None, None, None] / 127.5 - 1
    parameters = network(x)
    nats = network.nats(parameters, x).squeeze(1)
    assert (-nats).exp().sum().item() == pytest.approx(1, abs=1e-9)
    logits = network.log_probabilities(parameters[0])
    torch.testing.assert_close(logits.softmax(1)[0], (-nats).exp(), rtol=1e-5, atol=1e-8)


def test_two_pixels_have_probabilities_that_sum_to_1() -> None:
    network = make((1, 2, 2), levels=2).double()
    x = network.field.to_model(torch.tensor(list(itertools.product([0, 255], repeat=4)), dtype=torch.uint8), torch.float64)
    x = x.reshape(16, 1, 2, 2)
    p = (-network.nats(network(x), x).sum(1)).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-12)
    assert p.max() - p.min() > 0.01


def test_the_network_follows_the_kind_of_data() -> None:
    settings = {"width": 16, "depth": 1, "heads": 2}
    assert isinstance(decoder(spec_of((1, 4, 4)), **settings), PatchDecoder)
    tokens = decoder(Spec({"x": Field("tokens", (8,), "int64", tuple("ab"))}), **settings)
    assert isinstance(tokens, Decoder)


def test_errors() -> None:
    with pytest.raises(ValueError, match="patches of side 3 do not tile images of 4 x 4: choose one that divides both"):
        make(patch=3)
    with pytest.raises(ValueError, match="a multiple of 8"):
        make(width=20)
    with pytest.raises(ValueError, match="take images"):
        PatchDecoder(Spec({"x": Field("tokens", (8,), "int64", tuple("ab"))}))
    with pytest.raises(ValueError, match="the data has no classes"):
        PatchDecoder(Spec.of("image", (1, 4, 4)), **SMALL, conditional=True)
