"""The training rule, against the same algorithm written out plainly, and its promises."""

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn

from src.config.errors import Diverged
from src.data.digits import Digits
from src.data.loader import Blocks, DataModule
from src.data.pixels import from_uint8
from src.models.augment import Translate
from src.models.gan.gan import GAN
from src.models.gan.losses import AdversarialLoss, cross_entropy_discriminator, non_saturating_generator
from src.models.gan.path_length import PathLength
from src.models.gan.regularizers import Penalty, Update, auxiliary_fake, clip_weights, r1
from src.networks.biggan import BigGANDiscriminator, BigGANGenerator
from src.networks.cgan_pd import CGANPDDiscriminator, CGANPDGenerator
from src.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from src.networks.mlp import MLPDiscriminator, MLPGenerator
from src.networks.r3gan import R3GANDiscriminator
from src.networks.stylegan2_discriminator import StyleGAN2Discriminator
from src.networks.transformer import TransformerDiscriminator
from src.training import rng
from src.training.ema import EMA

LOSS = AdversarialLoss(cross_entropy_discriminator, non_saturating_generator)
ADAM = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.99))
DATA = Digits()
BATCH = 16


def make(**changes: Any) -> GAN:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {
        "spec": DATA.spec,
        "seed": 3,
        "generator": partial(MLPGenerator, z_dim=8, widths=[16], batch_norm=True),
        "discriminator": partial(MLPDiscriminator, widths=[16]),
        "loss": LOSS,
        "g_optimizer": ADAM,
        "d_optimizer": ADAM,
    }
    return GAN(**settings | changes)


CONDITIONAL: dict[str, tuple[Any, Any, bool]] = {  # generator, discriminator, whether the latter looks at the class
    "dcgan": (DCGANGenerator, DCGANDiscriminator, False),
    "cdcgan": (DCGANGenerator, partial(DCGANDiscriminator, conditional=True), True),
    "cgan_pd": (CGANPDGenerator, CGANPDDiscriminator, True),
    "biggan": (BigGANGenerator, BigGANDiscriminator, True),
    "r3gan": (DCGANGenerator, partial(R3GANDiscriminator, widths=[8, 8], cardinality=[1, 1], conditional=True), True),
    "stylegan2": (DCGANGenerator, partial(StyleGAN2Discriminator, channel_max=8, conditional=True), True),
    "transformer": (DCGANGenerator, partial(TransformerDiscriminator, width=8, heads=2, conditional=True), True),
    "mlp": (DCGANGenerator, partial(MLPDiscriminator, widths=[8]), False),
}


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_conditional_generator_needs_a_loss_that_looks_at_the_class(name: str) -> None:
    generator, discriminator, reads = CONDITIONAL[name]
    small = {"conditional": True} if generator is DCGANGenerator else {}
    model = make(generator=partial(generator, width=8, **small), discriminator=discriminator)
    before = copy.deepcopy(model.discriminator)
    if reads:
        model.check_parts()
    else:
        with pytest.raises(ValueError, match="ignores classes, so that nothing teaches which is which: take"):
            model.check_parts()
    assert_same(model.discriminator, before)
    assert model.discriminator.training


def test_a_penalty_of_the_generator_may_look_at_the_class() -> None:
    parts = {"generator": partial(DCGANGenerator, width=8, conditional=True), "discriminator": DCGANDiscriminator}
    make(**parts, g_penalties={"classify": Penalty(auxiliary_fake, 1.0)}).check_parts()
    with pytest.raises(ValueError, match="ignores classes"):
        make(**parts, g_penalties={"path_length": Penalty(PathLength(), 1.0)}).check_parts()
    make(discriminator=DCGANDiscriminator).check_parts()


def fit(model: GAN, stop: int, block: int = 1, workers: int = 0) -> GAN:
    data = DataModule(DATA, BATCH, seed=model.seed, workers=workers, stop=stop, block=block)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    return model


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


@pytest.mark.parametrize("d_steps", [1, 3])
def test_algorithm_1_written_out(d_steps: int) -> None:
    """Bitwise: the model's updates are these, and no gradient leaks from one network's loss into the other."""
    model = make(d_steps=d_steps)
    g, d = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
    g_adam, d_adam = ADAM(g.parameters()), ADAM(d.parameters())
    x = DATA.split("train")["x"]
    blocks = iter(Blocks(len(x), BATCH, seed=3, batches_per_update=d_steps))
    for step in range(4):
        for k, index in enumerate(next(blocks)):
            real = from_uint8(torch.from_numpy(x[index]))
            z = torch.randn(BATCH, 8, generator=rng.generator(3, f"latent/{k}", step))
            fake = g(z)
            d_loss = -(torch.sigmoid(d(real)).log() + (1 - torch.sigmoid(d(fake.detach()))).log()).mean()
            d_adam.zero_grad()
            d_loss.backward()
            d_adam.step()
        g_loss = -torch.sigmoid(d(fake)).log().mean()
        g_adam.zero_grad()
        g_loss.backward()
        g_adam.step()
    fit(model, stop=4)
    for ours, plain in ((model.generator, g), (model.discriminator, d)):
        for (name, a), b in zip(ours.state_dict().items(), plain.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_clock() -> None:
    model = fit(make(d_steps=2), stop=5)
    assert (model.step, model.samples_seen) == (5, 5 * 2 * BATCH)


@pytest.mark.parametrize(("block", "workers"), [(1, 2), (3, 0), (7, 2)])
def test_blocks_and_workers_change_no_bit(block: int, workers: int) -> None:
    changes = {
        "discriminator": partial(MLPDiscriminator, widths=[16], dropout=0.3),
        "d_steps": 2,
        "penalties": {"r1": Penalty(r1, 0.1, every=3)},
        "ema": partial(EMA, half_life=100),
    }
    assert_same(fit(make(**changes), stop=7, block=block, workers=workers), fit(make(**changes), stop=7))


def test_lazy_penalty_acts_at_its_steps() -> None:
    """Strong and lazy: the first step has it, the second has not."""
    without, lazy = make(), make(penalties={"r1": Penalty(r1, 100.0, every=50)})
    fit(without, stop=1), fit(lazy, stop=1)
    assert not torch.equal(without.discriminator.layers[1].weight, lazy.discriminator.layers[1].weight)
    late = make(penalties={"r1": Penalty(r1, 100.0, every=50)})
    late.step = 1
    reference = make()
    reference.step = 1
    assert_same(fit(late, stop=3), fit(reference, stop=3))


def test_learning_rates_follow_the_samples_seen() -> None:
    model = make(lr_schedule=lambda images: 1.0 if images < 2 * BATCH else 0.0)
    at_two = copy.deepcopy(fit(model, stop=2).generator)
    fit(model, stop=5)
    for a, b in zip(at_two.parameters(), model.generator.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("network", ["discriminator", "generator"])
def test_a_loss_that_is_not_finite_stops_before_the_update(network: str) -> None:
    def bad(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a * float("nan") if model.step == 3 else a

    model = make(loss=LOSS._replace(**{network: bad}))
    fit(model, stop=3)
    before = copy.deepcopy(getattr(model, network))
    with pytest.raises(Diverged, match=r"^a loss is nan at step 3: training has diverged"):
        fit(model, stop=4)
    for a, b in zip(before.parameters(), getattr(model, network).parameters(), strict=True):
        assert torch.equal(a, b)


def test_scalars() -> None:
    model = fit(make(), stop=1)
    scalars = model.scalars()
    assert set(scalars) == {"loss/discriminator", "loss/generator", "D/real", "D/fake"}
    assert 0 < scalars["D/real"] < 1


def test_the_generator_may_have_penalties_of_its_own() -> None:
    def size(update: Update) -> torch.Tensor:
        assert update.fake.requires_grad
        return update.fake.flatten(1).square().sum(1)

    plain, pulled = fit(make(), stop=1), fit(make(g_penalties={"size": Penalty(size, 10.0)}), stop=1)
    assert_same(plain.discriminator, pulled.discriminator)
    assert not torch.equal(plain.generator.layers[0].weight, pulled.generator.layers[0].weight)


def test_penalties_draw_numbers_of_their_own_that_belong_to_the_step() -> None:
    drawn: list[tuple[str, torch.Tensor]] = []

    def noted(name: str) -> Any:
        def penalty(update: Update) -> torch.Tensor:
            drawn.append((name, update.uniform(3)))
            return update.real_logits * 0

        return Penalty(penalty, 1.0)

    fit(make(penalties={"a": noted("a"), "b": noted("b")}, d_steps=2), stop=2)
    assert [name for name, _ in drawn] == ["a", "b"] * 4
    assert len({tuple(numbers.flatten().tolist()) for _, numbers in drawn}) == 8
    first = drawn[0][1]
    assert first.shape == (BATCH, 3)
    drawn.clear()
    fit(make(penalties={"a": noted("a")}), stop=1)
    assert torch.equal(drawn[0][1], first)


def test_clipped_weights_after_each_update_of_the_discriminator() -> None:
    model = fit(make(constrain=partial(clip_weights, limit=0.01)), stop=2)
    assert max(parameter.abs().max().item() for parameter in model.discriminator.parameters()) <= 0.01
    assert model.generator.layers[0].weight.abs().max() > 0.01


@pytest.mark.parametrize("relativistic", [False, True])
def test_relativistic_losses_see_real_logits_of_the_discriminator_as_it_stands(relativistic: bool) -> None:
    seen: list[torch.Tensor] = []

    def generator(fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        seen.append(real)
        return -fake

    before: list[torch.Tensor] = []

    def discriminator(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        before.append(real.detach().clone())
        return cross_entropy_discriminator(real, fake)

    model = fit(make(loss=AdversarialLoss(discriminator, generator, relativistic)), stop=1)
    assert torch.equal(seen[0], before[0]) is not relativistic
    if relativistic:
        index = next(iter(Blocks(len(DATA.split("train")), BATCH, seed=3)))[0]
        now = model.discriminator(from_uint8(torch.from_numpy(DATA.split("train")["x"][index])))
        torch.testing.assert_close(seen[0], now)
    assert not seen[0].requires_grad


def test_betas_follow_the_samples_seen() -> None:
    model = make(beta2_schedule=lambda images: 0.9 + images / 1000)
    optimizers = model.configure_optimizers()
    model.samples_seen = 50
    model.set_rates(*optimizers)
    assert [group["betas"] for optimizer in optimizers for group in optimizer.param_groups] == [(0.5, pytest.approx(0.95))] * 2


def test_the_augmentation_observes_real_logits_and_speaks_in_the_scalars() -> None:
    class Watching(Translate):
        logits: list[torch.Tensor] = []  # noqa: RUF012

        def observe(self, real_logits: torch.Tensor, images: int) -> None:
            assert not real_logits.requires_grad
            assert images == BATCH
            self.logits.append(real_logits)

        def scalars(self) -> dict[str, float]:
            return {"augment/seen": float(len(self.logits))}

    model = fit(make(augment=Watching(1), d_steps=2), stop=3)
    assert model.scalars()["augment/seen"] == 6


def test_labels_reach_both_networks() -> None:
    seen: list[tuple[str, torch.Tensor]] = []

    class Generator(MLPGenerator):
        classes = 10

        def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
            assert y is not None
            seen.append(("G", y))
            return super().forward(z)

    class Discriminator(MLPDiscriminator):
        def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
            assert y is not None
            seen.append(("D", y))
            return super().forward(x)

    model = make(generator=partial(Generator, z_dim=8), discriminator=Discriminator)
    fit(model, stop=1)
    blocks = next(iter(Blocks(len(DATA.split("train")), BATCH, seed=3)))
    labels = DATA.split("train")["y"]
    assert {name for name, _ in seen} == {"G", "D"}
    for _, y in seen:  # the discriminator may see real and fake in one batch
        assert np.array_equal(y.numpy(), np.resize(labels[blocks[0]], len(y)))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_real_and_fake_share_a_batch_only_where_that_changes_nothing(batch_norm: bool) -> None:
    """A discriminator with batch statistics sees them one after the other."""

    class Discriminator(MLPDiscriminator):
        sizes: list[int] = []  # noqa: RUF012

        def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
            self.sizes.append(len(x))
            return super().forward(x)

    Discriminator.sizes = []
    model = make(discriminator=Discriminator)
    if batch_norm:
        model = make(discriminator=lambda spec: with_batch_norm(Discriminator(spec)))
    fit(model, stop=1)
    assert Discriminator.sizes == ([BATCH] * 3 if batch_norm else [2 * BATCH, BATCH])


def with_batch_norm(network: nn.Module) -> nn.Module:
    network.layers.insert(2, nn.BatchNorm1d(256))  # type: ignore[operator, union-attr]
    return network
