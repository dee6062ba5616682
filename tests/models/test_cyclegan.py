"""Translation without pairs: the update against the paper's, the pool, both directions."""

from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from pictures import Shapes, batch_of
from src.config.errors import UserError
from src.data.spec import Spec
from src.models.cyclegan import CycleGAN, Pool
from src.models.gan.losses import AdversarialLoss, least_squares_discriminator, least_squares_generator
from src.networks.pix2pix import PatchDiscriminator
from src.networks.translator import ResidualTranslator
from src.training import rng

DATA = Shapes()


def make(spec: Spec = DATA.spec, **changes: Any) -> CycleGAN:
    rng.seed_layers(0, -1)
    adam = partial(torch.optim.Adam, lr=2e-3, betas=(0.5, 0.99))
    settings: dict[str, Any] = {
        "generator": partial(ResidualTranslator, width=4, blocks=1, kernel=3),
        "discriminator": partial(PatchDiscriminator, width=4, layers=1, condition="none"),
        "loss": AdversarialLoss(least_squares_discriminator, least_squares_generator),
        "g_optimizer": adam,
        "d_optimizer": adam,
        "pool": 4,
    }
    return CycleGAN(spec, seed=0, **settings | changes)


def test_an_update_is_the_papers() -> None:
    """With an empty pool, which gives fakes as they come."""
    model, plain = make(pool=50), make(pool=50)
    batch = batch_of(DATA)
    model.update([batch], *model.configure_optimizers())

    g, f, d_x, d_s = plain.generator.x, plain.generator.source, plain.discriminator.x, plain.discriminator.source
    g_optimizer, d_optimizer = plain.configure_optimizers()
    x, s = batch["x"], batch["source"]
    fake_x, fake_s = g(s), f(x)
    loss = ((d_x(fake_x) - 1) ** 2).mean() / 2 + ((d_s(fake_s) - 1) ** 2).mean() / 2
    loss = loss + 10 * (F.l1_loss(f(fake_x), s) + F.l1_loss(g(fake_s), x))
    loss.backward(inputs=list(plain.generator.parameters()))
    g_optimizer.step()
    d_loss = ((d_x(x) - 1) ** 2).mean() + (d_x(fake_x.detach()) ** 2).mean()
    d_loss = (d_loss + ((d_s(s) - 1) ** 2).mean() + (d_s(fake_s.detach()) ** 2).mean()) / 2
    d_loss.backward()
    d_optimizer.step()
    for name, tensor in plain.state_dict().items():
        if not name.startswith("pools"):
            torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=1e-5, msg=name)
    assert torch.equal(model.pools.x.images[:8], fake_x)
    names = {"loss/cycle", "loss/generator", "loss/discriminator", "D/real", "D/fake"}
    assert {*model.scalars()} == names  # the kinds have 3 channels and 1: no identity
    assert model.scalars()["loss/discriminator"] == pytest.approx(d_loss.item(), rel=1e-4)


def test_the_identity_counts_where_both_kinds_have_as_many_channels() -> None:
    model = make(Spec({"x": DATA.spec.x, "source": DATA.spec.x}))
    batch = batch_of(DATA)
    model.update([{"x": batch["x"], "source": batch["source"].expand(-1, 3, -1, -1)}], *model.configure_optimizers())
    assert model.scalars()["loss/identity"] > 0


def test_the_pool_exchanges_half_of_what_comes() -> None:
    pool = Pool(3, (1,))
    first = pool(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), [(0.9, 0.0)] * 3 + [(0.4, 0.0)])
    assert first.flatten().tolist() == [1, 2, 3, 4]
    assert pool(torch.tensor([[5.0], [6.0], [7.0]]), [(0.6, 0.4), (0.2, 0.9), (0.7, 0.4)]).flatten().tolist() == [2, 6, 5]
    assert pool.images.flatten().tolist() == [1, 7, 3]
    assert {*pool.state_dict()} == {"images", "count"}
    assert Pool(0, (1,))(torch.ones(1, 1), [(0.9, 0.9)]).item() == 1


def test_both_directions() -> None:
    model, batch = make(), batch_of(DATA, rows=3)
    assert model.sample(range(3), {"source": batch["source"]}).shape == (3, 3, 16, 16)
    back = model.sample(range(3), {"source": batch["x"]}, direction="backward")
    assert back.shape == (3, 1, 16, 16)
    assert torch.equal(back[2:], model.sample([9], {"source": batch["x"][2:]}, direction="backward"))
    assert model.sample(range(2), direction="backward").shape == (2, 1, 16, 16)
    with pytest.raises(UserError, match="direction=up: must be forward or backward"):
        model.sample([0], direction="up")
