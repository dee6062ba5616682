"""Translation from pairs: the update against the paper's, noise, sources, export."""

from functools import partial
from typing import Any

import pytest
import torch

from pictures import Shapes, batch_of
from src.models.capabilities import Exports, Interpolates, Samples
from src.models.conditions import conditions_for, source_as_data
from src.models.gan.losses import AdversarialLoss, cross_entropy_discriminator, non_saturating_generator
from src.models.pix2pix import Pix2Pix
from src.networks.pix2pix import PatchDiscriminator, Pix2PixGenerator
from src.training import rng

DATA = Shapes()
LOSS = AdversarialLoss(cross_entropy_discriminator, non_saturating_generator)


def make(**changes: Any) -> Pix2Pix:
    rng.seed_layers(0, -1)
    adam = partial(torch.optim.Adam, lr=2e-3, betas=(0.5, 0.99))
    settings: dict[str, Any] = {
        "generator": partial(Pix2PixGenerator, widths=[8, 16]),
        "discriminator": partial(PatchDiscriminator, width=8, layers=1),
        "loss": LOSS,
        "g_optimizer": adam,
        "d_optimizer": adam,
    }
    return Pix2Pix(DATA.spec, seed=0, **settings | changes)


def test_an_update_is_the_papers() -> None:
    model, plain = make(), make()
    batch = batch_of(DATA)
    model.update([batch], *model.configure_optimizers())

    g, d = plain.generator, plain.discriminator
    g_optimizer, d_optimizer = plain.configure_optimizers()
    x, s, fake = batch["x"], batch["source"], g(batch["source"])
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    real_logits, fake_logits = d(x, s), d(fake.detach(), s)
    d_loss = bce(real_logits, torch.ones_like(real_logits)) + bce(fake_logits, torch.zeros_like(fake_logits))
    d_loss.backward()
    d_optimizer.step()
    logits = d(fake, s)
    (bce(logits, torch.ones_like(logits)) + 100 * (fake - x).abs().mean()).backward(inputs=list(g.parameters()))
    g_optimizer.step()
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=1e-5, msg=name)
    assert model.scalars()["loss/discriminator"] == pytest.approx(d_loss.item(), rel=1e-4)
    assert {*model.scalars()} == {"loss/discriminator", "loss/generator", "loss/l1", "D/real", "D/fake"}


def test_l1_alone_trains_no_discriminator() -> None:
    model = make(adversarial=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.update([batch_of(DATA)], *model.configure_optimizers())
    changed = {name.partition(".")[0] for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed == {"generator"}
    assert {*model.networks()} == {"generator"}
    assert model.scalars()["loss/generator"] == pytest.approx(100 * model.scalars()["loss/l1"])


def test_it_learns_which_colour_belongs_to_which_shape() -> None:
    """And it does so from the source: with the sources of other shapes the colours are wrong."""
    adam = partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.99))
    model = make(generator=partial(Pix2PixGenerator, widths=[16, 32]), g_optimizer=adam, l1=10.0)
    optimizers = model.configure_optimizers()
    for step in range(48):
        batch = {name: part[8 * (step % 12) :][:8] for name, part in batch_of(DATA, rows=96).items()}
        model.update([batch], *optimizers)
    unseen = batch_of(DATA, "test", 16)
    found = model.sample(range(16), {"source": unseen["source"]})
    other = model.sample(range(16), {"source": unseen["source"].roll(1, 0)})
    assert (found - unseen["x"]).abs().mean() < 0.5 * (other - unseen["x"]).abs().mean()


def test_a_sample_depends_on_its_source_and_its_seed_alone() -> None:
    model = make(generator=partial(Pix2PixGenerator, widths=[8, 16], dropout=0.5, dropped=1))
    source = batch_of(DATA, rows=20)["source"]
    together = model.sample(range(20), {"source": source})
    assert torch.equal(together[13:14], model.sample([13], {"source": source[13:14]}))
    assert not torch.equal(together[13:14], model.sample([14], {"source": source[13:14]}))
    without = make()
    assert torch.equal(without.sample([1], {"source": source[:1]}), without.sample([2], {"source": source[:1]}))
    assert torch.equal(without.sample([1]), without.sample([1], {"source": torch.ones(1, 1, 16, 16)}))
    assert without.sample([]).shape == (0, 3, 16, 16)


def test_pictures_of_other_sides() -> None:
    assert make().sample([0], {"source": torch.zeros(1, 1, 24, 40)}).shape == (1, 3, 24, 40)


def test_the_latent_is_an_input_of_its_own() -> None:
    model = make(generator=partial(Pix2PixGenerator, widths=[8, 16], dropout=0.5, dropped=1))
    assert isinstance(model, Samples)
    assert isinstance(model, Exports)
    assert not isinstance(model, Interpolates)
    assert {name: list(x.shape) for name, x in model.example_inputs().items()} == {"source": [1, 1, 16, 16], "z": [1, 8]}
    assert list(make().example_inputs()) == ["source"]
    kept = torch.randn(10_000, generator=torch.Generator().manual_seed(0)) > model.generator.bound
    assert abs(kept.float().mean() - 0.5) < 0.02


def test_sources_of_a_split_are_in_the_models_format() -> None:
    rows = [3, 5]
    cond = conditions_for(make(), DATA.split("test"), torch.tensor(rows).numpy(), range(2))
    assert {*cond} == {"source"}
    assert cond["source"].min() == -1
    assert cond["source"].max() == 1
    assert torch.equal(source_as_data(cond["source"]), torch.from_numpy(DATA.split("test")["source"][rows]))
    words = torch.tensor([[3, 1]])
    assert source_as_data(words) is words
