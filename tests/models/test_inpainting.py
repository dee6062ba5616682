"""Inpainting: what is known stays, masks are keyed, the critic looks at the hole."""

from functools import partial
from typing import Any

import numpy as np
import torch

from pictures import Shapes, batch_of
from src.data.digits import Digits
from src.models.capabilities import ConditionsFromData
from src.models.conditions import conditions_for
from src.models.gan.losses import AdversarialLoss, hinge_discriminator, wasserstein_generator
from src.models.inpainting import Inpainting, at_hole
from src.networks.gated import GatedInpainter
from src.networks.pix2pix import PatchDiscriminator
from src.training import rng

DATA = Shapes()


def make(data: Any = DATA, **changes: Any) -> Inpainting:
    rng.seed_layers(0, -1)
    adam = partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.99))
    settings: dict[str, Any] = {
        "generator": partial(GatedInpainter, width=4, dilations=[1, 2]),
        "discriminator": partial(PatchDiscriminator, width=4, layers=1, norm="none", spectral_norm=True, condition="mask"),
        "loss": AdversarialLoss(hinge_discriminator, wasserstein_generator),
        "g_optimizer": adam,
        "d_optimizer": adam,
    }
    return Inpainting(data.spec, seed=0, **settings | changes)


def test_what_is_known_stays_exactly() -> None:
    model = make()
    assert isinstance(model, ConditionsFromData)
    cond = conditions_for(model, DATA.split("test"), np.arange(5), range(5))
    x, hole = batch_of(DATA, "test", 5)["x"], cond["mask"].expand(-1, 3, -1, -1) > 0.5
    assert torch.equal(cond["source"][~hole], x[~hole])
    assert cond["source"][hole].unique().tolist() == [0]
    found = model.sample(range(5), cond)
    assert torch.equal(found[~hole], x[~hole])
    assert not torch.equal(found[hole], x[hole])
    (alone,) = model.sample([4], {name: part[4:] for name, part in cond.items()})
    assert torch.equal(alone, found[4])
    # Nothing of what the hole hides reaches the network.
    assert torch.equal(found, model.sample(range(5), {"source": x, "mask": cond["mask"]}))


def test_it_learns_to_fill() -> None:
    model = make(l1=100.0)
    optimizers, batch = model.configure_optimizers(), batch_of(DATA, rows=16)
    losses = []
    for _ in range(30):
        model.update([batch], *optimizers)
        losses.append(model.scalars()["loss/l1"])
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_digits_too() -> None:
    digits = Digits()
    model = make(digits)
    model.update([batch_of(digits)], *model.configure_optimizers())
    assert model.sample(range(2)).shape == (2, 1, 8, 8)
    assert list(model.example_inputs()) == ["source", "mask"]


def test_a_mean_over_the_hole() -> None:
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, 0, 0, 0] = mask[1, 0, :2] = 1
    pixels = torch.arange(32.0).view(2, 1, 4, 4)
    assert at_hole(pixels, mask) == (0 + 19.5) / 2
    patches = torch.tensor([[[[1.0, 9.0], [9.0, 9.0]]], [[[3.0, 5.0], [9.0, 9.0]]]])
    assert at_hole(patches, mask) == (1 + 4) / 2
