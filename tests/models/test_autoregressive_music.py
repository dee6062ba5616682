"""Autoregressive models of several voices: what counts, what is drawn, and melodies that are harmonised."""

import itertools
from functools import partial
from typing import Any

import pytest
import torch

from src.config.errors import UserError
from src.data.spec import Field, Spec
from src.models.autoregressive import Autoregressive
from src.models.symbols import SAMPLE_BATCH
from src.networks.decoder import decoder
from src.networks.lstm import LSTM
from src.networks.music_decoder import NO_MELODY
from src.training import rng
from tunes import Walks, batch_of

CHORALES, FOLK = Walks(16, voices=3, melody=True), Walks(25, ends=True)


def make(spec: Spec = CHORALES.spec, sharp: float = 1.0, **changes: Any) -> Autoregressive:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {
        "network": partial(decoder, width=16, depth=1, heads=2),
        "optimizer": partial(torch.optim.AdamW, lr=1e-2),
    }
    model = Autoregressive(spec, 0, **settings | changes)
    with torch.no_grad():
        model.learner.embedding.weight.mul_(sharp)
    return model


@pytest.fixture(scope="module")
def trained() -> Autoregressive:
    """Its voices follow the melody at fixed distances."""
    model = make(network=partial(decoder, width=32, depth=1, heads=2))
    batch = batch_of(CHORALES, rows=16)
    model.train_on({name: part.expand(100, *part.shape) for name, part in batch.items()}, model.configure_optimizers())
    return model


@pytest.mark.parametrize("melody", [False, True])
def test_probabilities_of_all_pieces_sum_to_1(melody: bool) -> None:
    """Of two voices and two steps: all 81 pieces or, with a melody, all 9 pieces that have it."""
    names = ("hold", "b", "c")
    fields = {"x": Field("tokens", (2, 2), "int64", names), "melody": Field("tokens", (2,), "int64", names)}
    model = make(Spec(fields if melody else {"x": fields["x"]}), sharp=3)
    x = torch.tensor(list(itertools.product(range(3), repeat=4))).unflatten(1, (2, 2))
    if melody:
        x = x[(x[:, :, 0] == torch.tensor([2, 1])).all(1)]
    batch = {"x": x} | ({"melody": x[:, :, 0]} if melody else {})
    nats, symbols = model.nll(batch)
    assert symbols.tolist() == [2 if melody else 4] * len(x)
    assert (-nats).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_voice_steps_before_the_end_count_and_what_follows_changes_nothing() -> None:
    model, batch = make(FOLK.spec), batch_of(FOLK)
    nats, symbols = model.nll(batch)
    assert torch.equal(symbols, batch["length"])
    by_symbol, counted = model.nll_by_symbol(batch)
    assert by_symbol.shape == counted.shape == batch["x"].shape
    torch.testing.assert_close(by_symbol.sum((1, 2)), nats)
    inside = torch.arange(25) < batch["length"][:, None]
    assert torch.equal(counted[:, :, 0], inside)
    changed = batch | {"x": torch.where(inside[..., None], batch["x"], 5)}
    assert torch.equal(model.nll(changed)[0], nats)
    wider = batch | {"x": torch.nn.functional.pad(batch["x"], (0, 0, 0, 3), value=4)}
    torch.testing.assert_close(model.nll(wider)[0], nats, rtol=0, atol=1e-4)


def test_with_a_melody_the_other_voices_count() -> None:
    model, batch = make(), batch_of(CHORALES)
    for given, voices in ((batch, [False, True, True]), ({"x": batch["x"]}, [True, True, True])):
        nats, symbols = model.nll(given)
        by_symbol, counted = model.nll_by_symbol(given)
        assert counted.all((0, 1)).tolist() == counted.any(1).any(0).tolist() == voices
        assert symbols.tolist() == [16 * sum(voices)] * 8
        torch.testing.assert_close(by_symbol.sum((1, 2)), nats)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_melodies_are_dropped_in_training_alone(share: float) -> None:
    model, batch = make(melody_dropout=share), batch_of(CHORALES)
    nats, symbols = model.nll(batch if share == 0 else {"x": batch["x"]}, weights="raw")
    torch.testing.assert_close(model.loss(batch), nats / symbols)
    half = make(melody_dropout=0.5)
    assert torch.equal(half.loss(batch), half.loss(batch))  # of the same step
    with pytest.raises(ValueError, match="melody_dropout=2"):
        make(melody_dropout=2)


def test_a_melody_tells_and_the_loss_rises_when_melodies_are_shuffled(trained: Autoregressive) -> None:
    batch = batch_of(CHORALES, "test", 16)
    nats, symbols = trained.nll(batch)
    lower = trained.nll_by_symbol({"x": batch["x"]})[0][:, :, 1:].sum((1, 2))
    assert nats.mean() < symbols[0] * 0.3
    # The voices also read the melody in x: only what comes later is told by the condition alone.
    assert trained.nll(batch | {"melody": batch["melody"].roll(1, dims=0)})[0].mean() > nats.mean() + 0.4
    assert lower.mean() < nats.mean() + 20  # one model does both


def test_a_melody_is_kept_and_harmonised(trained: Autoregressive) -> None:
    batch = batch_of(CHORALES, "test", 8)
    x = trained.sample(range(8), {"melody": batch["melody"]})
    assert x.shape == (8, 16, 3)
    assert torch.equal(x[:, :, 0], batch["melody"])
    assert (x == batch["x"]).float().mean() > 0.8
    assert trained.conditions([1, 2])["melody"].eq(NO_MELODY).all()
    free = trained.sample(range(8))
    assert not torch.equal(free[:, :, 0], batch["melody"])
    some = torch.where(torch.arange(8)[:, None] < 4, batch["melody"], NO_MELODY)
    mixed = trained.sample(range(8), {"melody": some})
    assert torch.equal(mixed[:4], x[:4])
    assert torch.equal(mixed[4:], free[4:])


def test_a_sample_depends_on_its_seed_and_melody_alone() -> None:
    model, seeds = make(sharp=2), range(SAMPLE_BATCH + 3)
    melody = batch_of(CHORALES, rows=len(seeds))["melody"]
    x = model.sample(seeds, {"melody": melody})
    assert torch.equal(model.sample([66, 2], {"melody": melody[[66, 2]]}), x[[66, 2]])
    assert len(x.unique(dim=0)) == len(seeds)


def test_a_beginning_is_continued(trained: Autoregressive) -> None:
    sample = trained.sample([7])[0]
    for steps in (1, 5, 15):
        assert torch.equal(trained.continue_from(sample[:steps], [7, 8])[0], sample)
    other = trained.continue_from(batch_of(CHORALES)["x"][0, :4], range(3))
    assert (other[:, :4] == batch_of(CHORALES)["x"][0, :4]).all()
    assert not torch.equal(other[0], sample)


def test_tunes_end_and_are_padded() -> None:
    names, model = FOLK.symbols.names, make(FOLK.spec, sharp=2)
    x = model.sample(range(40))[:, :, 0]
    assert x.shape == (40, 25)
    ended = (x == names.index("<end>")).cumsum(1) - (x == names.index("<end>")).long() > 0
    assert ended.any()
    assert torch.equal(x == names.index("<pad>"), ended)


def test_classes_are_start_symbols_and_an_lstm_reads_music_too() -> None:
    model, batch = make(conditional=True), batch_of(CHORALES)
    assert not torch.equal(model.nll(batch)[0], model.nll(batch | {"y": 1 - batch["y"]})[0])
    assert model.sample([0, 1], {"y": torch.tensor([1, 1])}).shape == (2, 16, 3)
    lstm = make(FOLK.spec, network=partial(LSTM, width=16, depth=1))
    assert lstm.sample([0, 1]).shape == (2, 25, 1)
    assert torch.equal(lstm.nll(batch_of(FOLK))[1], batch_of(FOLK)["length"])


def test_what_cannot_be_drawn() -> None:
    model, batch = make(), batch_of(CHORALES)
    with pytest.raises(UserError, match=r"the melody is \[9\] and samples have 16 steps"):
        model.sample([0], {"melody": torch.zeros(1, 9, dtype=torch.int64)})
    with pytest.raises(UserError, match="symbols outside"):
        model.sample([0], {"melody": torch.full((1, 16), 99)})
    with pytest.raises(UserError, match=r"the prompt is \[4\] and samples are \[16, 3\]"):
        model.continue_from(torch.zeros(4, dtype=torch.int64), [0])
    with pytest.raises(UserError, match="16 steps and samples have 16: shorten it to 15"):
        model.continue_from(batch["x"][0], [0])
    with pytest.raises(UserError, match="the prompt and the melody differ"):
        model.continue_from(batch["x"][0, :4], [0], {"melody": 1 - batch["melody"][:1].clamp(max=1)})
