import pytest
import torch
from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.biggan import BigGANDiscriminator, BigGANGenerator, SelfAttention

CLASSES = tuple("0123456789")
CIFAR = Spec.of("image", (3, 32, 32), CLASSES)
DIGITS = Spec.of("image", (1, 8, 8), CLASSES)
ATTENTION = 2 * 256 * 32 + 2 * 256 * 128 + 1  # queries and keys, values and output, gamma


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def attended(network: nn.Module, x: Tensor) -> list[int]:
    """The sides of the maps that pass through self-attention."""
    found: list[int] = []
    for module in network.modules():
        if isinstance(module, SelfAttention):
            module.register_forward_hook(lambda module, inputs, output: found.append(output.shape[2]))
    network.eval()(x, torch.zeros(len(x), dtype=torch.int64))
    return found


def test_the_authors_networks_for_cifar_10() -> None:
    """ajbrock/BigGAN-PyTorch with launch_cifar_ema.sh, width 4 * 64: every batch norm has its own table of classes."""
    conv, shortcut = 256 * 256 * 9 + 256, 256 * 256 + 256
    block = 2 * conv + shortcut + 2 * 10 * 2 * 256
    generator = BigGANGenerator(CIFAR, shared_dim=0, attention=0, orthogonal=False)
    assert count(generator) == 128 * 4096 + 4096 + 3 * block + 2 * 256 + 256 * 3 * 9 + 3 == 4_304_387
    discriminator = BigGANDiscriminator(CIFAR, attention=0)
    first = 3 * 256 * 9 + 256 + conv + 3 * 256 + 256
    assert count(discriminator) == first + 6 * conv + shortcut + 256 + 1 + 10 * 256 == 4_207_361


def test_the_defaults() -> None:
    """Six batch norms with two tables 128 x 256 instead of 10 x 256, one embedding 10 x 128, and self-attention."""
    assert count(BigGANGenerator(CIFAR)) == 4_304_387 + 6 * 2 * (128 - 10) * 256 + 10 * 128 + ATTENTION == 4_750_084
    assert count(BigGANDiscriminator(CIFAR)) == 4_207_361 + ATTENTION == 4_289_282


def test_hierarchical_latents() -> None:
    """Four parts of 32: the first layer takes one, every batch norm has 32 inputs more."""
    expected = count(BigGANGenerator(CIFAR)) - 96 * 4096 + 6 * 2 * 32 * 256
    assert count(BigGANGenerator(CIFAR, hierarchical=True)) == expected


def test_each_part_of_a_hierarchical_latent_enters_at_its_own_block() -> None:
    spec = Spec.of("image", (1, 16, 16), CLASSES)
    generator = BigGANGenerator(spec, z_dim=6, width=8, hierarchical=True).eval()
    inputs: list[Tensor] = []
    generator.project.register_forward_hook(lambda module, args, output: inputs.append(args[0]))
    for block in generator.blocks:
        block.register_forward_hook(lambda module, args, output: inputs.append(args[1]))
    z, y = torch.randn(2, 6), torch.tensor([3, 4])
    generator(z, y)
    label = generator.shared.weight[y]
    assert torch.equal(inputs[0], z[:, :2])
    assert torch.equal(inputs[1], torch.cat([label, z[:, 2:4]], 1))
    assert torch.equal(inputs[2], torch.cat([label, z[:, 4:]], 1))


def test_self_attention() -> None:
    """Position by position: softmax of the products with the pooled keys, the mean of the pooled values under it."""
    attention = SelfAttention(16).double()
    x = torch.randn(2, 16, 4, 6, dtype=torch.float64)
    assert torch.equal(attention(x), x)
    nn.init.constant_(attention.gamma, 0.7)
    query, key, value = attention.query(x), attention.key(x), attention.value(x)
    found = torch.zeros(2, 8, 4, 6, dtype=torch.float64)
    for i in range(2):
        keys, values = [], []
        for row in range(0, 4, 2):
            for column in range(0, 6, 2):
                keys.append(key[i, :, row : row + 2, column : column + 2].amax((1, 2)))
                values.append(value[i, :, row : row + 2, column : column + 2].amax((1, 2)))
        for row in range(4):
            for column in range(6):
                weights = torch.stack([(query[i, :, row, column] * k).sum() for k in keys]).exp()
                weights = weights / weights.sum()
                found[i, :, row, column] = sum(w * v for w, v in zip(weights, values, strict=True))
    assert torch.allclose(attention(x), x + 0.7 * attention.output(found), atol=1e-12)


@pytest.mark.parametrize(
    ("side", "attention", "in_generator", "in_discriminator"),
    [(32, 16, [16], [16]), (32, 8, [8], [8]), (28, 16, [14], [14]), (28, 28, [28], [14]), (8, 16, [8], [4]), (32, 0, [], [])],
)
def test_where_attention_is(side: int, attention: int, in_generator: list[int], in_discriminator: list[int]) -> None:
    spec = Spec.of("image", (1, side, side), CLASSES)
    assert attended(BigGANGenerator(spec, width=8, attention=attention), torch.zeros(1, 128)) == in_generator
    assert attended(BigGANDiscriminator(spec, width=8, attention=attention), torch.zeros(1, *spec.shape)) == in_discriminator


def test_orthogonal_initialisation() -> None:
    """Rows (or columns, where there are fewer) of length 1 at right angles; else N(0, 0.02^2). Biases are 0."""
    for network in (BigGANGenerator(DIGITS, width=16), BigGANDiscriminator(DIGITS, width=16)):
        weights = [p for name, p in network.named_parameters() if name.endswith(("original", "shared.weight"))]
        assert len(weights) > 8
        for weight in weights:
            matrix = weight.flatten(1)
            gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
            assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-5)
        assert all(p.abs().max() == 0 for name, p in network.named_parameters() if "conv" in name and name.endswith("bias"))
    normal = BigGANDiscriminator(DIGITS, width=32, orthogonal=False)
    assert normal.blocks[1].value.parametrizations.weight.original.std().item() == pytest.approx(0.02, rel=0.2)
    assert normal.blocks[0].conv2.parametrizations.weight.original.std().item() == pytest.approx(0.02, rel=0.05)


def test_the_generators_embedding_is_not_normalised() -> None:
    names = dict(BigGANGenerator(DIGITS, width=8).named_parameters())
    assert "shared.weight" in names
    assert "project.parametrizations.weight.original" in names
    own = dict(BigGANGenerator(DIGITS, width=8, shared_dim=0).named_parameters())
    assert own["blocks.0.norm1.gain.weight"].shape == (10, 8)


def test_the_labels_projection() -> None:
    """A change of label moves the logit by (v_y - v_y') . phi, phi of a known network, the identity."""
    network = BigGANDiscriminator(DIGITS, width=4).double().eval()
    network.blocks = nn.Identity()
    x = torch.randn(1, 4, 2, 2, dtype=torch.float64)
    table = network.embedding.weight
    moved = network(x, torch.tensor([7])) - network(x, torch.tensor([2]))
    assert torch.allclose(moved, (table[7] - table[2]) @ x.clamp(min=0).sum((0, 2, 3)), rtol=1e-9)


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="3 equal parts: take 129"):
        BigGANGenerator(Spec.of("image", (1, 28, 28), CLASSES), width=8, hierarchical=True)
    with pytest.raises(ValueError, match="shared_dim above 0"):
        BigGANGenerator(CIFAR, width=8, shared_dim=0, hierarchical=True)
