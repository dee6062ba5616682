from functools import partial

import pytest
import torch

from src.data.spec import Spec
from src.models.gan.gan import GAN
from src.models.gan.losses import AdversarialLoss, cross_entropy_discriminator, non_saturating_generator
from src.networks.music_gan import MusicDiscriminator, MusicGenerator
from src.training import rng
from tunes import Walks, batch_of

DATA = Walks(32, voices=2, roll=True)


@pytest.mark.parametrize(("steps", "metre"), [(32, "4/4"), (24, "6/8"), (16, "4/4"), (36, "3/4")])
def test_shapes_follow_bars_and_pitches(steps: int, metre: str) -> None:
    spec = Walks(steps, voices=2, roll=True).spec
    generator, discriminator = MusicGenerator(spec, width=4, metre=metre), MusicDiscriminator(spec, width=4, metre=metre)
    x = generator(torch.randn(3, 64))
    assert x.shape == (3, *spec.shape)
    assert x.abs().max() <= 1
    assert discriminator(x).shape == (3,)


def test_bars_share_the_latent_and_no_more() -> None:
    """What changes the input of one bar changes no other bar."""
    torch.manual_seed(0)
    generator = MusicGenerator(DATA.spec, width=4).eval()
    z = torch.randn(2, 64)
    x = generator(z)
    with torch.no_grad():
        generator.temporal[0].weight[16:] *= -1  # of the second bar
    moved = (generator(z) != x).flatten(0, 1).any(2).any(0)  # [T]
    assert not moved[:16].any()
    assert moved[16:].any()


def test_every_step_and_pitch_counts() -> None:
    discriminator, x = MusicDiscriminator(DATA.spec, width=4), torch.zeros(1, *DATA.spec.shape, requires_grad=True)
    discriminator(x).sum().backward()
    assert (x.grad != 0).float().mean() > 0.95


def test_a_gan_learns_which_pitches_there_are() -> None:
    rng.seed_layers(0, -1)
    model = GAN(
        DATA.spec,
        0,
        partial(MusicGenerator, z_dim=8, width=4),
        partial(MusicDiscriminator, width=4),
        AdversarialLoss(cross_entropy_discriminator, non_saturating_generator),
        partial(torch.optim.Adam, lr=2e-3, betas=(0.0, 0.99)),
        partial(torch.optim.Adam, lr=2e-3, betas=(0.0, 0.99)),
    )
    real = batch_of(DATA, rows=16)["x"]
    model.train_on({"x": ((real + 1) * 127.5).to(torch.uint8).expand(30, *real.shape)}, model.configure_optimizers())
    x = model.sample(range(16))
    assert x.shape == real.shape
    scale = real.mean((0, 1, 2)) > -1  # the pitches that occur
    assert x[..., scale].mean() > x[..., ~scale].mean() + 0.02
    assert x.mean() < -0.5  # most of the data is silence


def test_data_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"it takes piano rolls \[2 V, T, P\], not image"):
        MusicGenerator(Spec.of("image", (1, 8, 8)))
    with pytest.raises(ValueError, match="no whole bars of 9/8"):
        MusicGenerator(DATA.spec, metre="9/8")
