"""What the latent of a music VAE keeps, and how music is changed by it."""

from functools import partial
from typing import Any

import pytest
import torch

from src.config.errors import UserError
from src.data.music.attributes import attribute
from src.models.capabilities import BoundsLikelihood, Continues, Encodes, Interpolates, InterpolatesBetween, Reconstructs
from src.models.music_vae import MusicVAE
from src.networks.music_vae import MusicVAE as Networks
from src.training import rng
from tunes import Walks, batch_of

DATA = Walks(32)


def make(data: Walks = DATA, **changes: Any) -> MusicVAE:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {
        "network": partial(Networks, z_dim=8, width=24),
        "optimizer": partial(torch.optim.AdamW, lr=1e-2),
    }
    return MusicVAE(data.spec, 3, **settings | changes)


TUNES = Walks(16)


@pytest.fixture(scope="module")
def trained() -> MusicVAE:
    """Of eight tunes of two bars of 2/4, that a latent tells apart."""
    network, optimizer = partial(Networks, z_dim=8, width=32, metre="2/4"), partial(torch.optim.AdamW, lr=3e-3)
    model, batch = make(TUNES, network=network, optimizer=optimizer, free_bits=1.0), batch_of(TUNES)
    model.train_on({"x": batch["x"].repeat(2, 1, 1).expand(120, 16, 16, 1)}, model.configure_optimizers())
    return model


def test_symbols_depend_on_earlier_ones_of_their_bar_on_one_before_it_and_on_the_latent() -> None:
    model, batch = make(), batch_of(DATA, rows=2)
    decoder, x, z = model.decoder_of("raw"), batch["x"].flatten(1), torch.randn(2, 8)
    logits = decoder(x, z=z)
    for place in (3, 15, 20):
        changed = x.clone()
        changed[:, place] = (changed[:, place] + 1) % 5
        moved = (decoder(changed, z=z) != logits).any(dim=2).any(dim=0)
        end = 32 if place > 14 else 16
        assert moved.tolist() == [place < other < end for other in range(32)]
    assert (decoder(x, z=z + 0.1) != logits).any(2).all()


@pytest.mark.parametrize("settings", [{}, {"bars": 2}, {"metre": "2/4"}])
@pytest.mark.parametrize("voices", [1, 2])
def test_steps_give_the_logits_of_the_whole(settings: dict[str, Any], voices: int) -> None:
    data = Walks(32, voices=voices)
    model, x, z = make(data, network=partial(Networks, z_dim=8, width=16, **settings)), batch_of(data)["x"], torch.randn(8, 8)
    decoder = model.decoder_of("raw")
    cache = decoder.cache(8, 32 * voices, z=z)
    steps = [decoder.step(token, cache) for token in [decoder.start(8), *x.flatten(1)[:, :-1].split(1, dim=1)]]
    torch.testing.assert_close(torch.stack(steps, dim=1), decoder(x.flatten(1), z=z).detach(), rtol=0, atol=1e-5)
    nats, symbols = model.nll({"x": x})
    assert symbols.tolist() == [32 * voices] * 8
    assert torch.isfinite(nats).all()


def test_a_latent_keeps_what_music_says(trained: MusicVAE) -> None:
    batch = batch_of(TUNES)
    restored = trained.reconstruct(batch)
    assert restored.shape == batch["x"].shape
    assert torch.equal(restored, batch["x"])
    assert not torch.equal(trained.decode(trained.encode(batch).roll(1, dims=0)), batch["x"])
    assert trained.scalars()["loss/kl"] > 2  # log 8 tells the tunes apart
    assert trained.tight_nll(batch)[0].mean() < trained.nll(batch)[0].mean()


def test_what_it_can_do(trained: MusicVAE) -> None:
    for capability in (BoundsLikelihood, Continues, Encodes, Interpolates, InterpolatesBetween, Reconstructs):
        assert isinstance(trained, capability), capability
    assert trained.sample(range(3)).shape == (3, 16, 1)
    assert torch.equal(trained.sample([2]), trained.sample(range(3))[2:])
    x = batch_of(TUNES)["x"][0, :10]
    assert torch.equal(trained.continue_from(x, [0, 1])[:, :10], x.expand(2, -1, -1))
    assert trained.interpolate(2, 3, 0).shape == (2, 3, 16, 1)


def test_music_between_two_pieces(trained: MusicVAE) -> None:
    x = batch_of(TUNES)["x"]
    path = trained.interpolate_between(x[0], x[1], 7)
    assert path.shape == (7, 16, 1)
    assert torch.equal(path[[0, -1]], x[:2])
    away = [(piece != x[0]).sum().item() for piece in path]
    assert away == sorted(away)
    assert away[-1] > 0
    drawn = trained.interpolate_between(x[0].numpy(), x[1].numpy(), 3, seed=5, temperature=0.5)
    assert drawn.shape == (3, 16, 1)
    assert trained.interpolate_between(x[0], x[0], 3).unique(dim=0).shape[0] == 1


def test_attribute_vectors(trained: MusicVAE) -> None:
    data, names = batch_of(TUNES), TUNES.symbols.names
    has, lacks = (torch.from_numpy(part) for part in attribute("height", data["x"].numpy(), names))
    vector = trained.attribute_vector(data["x"], has, lacks)
    assert vector.shape == (8,)
    low, high = {"x": data["x"][lacks]}, {"x": data["x"][has]}

    def height(x: torch.Tensor) -> float:
        return torch.from_numpy(TUNES.symbols.pitches)[x][x > 1].float().mean().item()

    assert height(trained.with_attribute(low, vector)) > height(low["x"]) + 1
    assert height(trained.with_attribute(high, vector, -1.0)) < height(high["x"]) - 1
    assert torch.equal(trained.with_attribute(low, vector, 0.0), trained.reconstruct(low))
    with pytest.raises(UserError, match="pieces that have the attribute and pieces that lack it"):
        trained.attribute_vector(data["x"], has, torch.zeros(8, dtype=torch.bool))


def test_a_class_is_a_start_symbol() -> None:
    model, batch = make(conditional=True), batch_of(DATA)
    assert not torch.equal(model.nll(batch)[0], model.nll(batch | {"y": 1 - batch["y"]})[0])
    assert model.reconstruct(batch).shape == batch["x"].shape


def test_data_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"take data.bars=2 or data.bars=16"):
        make(Walks(33, ends=True))
    with pytest.raises(ValueError, match="it models music, not roll"):
        make(Walks(32, roll=True))
    with pytest.raises(ValueError, match="40 steps have no whole number of parts of 16"):
        make(Walks(40))
