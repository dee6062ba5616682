"""The U-Net's shapes, its first output, and what reaches what."""

from functools import partial

import pytest
import torch

from src.data.spec import Field, Spec
from src.data.vocabulary import PAD
from src.networks.unet import UNet
from src.networks.word_encoder import WordEncoder

CLASSES = tuple("abc")


def scrambled(network: UNet) -> UNet:
    """With weights that are nowhere zero."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((1, 8, 8), {}),
        ((1, 28, 28), {"multipliers": [1, 2, 2], "blocks": 1}),  # 14, 7, 4: the image is padded to 32
        ((3, 9, 7), {"patch": 1, "attention": [1]}),
        ((3, 64, 64), {"patch": 4, "multipliers": [1], "dropout": 0.5}),
    ],
)
def test_shapes_and_a_first_output_of_zero(shape: tuple[int, ...], settings: dict) -> None:
    network = UNet(Spec.of("image", shape, CLASSES), conditional=True, width=8, **settings)
    x, t, y = torch.randn(5, *shape), torch.rand(5), torch.tensor([0, 1, 2, 3, 0])
    found = network(x, t, y)
    assert found.shape == x.shape
    assert found.is_contiguous()
    assert not found.any()
    assert scrambled(network)(x, t, y).std() > 0


def test_time_and_class_reach_the_output_and_no_class_is_one_of_its_own() -> None:
    network = scrambled(UNet(Spec.of("image", (1, 8, 8), CLASSES), conditional=True, width=8))
    assert network.classes == 3
    x, t = torch.randn(1, 1, 8, 8).expand(4, -1, -1, -1), torch.full((4,), 0.5)
    found = network(x, t, torch.arange(4))
    torch.testing.assert_close(network(x, t), found[3:].expand_as(found))  # None is the null
    distances = torch.cdist(found.flatten(1), found.flatten(1))
    assert distances[~torch.eye(4, dtype=torch.bool)].min() > 1e-3
    assert (network(x, t + 0.01) - network(x, t)).abs().max() > 1e-4


@pytest.mark.parametrize("attention", [[], [1]])
def test_every_pixel_is_read_and_samples_do_not_mix(attention: list[int]) -> None:
    network = scrambled(UNet(Spec.of("image", (1, 9, 9)), width=8, attention=attention))
    x = torch.randn(3, 1, 9, 9, requires_grad=True)
    (slope,) = torch.autograd.grad(network(x, torch.rand(3))[1].sum(), x)
    assert slope[1].all()
    assert not slope[[0, 2]].any()


def test_what_it_cannot_be_built_for() -> None:
    with pytest.raises(ValueError, match="data are points: take image data"):
        UNet(Spec.of("points", (2,)))
    with pytest.raises(ValueError, match="width=12: must be a multiple of 8"):
        UNet(Spec.of("image", (1, 8, 8)), width=12)
    with pytest.raises(ValueError, match="the data has no classes"):
        UNet(Spec.of("image", (1, 8, 8)), conditional=True)


def captioned(conditional: bool = True) -> UNet:
    names = (PAD, *"abcde")
    spec = Spec({"x": Field("image", (3, 16, 16), "uint8"), "caption": Field("tokens", (4,), "int64", names)})
    settings = {"width": 8, "attention": [1], "blocks": 1, "text": partial(WordEncoder, width=16, heads=2)}
    return UNet(spec, conditional=conditional, **settings)  # type: ignore[arg-type]


def test_words_reach_the_output_and_no_caption_is_the_empty_one() -> None:
    network = scrambled(captioned()).double().requires_grad_(False)
    x, t = torch.randn(1, 3, 16, 16, dtype=torch.float64).expand(4, -1, -1, -1), torch.full((4,), 0.3, dtype=torch.float64)
    y = torch.tensor([[1, 2, 0, 0], [2, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    found = network(x, t, y)
    distances = torch.cdist(found.flatten(1), found.flatten(1))
    assert distances[~torch.eye(4, dtype=torch.bool)].min() > 1e-6  # the order of words matters too
    torch.testing.assert_close(network(x, t)[0], found[3])
    assert network.classes == 6
    assert captioned(conditional=False).text is None
