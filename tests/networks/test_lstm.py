import pytest
import torch
from torch.nn import functional as F

from src.data.spec import Field, Spec
from src.networks.lstm import LSTM

NAMES = tuple("abcde")
SPEC = Spec({"x": Field("tokens", (12,), "int64", NAMES)})
PAIRS = Spec({"x": SPEC.x, "source": Field("tokens", (7,), "int64", NAMES), "source_length": Field("length", (), "int64")})


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def tokens(batch: int = 3, length: int = 12) -> torch.Tensor:
    return torch.randint(5, (batch, length))


def test_parameters_by_hand() -> None:
    """Six embeddings for five symbols, four gates in each layer, and no output weights: they are tied."""
    network = LSTM(SPEC, width=16, depth=2)
    assert sum(parameter.numel() for parameter in network.parameters()) == 6 * 16 + 2 * 4 * (2 * 16**2 + 2 * 16)


def test_logits_depend_on_earlier_symbols_alone() -> None:
    network, x = LSTM(SPEC, width=16), tokens()
    logits = network(x)
    assert logits.shape == (3, 12, 5)
    for t in range(12):
        changed = x.clone()
        changed[:, t] = (changed[:, t] + 1) % 5
        assert (network(changed) != logits).any(dim=2).any(dim=0).tolist() == [s > t for s in range(12)]


def test_steps_give_the_logits_of_the_whole_and_padding_of_a_source_changes_nothing() -> None:
    network, x, source = LSTM(PAIRS, width=16), tokens(), tokens(length=7)
    length = torch.tensor([7, 3, 0])
    whole = network(x, source=source, source_length=length)
    cache = network.cache(3, 12, source=source, source_length=length)
    steps = [network.step(token, cache) for token in [network.start(3), *x[:, :-1].split(1, dim=1)]]
    torch.testing.assert_close(torch.stack(steps, dim=1), whole.detach(), rtol=0, atol=1e-5)
    changed = torch.where(torch.arange(7) < length[:, None], source, (source + 1) % 5)
    torch.testing.assert_close(network(x, source=F.pad(changed, (0, 2)), source_length=length), whole)
    assert (network(x, source=source.flip(0), source_length=length) - whole).abs().amax() > 1e-3
    torch.testing.assert_close(whole[2:], LSTM.forward(network, x[2:]))  # a source of no symbols is none


def test_it_learns_to_repeat() -> None:
    network = LSTM(SPEC, width=32, depth=1)
    optimizer = torch.optim.Adam(network.parameters(), 2e-2)
    for _ in range(80):
        half = tokens(16, 2)
        x = torch.cat([half, half], dim=1)
        loss = F.cross_entropy(network(x)[:, 2:].mT, x[:, 2:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1  # log 5 = 1.61 without memory


def test_errors() -> None:
    with pytest.raises(ValueError, match="choose data of tokens"):
        LSTM(Spec.of("image", (1, 8, 8)))
