"""Pictures from captions: what the loss and the samples know of the words, what empty captions and hidden words mean."""

from functools import partial
from typing import Any

import pytest
import torch

from pictures import CaptionedShapes, batch_of
from src.config.errors import UserError
from src.data.digits import Digits
from src.data.loader import Blocks
from src.data.vocabulary import PAD, UNKNOWN
from src.models.capabilities import BoundsLikelihood, ConditionsFromData, Interpolates, Samples
from src.models.conditions import conditions_for, hide_words
from src.models.gan.gan import GAN
from src.models.gan.losses import AdversarialLoss, hinge_discriminator, wasserstein_generator
from src.models.text_to_image import TextToImage, TextToImageGAN
from src.networks.df_gan import DFDiscriminator, DFGenerator
from src.networks.unet import UNet
from src.networks.word_encoder import WordEncoder
from src.training import rng

DATA = CaptionedShapes()
NAMES = DATA.words.names
UNET = partial(UNet, width=16, multipliers=[1, 2], blocks=1, patch=2, attention=[1], text=partial(WordEncoder, width=16))


def make(**changes: Any) -> TextToImage:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {"spec": DATA.spec, "seed": 3, "network": UNET, "nfe": 4}
    return TextToImage(**settings | {"optimizer": partial(torch.optim.Adam, lr=1e-2)} | changes)


@pytest.fixture(scope="module")
def trained() -> TextToImage:
    model, train = make(word_dropout=0.1), DATA.split("train")
    optimizers = model.configure_optimizers()
    while model.step < 150:
        for index in Blocks(len(train), 16, seed=3, at=lambda: model.step, stop=150):
            model.train_on({name: torch.from_numpy(rows) for name, rows in train.batch(index).items()}, optimizers)
    return model


def captions(*texts: str) -> torch.Tensor:
    return torch.stack([torch.from_numpy(DATA.words.encode(text)) for text in texts])


def test_the_loss_rises_when_captions_are_shuffled(trained: TextToImage) -> None:
    trained.condition_dropout, hidden, trained.word_dropout = 0.0, trained.word_dropout, 0.0
    batch = batch_of(DATA, "validation", rows=32)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss, shuffled = (trained.loss(batch | {"caption": c}).mean() for c in (batch["caption"], batch["caption"][order]))
    assert shuffled > 1.02 * loss
    nll, other = (trained.nll(batch | {"caption": c})[0].mean() for c in (batch["caption"], batch["caption"][order]))
    assert other > nll + 1
    trained.condition_dropout, trained.word_dropout = 0.1, hidden


def test_samples_have_the_colour_that_is_named(trained: TextToImage) -> None:
    texts = [f"a {colour} disc" for colour in ("red", "green", "blue")]
    for channel, text in enumerate(texts):
        x = trained.sample(range(6), {"caption": captions(text).expand(6, -1)}, guidance=2.0)
        assert x.mean((0, 2, 3)).argmax() == channel, text


def test_samples_depend_on_their_seed_and_caption_alone(trained: TextToImage) -> None:
    cond = {"caption": captions("a red disc", "a blue square").repeat(70, 1)}
    many = trained.sample(range(140), cond, guidance=2.0)
    assert many.shape == (140, 3, 16, 16)
    assert torch.equal(many[[133, 4]], trained.sample([133, 4], {"caption": cond["caption"][[133, 4]]}, guidance=2.0))
    assert not torch.equal(many[:1], trained.sample([0], {"caption": captions("a green disc")}, guidance=2.0))


def test_the_empty_caption_is_the_null(trained: TextToImage) -> None:
    """It is the default condition, what dropped captions become, and what guidance moves away from; padding changes nothing."""
    empty = trained.conditions(range(3))["caption"]
    assert (empty == NAMES.index(PAD)).all()
    assert torch.equal(trained.sample(range(3)), trained.sample(range(3), {"caption": empty}, guidance=3.0))
    network, x, y = trained.network(), torch.randn(2, 3, 16, 16), captions("a red disc", "a blue square")
    with torch.no_grad():
        null, plain, twice = (trained.guided(network, y, guidance, x, 0.5) for guidance in (0.0, 1.0, 2.0))
        torch.testing.assert_close(null, network(x, torch.full((2,), 0.5)))
        torch.testing.assert_close(plain, network(x, torch.full((2,), 0.5), y[:, :4]))  # without PAD, but for one
    torch.testing.assert_close(twice, 2 * plain - null)
    batch = batch_of(DATA, rows=64)
    trained.condition_dropout, kept = 0.5, trained.condition_dropout
    dropped = (trained.training_pair(batch)[1] == NAMES.index(PAD)).all(1)  # type: ignore[union-attr, operator]
    assert 16 < dropped.sum() < 48
    trained.condition_dropout = kept


def test_words_are_hidden_and_pads_are_not() -> None:
    field, tokens = DATA.spec.fields["caption"], captions(*["a red disc"] * 500)
    found = hide_words(tokens, field, 0.2, lambda *shape: torch.rand(shape, generator=torch.Generator().manual_seed(0)))
    changed = found != tokens
    assert (found[changed] == NAMES.index(UNKNOWN)).all()
    assert not changed[:, 3:].any()
    assert changed[:, :3].float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_conditions_come_from_the_data() -> None:
    model, split = make(), DATA.split("validation")
    assert all(isinstance(model, capability) for capability in (Samples, ConditionsFromData, Interpolates, BoundsLikelihood))
    cond = conditions_for(model, split, torch.arange(5).numpy(), range(5))
    assert cond.keys() == {"caption"}
    assert torch.equal(cond["caption"], torch.from_numpy(split["caption"][:5]))


def test_refusals() -> None:
    with pytest.raises(UserError, match="the data have none: take data=emoji_captions"):
        make(spec=Digits().spec)
    with pytest.raises(UserError, match=r"model\.condition_dropout=0\.1"):
        make(condition_dropout=0.0).sample([0], guidance=3.0)


# GAN


def make_gan() -> TextToImageGAN:
    rng.seed_layers(0, -1)
    text = partial(WordEncoder, width=16, depth=1, heads=2)
    networks = {
        "generator": partial(DFGenerator, z_dim=8, width=8, most=16, text=text),
        "discriminator": partial(DFDiscriminator, width=8, most=16, text=text),
    }
    adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.99))
    loss = AdversarialLoss(hinge_discriminator, wasserstein_generator)
    return TextToImageGAN(DATA.spec, 3, **networks, loss=loss, g_optimizer=adam, d_optimizer=adam, word_dropout=0.1)


def test_the_gan_draws_of_latent_and_caption() -> None:
    model = make_gan()
    for parameter in model.network().parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    cond = {"caption": captions("a red disc", "a blue square", "a red disc")}
    x = model.sample([4, 4, 5], cond)
    assert x.shape == (3, 3, 16, 16)
    assert not torch.allclose(x[0], x[1])
    assert not torch.allclose(x[0], x[2])
    assert torch.equal(x[1:2], model.sample([4], {"caption": cond["caption"][1:2]}))
    assert isinstance(model, GAN)
    model.check_parts()


def test_the_gan_learns_from_captions() -> None:
    """Both encoders change, and the discriminator tells captions apart."""
    model, train = make_gan(), DATA.split("train")
    encoders = [network.text.embedding.weight for network in (model.generator, model.discriminator)]  # type: ignore[union-attr]
    before = [weight.detach().clone() for weight in encoders]
    optimizers = model.configure_optimizers()
    for _ in range(3):
        model.train_on({name: torch.from_numpy(part[None, :16].copy()) for name, part in train.fields.items()}, optimizers)
    assert all(not torch.equal(weight, old) for weight, old in zip(encoders, before, strict=True))
    batch = batch_of(DATA, rows=8)
    other = batch | {"caption": batch["caption"].roll(1, dims=0)}
    assert not torch.allclose(model.discriminate(batch), model.discriminate(other))
