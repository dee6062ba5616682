"""Against enumerated probabilities, and what samples depend on."""

import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.digits import Digits
from src.data.loader import Blocks
from src.data.spec import Batch, Field, Spec
from src.models.autoregressive import Autoregressive
from src.models.capabilities import Continues, Likelihood, Samples, Unfolds
from src.models.symbols import SAMPLE_BATCH, draw, probabilities
from src.networks.decoder import Decoder, decoder
from src.training import rng
from src.training.ema import EMA


def make(length: int = 8, names: str = "abc", seed: int = 0, sharp: float = 1.0, **changes: Any) -> Autoregressive:
    """A model of random weights; `sharp` scales its logits."""
    rng.seed_layers(seed, -1)
    settings: dict[str, Any] = {
        "spec": Spec({"x": Field("tokens", (length,), "int64", tuple(names))}),
        "seed": seed,
        "network": partial(Decoder, width=16, depth=1, heads=2),
        "optimizer": partial(torch.optim.AdamW, lr=1e-2),
    }
    model = Autoregressive(**settings | changes)
    with torch.no_grad():
        model.learner.norm.weight.mul_(sharp)
    return model


def all_sequences(symbols: int, length: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(symbols), repeat=length)))


def test_probabilities_of_all_sequences_sum_to_1() -> None:
    """p(ab) = p(a) p(b | a), with each factor from a forward pass of its own."""
    model, x = make(length=2, sharp=3), all_sequences(3, 2)
    nats, symbols = model.nll({"x": x})
    assert symbols.tolist() == [2] * 9
    assert math.isclose((-nats).exp().sum().item(), 1, abs_tol=1e-6)
    first = model.learner(x[:, :1])[:, 0].softmax(1)
    second = model.learner(x)[:, 1].softmax(1)
    p = first.gather(1, x[:, :1]) * second.gather(1, x[:, 1:])
    torch.testing.assert_close(nats, -p.squeeze(1).log())
    torch.testing.assert_close(model.loss({"x": x}), nats / 2)


def test_samples_have_the_probabilities_of_the_model() -> None:
    model, x, n = make(length=2, sharp=3), all_sequences(3, 2), 4000
    p = (-model.nll({"x": x})[0]).exp()
    samples = model.sample(range(n))
    share = torch.bincount(samples @ torch.tensor([3, 1]), minlength=9) / n
    assert ((share - p).abs() < 4 * (p * (1 - p) / n).sqrt()).all()
    assert (p.max() - p.min()) > 0.05


def test_what_lies_beyond_the_length_changes_nothing() -> None:
    model = make(sharp=3)
    x, length = torch.randint(3, (4, 8)), torch.tensor([8, 5, 1, 0])
    changed = torch.where(torch.arange(8) < length[:, None], x, (x + 1) % 3)
    nats, symbols = model.nll({"x": x, "length": length})
    assert torch.equal(nats, model.nll({"x": changed, "length": length})[0])
    by_symbol, counted = model.nll_by_symbol({"x": x, "length": length})
    assert torch.equal(counted.sum(1), length)
    assert not by_symbol[~counted].any()
    torch.testing.assert_close(by_symbol.sum(1), nats)
    assert torch.equal(symbols, length)
    assert nats[3] == 0
    assert torch.equal(model.loss({"x": x, "length": length}), model.loss({"x": changed, "length": length}))
    shorter = model.nll({"x": x[1:2, :5]})
    torch.testing.assert_close(nats[1:2], shorter[0])


def test_sample_i_depends_on_seed_i_alone() -> None:
    model = make()
    seeds = range(SAMPLE_BATCH + 3)
    samples = model.sample(seeds)
    assert samples.shape == (len(seeds), 8)
    assert samples.dtype == torch.int64
    assert torch.equal(model.sample([66, 2, 65]), samples[[66, 2, 65]])
    assert len(samples.unique(dim=0)) > SAMPLE_BATCH // 2
    assert model.sample([]).shape == (0, 8)


def test_a_continuation_begins_with_the_prompt_and_goes_on_as_the_sample_did() -> None:
    model = make(sharp=3)
    sample = model.sample([7])[0]
    for size in (1, 4, 7):
        assert torch.equal(model.continue_from(sample[:size], [7, 8])[0], sample)
    other = model.continue_from(torch.tensor([2, 2, 2]), range(5))
    assert (other[:, :3] == 2).all()
    assert other.shape == (5, 8)


def test_temperature_top_k_and_top_p() -> None:
    logits = torch.tensor([[0.5, 0.1, 0.3, 0.1]]).log()
    torch.testing.assert_close(probabilities(logits).float(), logits.exp())
    squared = logits.exp() ** 2
    torch.testing.assert_close(probabilities(logits, temperature=0.5).float(), squared / squared.sum())
    torch.testing.assert_close(probabilities(logits, top_k=2)[0], torch.tensor([0.625, 0, 0.375, 0]).double())
    assert torch.equal(probabilities(logits, top_k=9), probabilities(logits))
    torch.testing.assert_close(probabilities(logits, top_p=0.6)[0], torch.tensor([0.625, 0, 0.375, 0]).double())
    assert probabilities(logits, top_p=0.01)[0].tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(probabilities(logits, top_p=1.0), probabilities(logits))

    model = make(sharp=3)
    greedy = model.sample(range(4), top_k=1)
    assert (greedy == greedy[0]).all()
    assert torch.equal(greedy[0, 1:], model.network()(greedy)[0, 1:].argmax(1))


def test_draws_by_hand() -> None:
    """A symbol without probability is never drawn, not even at the ends."""
    p = torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0], dtype=torch.float64).expand(5, -1)
    u = torch.tensor([0.0, 0.2499, 0.25, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert draw(p, u).tolist() == [1, 1, 3, 3, 3]


def test_training_lowers_the_loss_and_moves_the_average() -> None:
    """abcabc... is certain once its first symbol is known: log 3 / 8 nats per symbol."""
    model = make(ema=partial(EMA, half_life=50))
    optimizers = model.configure_optimizers()
    x = torch.arange(24).reshape(3, 8) + torch.arange(3)[:, None]
    block = (x % 3).repeat(60, 4, 1)  # [K, B, T]
    block = block.reshape(60, -1, 8)
    before = model.nll({"x": x % 3})[0].sum()
    assert model.scalars() == {}
    model.train_on({"x": block}, optimizers)
    assert (model.step, model.samples_seen) == (60, 60 * block.shape[1])
    assert model.scalars()["loss"] < math.log(3) / 8 + 0.1
    nats = model.nll({"x": x % 3})[0]
    assert nats.sum() < before / 3
    assert not torch.equal(nats, model.nll({"x": x % 3}, weights="raw")[0])
    text = model.sample(range(20))
    assert ((text[:, 1:] - text[:, :-1]) % 3 == 1).float().mean() > 0.9


def test_precision_is_that_of_the_model() -> None:
    """float64 stays, and a network in bfloat16 still sums its nats in float32."""
    x = all_sequences(3, 2)
    double, single = make(length=2, sharp=3).double(), make(length=2, sharp=3)
    nats = double.nll({"x": x})[0]
    assert nats.dtype == torch.float64
    torch.testing.assert_close(nats.float(), single.nll({"x": x})[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert single.loss({"x": x}).dtype == torch.float32


def test_capabilities() -> None:
    model = make()
    assert isinstance(model, Samples)
    assert isinstance(model, Likelihood)
    assert isinstance(model, Continues)
    assert model.conditions([1, 2]) == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"top_k": 0}, "top_k=0"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"cond": {"y": torch.zeros(1)}}, "no conditions"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        make().sample([0], **settings)
    assert "\n" not in str(error.value)


def test_prompts_that_cannot_work() -> None:
    with pytest.raises(UserError, match="8 symbols and samples have 8: shorten it to 7"):
        make().continue_from(torch.zeros(8, dtype=torch.int64), [0])
    with pytest.raises(UserError, match=r"outside 0 \.\. 2"):
        make().continue_from(torch.tensor([3]), [0])


def test_data_that_are_no_symbols() -> None:
    with pytest.raises(ValueError, match=r"not points of shape .*: take data=text") as error:
        make(spec=Spec.of("points", (2,)))
    assert "\n" not in str(error.value)


# Class-conditional tokens


def test_each_class_of_tokens_has_its_start_symbol() -> None:
    """Class a says abab..., class b says cccc...: each is certain, given the class."""
    fields = {"x": Field("tokens", (8,), "int64", tuple("abc")), "y": Field("class", (), "int64", ("a", "b"))}
    model = make(spec=Spec(fields), conditional=True)
    x, y = torch.tensor([[0, 1] * 4, [2] * 8]), torch.tensor([0, 1])
    model.train_on({"x": x.repeat(60, 8, 1), "y": y.repeat(60, 8)}, model.configure_optimizers())
    assert model.nll({"x": x, "y": y})[0].max() < 1 < model.nll({"x": x, "y": y.flip(0)})[0].min()
    assert model.conditions([3, 4])["y"].tolist() == [1, 0]
    assert (model.sample(range(6), {"y": torch.ones(6, dtype=torch.int64)}) == 2).float().mean() > 0.9


# Images

DATA = Digits()


def make_images(
    shape: tuple[int, ...] = (1, 8, 8), levels: int = 256, conditional: bool = False, **network: Any
) -> Autoregressive:
    spec = DATA.spec if shape == (1, 8, 8) else Spec({"x": Field("image", shape, "uint8", levels=levels)})
    settings = {"width": 32, "depth": 1, "heads": 2, "hidden": 16, "mixture": 3} | network
    return make(spec=spec, conditional=conditional, network=partial(decoder, **settings))


def fit(model: Autoregressive, stop: int) -> Autoregressive:
    train, optimizers = DATA.split("train"), model.configure_optimizers()
    while model.step < stop:
        for index in Blocks(len(train), 64, seed=0, at=lambda: model.step, stop=stop):
            model.train_on({name: torch.from_numpy(rows) for name, rows in train.batch(index).items()}, optimizers)
    return model


def unseen() -> Batch:
    part = DATA.split("test")
    return DATA.spec.to_model({name: torch.from_numpy(part[name].copy()) for name in ("x", "y")})


@pytest.fixture(scope="module")
def trained() -> Autoregressive:
    return fit(make_images(conditional=True, width=48), stop=150)


@pytest.mark.parametrize("patch", [1, 2])
def test_images_of_two_by_two_pixels_have_the_probabilities_of_the_model(patch: int) -> None:
    model, n = make_images((1, 2, 2), levels=2, patch=patch), 4000
    with torch.no_grad():
        model.learner.out.weight.mul_(4)
    x = (all_sequences(2, 4) * 2.0 - 1).reshape(16, 1, 2, 2)
    nats, pixels = model.nll({"x": x})
    p = (-nats).exp()
    assert pixels.tolist() == [4] * 16
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    assert p.max() - p.min() > 0.05
    torch.testing.assert_close(model.loss({"x": x}), nats / 4)
    samples = model.sample(range(n))
    assert set(samples.unique().tolist()) == {-1, 1}
    share = torch.bincount((samples.flatten(1) > 0).long() @ torch.tensor([8, 4, 2, 1]), minlength=16) / n
    assert ((share - p).abs() < 4 * (p * (1 - p) / n).sqrt()).all()


def test_training_on_digits_and_what_their_class_tells(trained: Autoregressive) -> None:
    batch = unseen()
    nats, pixels = trained.nll(batch)
    assert pixels.tolist() == [64] * len(nats)
    untrained = make_images(conditional=True).nll(batch)[0].mean()
    assert nats.mean() < untrained - 20
    assert trained.nll(batch | {"y": batch["y"].roll(1)})[0].mean() > nats.mean() + 1
    first = {name: rows[:5] for name, rows in batch.items()}
    torch.testing.assert_close(trained.nll(first)[0], nats[:5], rtol=1e-5, atol=1e-3)


def test_an_image_depends_on_its_seed_and_class_alone(trained: Autoregressive) -> None:
    seeds = range(2 * SAMPLE_BATCH + 12)
    samples = trained.sample(seeds)
    assert (samples.shape, samples.dtype) == ((len(seeds), 1, 8, 8), torch.float32)
    assert torch.equal(trained.sample([132, 7]), samples[[132, 7]])
    assert torch.equal(trained.spec.x.to_model(trained.spec.x.to_data(samples)), samples)
    assert len(samples.unique(dim=0)) == len(seeds)
    zeros = trained.sample(seeds, {"y": torch.zeros(len(seeds), dtype=torch.int64)})
    assert torch.equal(zeros[::10], samples[::10])  # the default class is the seed's last digit
    assert not torch.equal(zeros[1], samples[1])
    greedy = trained.sample(range(0, 40, 10), top_k=1)
    assert torch.equal(greedy, greedy[:1].expand_as(greedy))


def test_a_film_ends_with_the_sample(trained: Autoregressive) -> None:
    film = trained.unfold([3, 5], frames=5, temperature=0.8)
    assert film.shape == (5, 2, 1, 8, 8)
    assert (film[0] == 0).all()
    assert torch.equal(film[-1], trained.sample([3, 5], temperature=0.8))
    assert (film[2, :, :, 4:] == 0).all()
    assert torch.equal(film[2, :, :, :4], film[-1, :, :, :4])  # two of the four patches of four by four
    assert isinstance(trained, Unfolds)


def test_what_images_and_tokens_cannot_do(trained: Autoregressive) -> None:
    with pytest.raises(UserError, match="no prompt"):
        trained.continue_from(torch.zeros(3, dtype=torch.int64), [0])
    with pytest.raises(UserError, match="tokens have no film"):
        make().unfold([0], 3)
    with pytest.raises(UserError, match="leave out caption"):
        trained.sample([0], {"caption": torch.zeros(1)})


# Pairs: a source, then x

NAMES = ("<pad>", "<end>", "<unknown>", *"abcd")
PAIRS = Spec(
    {
        "x": Field("tokens", (5,), "int64", NAMES),
        "length": Field("length", (), "int64"),
        "source": Field("tokens", (6,), "int64", NAMES),
        "source_length": Field("length", (), "int64"),
    }
)


def pairs(batch: int = 8) -> Batch:
    """Sources of one to three letters, then the end; x is the first letter as often as the source has letters, then the end."""
    source, x = torch.zeros(batch, 6, dtype=torch.int64), torch.zeros(batch, 5, dtype=torch.int64)
    sizes = 1 + torch.arange(batch) % 3
    for row, size in enumerate(sizes.tolist()):
        letters = 3 + (row + torch.arange(size)) % 4
        source[row, : size + 1] = torch.cat([letters, torch.tensor([1])])
        x[row, : size + 1] = torch.cat([letters[:1].expand(size), torch.tensor([1])])
    return {"x": x, "length": sizes + 1, "source": source, "source_length": sizes + 1}


def padded(batch: Batch, columns: int, value: int = 0) -> Batch:
    wider = {name: torch.nn.functional.pad(batch[name], (0, columns), value=value) for name in ("x", "source")}
    return batch | wider


@pytest.fixture(scope="module")
def answering() -> Autoregressive:
    model, batch = make(spec=PAIRS, conditional=True, network=partial(Decoder, width=32, depth=2, heads=2)), pairs(12)
    model.train_on({name: part.expand(130, *part.shape) for name, part in batch.items()}, model.configure_optimizers())
    return model


def test_columns_of_padding_change_nothing() -> None:
    model, batch = make(spec=PAIRS, sharp=3), pairs()
    nats, symbols = model.nll(batch)
    assert torch.equal(symbols, batch["length"])
    for columns, value in ((1, 0), (3, 4)):
        torch.testing.assert_close(model.nll(padded(batch, columns, value))[0], nats, rtol=0, atol=1e-5)
    other = batch | {"source": torch.where(batch["source"] == 0, 5, batch["source"])}
    assert torch.equal(model.nll(other)[0], nats)
    with torch.no_grad():
        torch.testing.assert_close(model.loss(padded(batch, 2)), model.loss(batch), rtol=0, atol=1e-6)
    alone = model.nll({name: part[2:3] for name, part in batch.items()})[0]
    torch.testing.assert_close(alone, nats[2:3], rtol=0, atol=1e-5)


def test_only_x_is_counted_and_each_symbol_of_a_batch_has_one_weight() -> None:
    model, batch = make(spec=PAIRS), pairs()
    nats, symbols = model.nll(batch, weights="raw")
    torch.testing.assert_close(model.loss(batch).mean(), nats.sum() / symbols.sum())


def test_a_source_is_read_in_its_order_and_from_its_beginning() -> None:
    model, batch = make(spec=PAIRS, sharp=3), pairs()
    changed = batch["source"].clone()
    changed[2, 0] = 6 - changed[2, 0] + 3
    moved = model.nll(batch | {"source": changed})[0] != model.nll(batch)[0]
    assert moved.tolist() == [row == 2 for row in range(8)]
    swapped = batch["source"].clone()
    swapped[2, :2] = swapped[2, :2].flip(0)
    assert model.nll(batch | {"source": swapped})[0][2] != model.nll(batch)[0][2]


def test_sources_tell_and_the_loss_rises_when_they_are_shuffled(answering: Autoregressive) -> None:
    batch = pairs(12)
    nats = answering.nll(batch)[0]
    assert nats.max() < 0.5
    shuffled = batch | {name: batch[name].roll(1, dims=0) for name in ("source", "source_length")}
    assert answering.nll(shuffled)[0].mean() > nats.mean() + 1
    cond = {name: batch[name] for name in ("source", "source_length")}
    assert torch.equal(answering.sample(range(12), cond), batch["x"])


def test_an_answer_depends_on_its_seed_prompt_and_source_alone() -> None:
    model, batch = make(spec=PAIRS, sharp=2), pairs(70)
    cond = {name: batch[name] for name in ("source", "source_length")}
    samples = model.sample(range(70), cond)
    for rows in ([3], [68, 0, 5]):
        some = {name: part[rows] for name, part in cond.items()}
        assert torch.equal(model.sample(rows, some), samples[rows])
        cut = some | {"source": some["source"][:, : int(some["source_length"].max())]}
        assert torch.equal(model.sample(rows, cut), samples[rows])
    assert not torch.equal(model.sample(range(70), {name: part.roll(1, dims=0) for name, part in cond.items()}), samples)
    prompt = torch.tensor([4, 5])
    continued = model.continue_from(prompt, range(70), cond)
    assert (continued[:, :2] == prompt).all()
    assert torch.equal(model.continue_from(prompt, [9], {name: part[9:10] for name, part in cond.items()})[0], continued[9])
    assert model.sample([1, 2]).shape == (2, 5)  # empty sources


def test_cached_keys_of_a_source_give_the_logits_of_the_whole() -> None:
    model, batch = make(spec=PAIRS, sharp=3), pairs()
    network, x = model.learner, batch["x"]
    assert isinstance(network, Decoder)
    cond = {name: batch[name] for name in ("source", "source_length")}
    cache = network.cache(8, 5, **cond)
    steps = [network.step(symbol, cache) for symbol in [network.start(8), *x[:, :-1].split(1, dim=1)]]
    torch.testing.assert_close(torch.stack(steps, dim=1), network(x, **cond).detach(), rtol=0, atol=1e-5)


def test_sources_that_cannot_be_read() -> None:
    with pytest.raises(UserError, match="the source has 7 symbols and those of the data 6"):
        make(spec=PAIRS).sample([0], {"source": torch.zeros(1, 7, dtype=torch.int64), "source_length": torch.tensor([7])})
    fields = {**PAIRS.fields, "source": Field("tokens", (6,), "int64", ("a", "b"))}
    with pytest.raises(ValueError, match="the vocabulary of source is not that of x"):
        make(spec=Spec(fields))
