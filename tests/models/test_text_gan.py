"""The relaxed samples against the generator's own, the two phases, and what a text GAN keeps of its likelihood."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from src.config.errors import UserError
from src.data.spec import Batch, Field, Spec
from src.data.vocabulary import END, PAD, UNKNOWN
from src.models.capabilities import Continues, Discriminates, Samples, SymbolLikelihood
from src.models.gan.losses import AdversarialLoss, relativistic_paired_discriminator, relativistic_paired_generator
from src.models.text_gan import Pretraining, TextGAN, gumbel
from src.networks.decoder import Decoder
from src.networks.text_discriminator import TextDiscriminator
from src.training import rng
from src.training.ema import EMA
from src.training.fit import place_model

NAMES = (PAD, END, UNKNOWN, "a", "b", "c")
SPEC = Spec({"x": Field("tokens", (6,), "int64", NAMES), "length": Field("length", (), "int64")})
BATCH = {
    "x": torch.tensor([[3, 4, 5, 1, 0, 0], [3, 4, 1, 0, 0, 0], [5, 4, 3, 3, 3, 1]] * 4),
    "length": torch.tensor([4, 3, 6] * 4),
}


def make(spec: Spec = SPEC, pretraining: int = 0, **changes: Any) -> TextGAN:
    rng.seed_layers(0, -1)
    adam = partial(torch.optim.Adam, lr=5e-3)
    settings: dict[str, Any] = {
        "network": partial(Decoder, width=16, depth=1, heads=2, dropout=0.2),
        "discriminator": partial(TextDiscriminator, width=8, representations=2, filters=8, hidden=8),
        "loss": AdversarialLoss(relativistic_paired_discriminator, relativistic_paired_generator, True),
        "pretraining": Pretraining(pretraining, partial(torch.optim.AdamW, lr=1e-2)),
        "inverse_temperature": lambda seen: 2.0,
        "g_optimizer": adam,
        "d_optimizer": adam,
        "ema": partial(EMA, half_life=100),
    }
    return TextGAN(spec, 3, **settings | changes)


def train(model: TextGAN, steps: int, batch: Batch = BATCH) -> None:
    optimizers = model.configure_optimizers()
    for _ in range(steps):
        model.update([batch], *optimizers)


def test_gumbel_noise_makes_draws_from_a_softmax() -> None:
    """argmax(o + g) has the probabilities softmax(o) (Jang et al. 2017, eq. 1)."""
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    drawn = (logits + gumbel((20_000, 4), torch.Generator().manual_seed(0))).argmax(1)
    share = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(share, logits.softmax(0), atol=0.01, rtol=0)


def test_relaxed_samples_are_the_symbols_drawn_at_a_low_temperature() -> None:
    """Also after an end, where PAD follows; no text has PAD or UNKNOWN before it."""
    model = make(straight_through=False)
    relaxed = model.relaxed(64, beta=1e4)  # [B, T, V]
    torch.testing.assert_close(relaxed.sum(2), torch.ones(64, 6))
    noise = model.draw(gumbel, 64, 36, "gumbel").unflatten(1, (6, 6))
    x = model.drawn(model.learner.eval(), noise)
    assert (relaxed.argmax(2) == x).float().mean() > 0.99
    ends = (x == 1).long()
    ended = ends.cumsum(1) > ends
    assert ended.any()
    assert (x[ended] == 0).all()
    assert not torch.isin(x[~ended], torch.tensor([0, 2])).any()
    soft = model.relaxed(64, beta=0.5)
    assert soft.amax(2)[~ended].mean() < 0.7 < relaxed.amax(2).mean()
    assert (soft[..., 2] == 0).all()


def test_the_discriminator_sees_drawn_symbols_and_the_generator_gets_soft_gradients() -> None:
    """Softness does not tell them from real texts: they are one-hot."""
    gradients = []
    for straight_through in (False, True):
        model = make(straight_through=straight_through)
        found = model.relaxed(16, beta=1.0)  # [B, T, V]
        gradients.append(torch.autograd.grad((found @ torch.arange(6.0)).sum(), model.learner.embedding.weight)[0])
    x = model.drawn(model.learner.eval(), model.draw(gumbel, 16, 36, "gumbel").unflatten(1, (6, 6)))
    assert torch.equal(found, F.one_hot(x, 6).float())
    assert gradients[0].any()
    assert torch.equal(*gradients)


def test_gradients_reach_the_generator_through_every_position() -> None:
    model = make()
    soft = model.relaxed(8, beta=1.0)
    for t in range(soft.shape[1]):
        gradients = torch.autograd.grad(soft[:, t, 3].sum(), list(model.learner.parameters()), retain_graph=True)
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.any() for gradient in gradients), t


def test_maximum_likelihood_comes_first() -> None:
    model = make(pretraining=36)  # 3 updates of 12 samples
    discriminator = [p.clone() for p in model.discriminator.parameters()]
    train(model, 3)
    assert model.scalars().keys() == {"loss"}
    assert all(map(torch.equal, discriminator, model.discriminator.parameters()))
    before = [p.clone() for p in model.learner.parameters()]
    train(model, 1)
    assert model.scalars().keys() == {"loss/discriminator", "loss/generator", "real_above_fake", "inverse_temperature"}
    assert not all(map(torch.equal, discriminator, model.discriminator.parameters()))
    assert not all(map(torch.equal, before, model.learner.parameters()))
    assert (model.step, model.samples_seen) == (4, 48)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_it_goes_on_from_every_step(stop: int) -> None:
    """Phases and temperatures are functions of the samples seen: before, at and after the change of phases."""
    changes = {"pretraining": 24, "inverse_temperature": lambda seen: 1 + seen / 12}
    whole, first, second = (make(**changes) for _ in range(3))
    train(whole, 4)
    optimizers = first.configure_optimizers()
    for _ in range(stop):
        first.update([BATCH], *optimizers)
    second.load_state_dict(first.state_dict())
    second.set_clock(first.clock())
    again = second.configure_optimizers()
    for ours, theirs in zip(again, optimizers, strict=True):
        ours.load_state_dict(theirs.state_dict())
    for _ in range(4 - stop):
        second.update([BATCH], *again)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_the_adversarial_phase_alone_moves_samples_to_the_data() -> None:
    """Of symbols a and b, the data have only a."""
    spec = Spec({"x": Field("tokens", (3,), "int64", ("a", "b"))})
    model = make(spec, discriminator=partial(TextDiscriminator, width=8, representations=2, filters=8, hidden=8, dropout=0.0))
    share = [model.sample(range(200)).float().mean().item()]
    train(model, 40, {"x": torch.zeros(16, 3, dtype=torch.int64)})
    share.append(model.sample(range(200)).float().mean().item())
    assert share[1] < 0.5 * share[0]


def test_the_likelihood_stays_exact_and_the_capabilities_too() -> None:
    model = make(pretraining=24)
    train(model, 4)
    for capability in (Continues, Discriminates, Samples, SymbolLikelihood):
        assert isinstance(model, capability), capability
    nats, symbols = model.nll(BATCH)
    torch.testing.assert_close(model.nll_by_symbol(BATCH)[0].sum(1), nats)
    assert torch.equal(symbols, BATCH["length"])
    logits = model.discriminate(BATCH)
    padding = {**BATCH, "x": torch.where(torch.arange(6) < BATCH["length"][:, None], BATCH["x"], 4)}
    assert logits.shape == (12,)
    assert torch.equal(model.eval().discriminate(padding), model.discriminate(BATCH))


def test_sharding_which_takes_one_optimizer_is_refused() -> None:
    settings: Any = SimpleNamespace(channels_last=False, sync_batchnorm=False)
    place: Any = SimpleNamespace(processes=2, strategy="fsdp")
    with pytest.raises(UserError, match="take trainer=ddp"):
        place_model(make(), settings, place)


def test_sources_and_images_are_refused() -> None:
    with pytest.raises(ValueError, match="it reads no source"):
        make(Spec({**SPEC.fields, "source": SPEC.x}))
    with pytest.raises(ValueError, match="it models texts, not image"):
        make(Spec.of("image", (1, 8, 8)))
