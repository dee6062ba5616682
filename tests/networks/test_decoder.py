import pytest
import torch
from torch.nn import functional as F

from src.data.spec import Field, Spec
from src.networks.causal import rotate, rotations
from src.networks.decoder import Decoder

SPEC = Spec({"x": Field("tokens", (12,), "int64", tuple("abcde"))})
SMALL = {"width": 16, "depth": 2, "heads": 2}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def tokens(batch: int = 3, length: int = 12) -> torch.Tensor:
    return torch.randint(5, (batch, length))


def test_parameters_by_hand() -> None:
    """Six embeddings for five symbols, and no output weights: they are tied."""
    block = 12 * 16**2 + 13 * 16
    assert sum(parameter.numel() for parameter in Decoder(SPEC, **SMALL).parameters()) == 6 * 16 + 2 * block + 2 * 16


def test_logits_depend_on_earlier_symbols_alone() -> None:
    network, x = Decoder(SPEC, **SMALL), tokens()
    logits = network(x)
    assert logits.shape == (3, 12, 5)
    assert torch.equal(logits[0, 0], logits[1, 0])  # nothing comes before the first
    for t in range(12):
        changed = x.clone()
        changed[:, t] = (changed[:, t] + 1) % 5
        moved = (network(changed) != logits).any(dim=2).any(dim=0)  # [T]
        assert moved.tolist() == [s > t for s in range(12)]


def test_steps_give_the_logits_of_the_whole() -> None:
    network, x = Decoder(SPEC, **SMALL), tokens()
    cache = network.cache(3, 12)
    steps = [network.step(token, cache) for token in [network.start(3), *x[:, :-1].split(1, dim=1)]]
    torch.testing.assert_close(torch.stack(steps, dim=1), network(x).detach(), rtol=0, atol=1e-5)
    assert cache.used == 12


def test_no_weight_depends_on_the_length() -> None:
    network, x = Decoder(SPEC, **SMALL), tokens(length=40)
    torch.testing.assert_close(network(x)[:, :12], network(x[:, :12]), rtol=0, atol=1e-5)


def test_rotations_by_hand() -> None:
    """A pair (1, 0) at position m becomes (cos m theta_i, sin m theta_i), theta_i = 10000^(-2 i / d)."""
    x = torch.tensor([1.0, 0.0, 1.0, 0.0]).expand(1, 1, 3, 4)
    angle = torch.arange(3.0)[:, None] * torch.tensor([1.0, 0.01])
    expected = torch.stack([angle.cos(), angle.sin()], dim=2).flatten(1)
    torch.testing.assert_close(rotate(x, rotations(torch.arange(3), 4))[0, 0], expected)


def test_products_depend_on_distances_alone() -> None:
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64).expand(2, 1, 1, 20, 8)
    rotation = rotations(torch.arange(20), 8).double()
    products = (rotate(q, rotation) @ rotate(k, rotation).mT)[0, 0]
    for distance in range(20):
        diagonal = products.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-5, atol=1e-5)


def test_order_matters() -> None:
    network = Decoder(SPEC, **SMALL)
    a, b = network(torch.tensor([[0, 1, 2, 3]])), network(torch.tensor([[1, 0, 2, 3]]))
    assert (a[0, 3] - b[0, 3]).abs().max() > 1e-4


def test_it_learns_to_repeat() -> None:
    network = Decoder(SPEC, **SMALL)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        half = tokens(16, 3)
        x = torch.cat([half, half], dim=1)
        loss = F.cross_entropy(network(x)[:, 4:].mT, x[:, 4:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1.3  # log 5 = 1.61 without attention


def test_errors() -> None:
    with pytest.raises(ValueError, match="a multiple of 6"):
        Decoder(SPEC, width=16, heads=3)
    with pytest.raises(ValueError, match="choose data of tokens"):
        Decoder(Spec.of("image", (1, 8, 8)))
