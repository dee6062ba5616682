import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.transformer import Block, TransformerDiscriminator, TransformerGenerator, plain_attention

TEN = tuple("0123456789")
MNIST, CIFAR, TINY = Spec.of("image", (1, 28, 28)), Spec.of("image", (3, 32, 32)), Spec.of("image", (1, 8, 8), TEN)
SMALL = {"width": 16, "depth": 1, "heads": 2}


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def block(width: int) -> int:
    """Queries, keys, values and output 4 w^2 + 4 w, perceptron 8 w^2 + 5 w, two normalisations 4 w."""
    return 12 * width**2 + 13 * width


def test_parameters_by_hand() -> None:
    """7 x 7 tokens of 128, then 14 x 14 of 32; 8 x 8 and 16 x 16 for CIFAR-10."""
    assert count(TransformerGenerator(MNIST)) == (
        64 * 49 * 128 + 49 * 128 + 3 * block(128) + 196 * 32 + block(32) + 2 * 32 + 32 * 4 + 4
    )
    assert count(TransformerGenerator(CIFAR)) == (
        64 * 64 * 128 + 64 * 128 + 3 * block(128) + 256 * 32 + block(32) + 2 * 32 + 32 * 12 + 12
    )
    assert count(TransformerDiscriminator(MNIST)) == 16 * 128 + 128 + 49 * 128 + 3 * block(128) + 2 * 128 + 128 + 1
    labelled = Spec.of("image", (1, 28, 28), TEN)
    assert count(TransformerGenerator(labelled, conditional=True)) - count(TransformerGenerator(MNIST)) == 640 + 64 * 49 * 128
    assert count(TransformerDiscriminator(labelled, conditional=True)) - count(TransformerDiscriminator(MNIST)) == 10 * 128


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 32, 32), (1, 64, 64)])
def test_sizes_come_from_the_spec(shape: tuple[int, int, int]) -> None:
    spec = Spec.of("image", shape)
    generator = TransformerGenerator(spec, z_dim=5, **SMALL)
    assert (generator.z_dim, generator.classes) == (5, 0)
    images = generator(torch.randn(3, 5))
    assert images.shape == (3, *shape)
    assert 0.05 < images.abs().max() <= 1
    assert TransformerDiscriminator(spec, **SMALL)(images).shape == (3,)


def test_attention_by_hand() -> None:
    """One head of width 1: scores q k are 0 and log 3, so the weights are 1/4 and 3/4."""
    q, k = torch.ones(1, 1, 1, 1), torch.tensor([0.0, math.log(3)]).view(1, 1, 2, 1)
    v = torch.tensor([8.0, 4.0]).view(1, 1, 2, 1)
    torch.testing.assert_close(plain_attention(q, k, v), torch.full((1, 1, 1, 1), 5.0))


def test_attention_is_pytorchs() -> None:
    q, k, v = torch.randn(3, 2, 4, 9, 5, dtype=torch.float64)
    torch.testing.assert_close(plain_attention(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_attention_has_a_second_derivative() -> None:
    inputs = [torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradgradcheck(plain_attention, inputs)


def test_blocks_treat_tokens_alike_and_let_each_see_all() -> None:
    network, x, order = Block(8, 2, plain_attention), torch.randn(2, 5, 8, requires_grad=True), torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(network(x)[:, order], network(x[:, order]))
    (seen,) = torch.autograd.grad(network(x)[0, 0].sum(), x)
    assert (seen[0].abs().sum(1) > 0).all()
    assert seen[1].abs().max() == 0


def test_only_positions_tell_patches_apart() -> None:
    discriminator = TransformerDiscriminator(TINY, **SMALL)
    x = torch.randn(2, 1, 8, 8)
    swapped = torch.cat([x[:, :, 4:], x[:, :, :4]], dim=2)  # upper and lower patches
    assert (discriminator(x) - discriminator(swapped)).abs().min() > 1e-6
    torch.nn.init.zeros_(discriminator.positions)
    torch.testing.assert_close(discriminator(x), discriminator(swapped))


def test_a_token_is_a_patch_where_it_stands() -> None:
    """Without attention, the token in row 1 and column 2 of 7 x 7 makes pixels 4..7 of rows and 8..11 of columns."""
    generator = TransformerGenerator(MNIST, z_dim=4, width=16, depth=0, heads=2)
    for tensor in (generator.fine.out.weight, generator.fine.out.bias):
        torch.nn.init.zeros_(tensor)
    others = torch.arange(49) != 9
    with torch.no_grad():
        generator.tokens.weight.unflatten(0, (49, 16))[others] = 0
        changed = (generator(torch.randn(1, 4)) - generator(torch.zeros(1, 4)))[0, 0].abs() > 1e-6
    assert changed[4:8, 8:12].all()
    assert changed.sum() == 16


@pytest.mark.parametrize("conditional", [False, True])
def test_gradients_reach_every_parameter(conditional: bool) -> None:
    generator = TransformerGenerator(TINY, z_dim=5, conditional=conditional, **SMALL)
    discriminator = TransformerDiscriminator(TINY, conditional=conditional, **SMALL)
    logits = discriminator(generator(torch.randn(40, 5), torch.arange(40) % 10), torch.arange(40) % 10)
    logits.square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            # A key's bias adds the same to all scores of a query: attention does not see it.
            gradient = parameter.grad if not name.endswith("qkv.bias") else parameter.grad.unflatten(0, (3, -1))[[0, 2]]
            assert (gradient != 0).any(), name


def test_gradient_penalties_reach_the_discriminators_parameters() -> None:
    """All but those that add to the logit whatever the image is: the biases of its last two layers."""
    discriminator = TransformerDiscriminator(TINY, conditional=True, **SMALL).double()
    x = torch.randn(20, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(x, torch.arange(20) % 10).sum(), x, create_graph=True)
    penalty = gradient.square().sum() / 2
    penalty.backward()
    missed = {name for name, p in discriminator.named_parameters() if p.grad is None or (p.grad == 0).all()}
    assert missed == {"logit.bias", "blocks.1.bias"}

    weight, step = discriminator.blocks[0].qkv.weight, 1e-5  # against a finite difference
    with torch.no_grad():
        expected = weight.grad[3, 4].item()
        weight[3, 4] += step
    (gradient,) = torch.autograd.grad(discriminator(x, torch.arange(20) % 10).sum(), x)
    assert (gradient.square().sum() / 2 - penalty).item() / step == pytest.approx(expected, rel=1e-3)


def test_each_sample_depends_on_itself_alone() -> None:
    generator = TransformerGenerator(TINY, z_dim=5, conditional=True, **SMALL).eval()
    discriminator = TransformerDiscriminator(TINY, conditional=True, **SMALL).eval()
    z, y = torch.randn(6, 5), torch.arange(6)
    images = generator(z, y)
    assert torch.equal(images, generator(z, y))
    torch.testing.assert_close(generator(z[2:3], y[2:3])[0], images[2])
    torch.testing.assert_close(discriminator(images[2:3], y[2:3])[0], discriminator(images, y)[2])


def test_labels() -> None:
    generator = TransformerGenerator(TINY, z_dim=5, conditional=True, **SMALL)
    discriminator = TransformerDiscriminator(TINY, conditional=True, **SMALL)
    assert generator.classes == 10
    z = torch.randn(1, 5).expand(2, 5)
    zero, one = generator(z, torch.tensor([0, 1]))
    assert (zero - one).abs().max() > 0.01

    x = zero[None].expand(10, 1, 8, 8)
    differences = (discriminator(x, torch.arange(10)) - discriminator(x, torch.zeros(10, dtype=torch.int64))).detach()
    mean = discriminator.blocks(discriminator.patches(zero[None]).flatten(2).mT + discriminator.positions).mean(1)[0]
    embedding = discriminator.embedding.weight
    torch.testing.assert_close(differences, (embedding - embedding[0]) @ mean, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_built() -> None:
    odd = Spec.of("image", (1, 30, 30))
    with pytest.raises(ValueError, match="multiple of 4"):
        TransformerGenerator(odd)
    with pytest.raises(ValueError, match="multiple of 4"):
        TransformerDiscriminator(odd)
    TransformerDiscriminator(odd, patch=5)
    with pytest.raises(ValueError, match="heads"):
        TransformerDiscriminator(MNIST, width=30)
    with pytest.raises(ValueError, match="no classes"):
        TransformerGenerator(MNIST, conditional=True)
    with pytest.raises(ValueError, match="no classes"):
        TransformerDiscriminator(MNIST, conditional=True)


def test_mixed_precision() -> None:
    z: Tensor = torch.randn(3, 5)
    generator, discriminator = TransformerGenerator(TINY, z_dim=5, **SMALL), TransformerDiscriminator(TINY, **SMALL)
    exact = discriminator(generator(z))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = discriminator(generator(z))
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.1)
