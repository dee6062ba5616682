"""NT-Xent against its definition, over one process and over two, and what the embeddings learn."""

from functools import partial
from typing import Any

import pytest
import torch
from thread_ranks import on_two_ranks
from torch import Tensor
from torch.nn.functional import normalize

from src.data.digits import Digits
from src.data.loader import Blocks
from src.data.spec import Batch
from src.evaluation.representation import RepresentationSuite
from src.models.augment import DiffAugment, Translate
from src.models.capabilities import Embeds, Samples
from src.models.contrastive import Contrastive, nt_xent
from src.networks.encoder import ConvEncoder
from src.training import rng
from src.training.ema import EMA

DATA = Digits()
TRAIN = DATA.split("train")


def make(**changes: Any) -> Contrastive:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {
        "spec": DATA.spec,
        "seed": 3,
        "network": partial(ConvEncoder, widths=[16, 32], head=[32, 32, 16]),
        "optimizer": partial(torch.optim.Adam, lr=3e-3),
        "augment": [Translate(1), DiffAugment(["cutout"])],
        "ema": partial(EMA, half_life=1000),
    }
    return Contrastive(**settings | changes)


def images(rows: slice) -> Batch:
    return DATA.spec.to_model({"x": torch.from_numpy(TRAIN["x"][rows].copy())})


def units(n: int, seed: int) -> Tensor:
    return normalize(torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


def equation_1(u: Tensor, v: Tensor, temperature: float) -> list[float]:
    """By two loops, with views numbered as in the paper: image k has views 2 k and 2 k + 1."""
    z = torch.stack([u, v], dim=1).flatten(0, 1)  # [2 N, P]

    def pair(i: int, j: int) -> float:
        similar = [torch.exp(torch.dot(z[i], z[k]) / (z[i].norm() * z[k].norm()) / temperature) for k in range(len(z))]
        return -torch.log(similar[j] / sum(similar[k] for k in range(len(z)) if k != i)).item()  # type: ignore[arg-type]

    return [(pair(2 * k, 2 * k + 1) + pair(2 * k + 1, 2 * k)) / 2 for k in range(len(u))]


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_equation_1(temperature: float) -> None:
    u, v = units(5, seed=0), units(5, seed=1)
    assert nt_xent(u, v, temperature).tolist() == pytest.approx(equation_1(u, v, temperature), rel=1e-9)


def test_by_hand() -> None:
    """One image: its partner is the only other view. Two images, orthogonal, views equal: -log(e / (e + 1 + 1))."""
    assert nt_xent(units(1, 0), units(1, 1), 0.5).tolist() == [0.0]
    u = torch.eye(2)
    torch.testing.assert_close(nt_xent(u, u, 1.0), torch.full((2,), (torch.e + 2) / torch.e).log())


def test_two_ranks_are_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses, and weights after three updates, in float64."""
    model = make().double()
    batch = {"x": images(slice(8))["x"].double()}
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def learn(rows: slice) -> tuple[Tensor, dict[str, Tensor]]:
        mine = make().double()
        mine.load_state_dict(start)
        optimizers = mine.configure_optimizers()
        part = {"x": batch["x"][rows]}
        loss = mine.loss(part).detach()
        for _ in range(3):
            mine.update([part], *optimizers)
        return loss, mine.state_dict()

    loss, weights = learn(slice(None))
    # The global generators are shared by threads, but no layer draws here.
    halves = on_two_ranks(lambda rank: learn(slice(4 * rank, 4 * rank + 4)), monkeypatch)
    torch.testing.assert_close(torch.cat([half[0] for half in halves]), loss, rtol=1e-12, atol=1e-12)
    assert not torch.equal(weights["learner.head.0.weight"], start["learner.head.0.weight"])
    for _, state in halves:
        for name, tensor in weights.items():
            torch.testing.assert_close(state[name], tensor, rtol=1e-9, atol=1e-9, msg=name)


def test_views_differ_and_belong_to_the_step() -> None:
    model, x = make(), images(slice(20))["x"]
    first, second = model.view(x, 0), model.view(x, 1)
    assert first.shape == x.shape
    assert not torch.equal(first, second)
    assert torch.equal(first, model.view(x, 0))
    model.step = 1
    assert not torch.equal(first, model.view(x, 0))
    plain = make(augment=[])
    assert torch.equal(plain.view(x, 0), x)


def test_embeddings_are_what_lies_before_the_projection() -> None:
    model, batch = make(), images(slice(6))
    assert isinstance(model, Embeds)
    assert not isinstance(model, Samples)
    h = model.embed(batch)
    assert (h.shape, h.requires_grad) == ((6, 32 * 2 * 2), False)
    assert model.loss(batch).shape == (6,)


def test_it_learns_in_seconds() -> None:
    model = make()
    optimizers = model.configure_optimizers()
    losses = []
    while model.step < 90:
        for index in Blocks(len(TRAIN), 64, seed=3, at=lambda: model.step, stop=90, size=5):
            model.train_on({"x": torch.from_numpy(TRAIN["x"][index])}, optimizers)
            losses.append(model.scalars()["loss"])
    assert losses[-1] < losses[0] - 0.3  # of log 127 = 4.84
    assert RepresentationSuite(validation_samples=300).validate(model, DATA) > 0.8
