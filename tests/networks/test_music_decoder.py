import pytest
import torch

from src.data.spec import Field, Spec
from src.networks.decoder import Decoder, decoder
from src.networks.music_decoder import NO_MELODY, PERIOD, MusicDecoder
from tunes import Walks, batch_of

CHORALES = Walks(8, voices=4, melody=True)
SMALL = {"width": 16, "depth": 2, "heads": 2}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_the_kind_of_data_chooses_the_decoder() -> None:
    assert isinstance(decoder(CHORALES.spec, **SMALL), MusicDecoder)
    assert type(decoder(Spec({"x": Field("tokens", (12,), "int64", tuple("abc"))}), **SMALL)) is Decoder
    assert Walks().spec.shape == (32, 1)
    assert decoder(Walks().spec, **SMALL).conditions == ()


def test_logits_depend_on_earlier_symbols_alone() -> None:
    network, x = MusicDecoder(CHORALES.spec, **SMALL), batch_of(CHORALES, rows=2)["x"].flatten(1)
    logits = network(x)
    for place in (0, 5, 30, 31):
        changed = x.clone()
        changed[:, place] = (changed[:, place] + 1) % 5
        assert (network(changed) != logits).any(dim=2).any(dim=0).tolist() == [other > place for other in range(32)]


def test_a_melody_is_heard_from_its_beginning_to_its_end_and_by_its_own_sample() -> None:
    network, batch = MusicDecoder(CHORALES.spec, **SMALL), batch_of(CHORALES, rows=2)
    x, melody = batch["x"].flatten(1), batch["melody"]
    logits, changed = network(x, melody=melody), melody.clone()
    changed[0, 7] = 5
    moved = (network(x, melody=changed) != logits).any(dim=2)
    assert moved[0].all()
    assert not moved[1].any()
    none = torch.full_like(melody, NO_MELODY)
    assert torch.equal(network(x, melody=none), network(x))
    assert not torch.equal(network(x), logits)


def test_steps_give_the_logits_of_the_whole() -> None:
    network, batch = MusicDecoder(CHORALES.spec, **SMALL), batch_of(CHORALES, rows=3)
    x = batch["x"].flatten(1)
    for melody in (None, batch["melody"]):
        cache = network.cache(3, 32, melody=melody)
        steps = [network.step(token, cache) for token in [network.start(3), *x[:, :-1].split(1, dim=1)]]
        torch.testing.assert_close(torch.stack(steps, dim=1), network(x, melody=melody).detach(), rtol=0, atol=1e-5)


def test_places_repeat_after_three_bars_and_no_weight_depends_on_the_length() -> None:
    network = MusicDecoder(Walks(32, voices=2).spec, **SMALL)
    added = network.surroundings(1, 4 * PERIOD, None)[0]
    assert torch.equal(added[: 2 * PERIOD], added[2 * PERIOD :])
    assert len(added[: 2 * PERIOD].unique(dim=0)) == 2 * PERIOD
    x = torch.zeros(1, 200, dtype=torch.int64)
    torch.testing.assert_close(network(x)[:, :64], network(x[:, :64]), rtol=0, atol=1e-5)


def test_a_melody_of_other_symbols_is_refused() -> None:
    spec = Spec({**CHORALES.spec.fields, "melody": Field("tokens", (8,), "int64", ("a", "b"))})
    with pytest.raises(ValueError, match="the symbols of melody are not those of x"):
        MusicDecoder(spec, **SMALL)


def test_held_symbols_are_the_last_ones_that_began() -> None:
    network, x = MusicDecoder(CHORALES.spec, **SMALL), batch_of(CHORALES, rows=2)["x"].flatten(1)
    expected = torch.full((*x.shape, 4), network.hold)
    for place in range(1, x.shape[1]):
        expected[:, place] = expected[:, place - 1]
        symbol, voice = x[:, place - 1], (place - 1) % 4
        expected[:, place, voice] = torch.where(symbol == network.hold, expected[:, place, voice], symbol)
    assert torch.equal(network.held(x), expected)
