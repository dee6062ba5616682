"""The bound against the likelihood of all texts, what keeps the latent in use, and what a text VAE can do."""

import itertools
from functools import partial
from typing import Any

import pytest
import torch

from src.config.errors import UserError
from src.data.spec import Batch, Field, Spec
from src.data.vocabulary import END, PAD, UNKNOWN
from src.models.capabilities import (
    BoundsLikelihood,
    Continues,
    Encodes,
    Exports,
    Interpolates,
    Reconstructs,
    Samples,
    SymbolLikelihood,
)
from src.models.text_vae import TextVAE
from src.networks.text_vae import TextVAE as Networks
from src.training import rng
from src.training.ema import EMA
from src.training.schedules import cosine

NAMES = (PAD, END, UNKNOWN, "a", "b", "c")
SPEC = Spec({"x": Field("tokens", (6,), "int64", NAMES), "length": Field("length", (), "int64")})


def make(spec: Spec = SPEC, **changes: Any) -> TextVAE:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {
        "network": partial(Networks, z_dim=4, width=16, depth=1, heads=2),
        "optimizer": partial(torch.optim.AdamW, lr=1e-2),
        "ema": partial(EMA, half_life=100),
    }
    return TextVAE(spec, 3, **settings | changes)


def batch_of(*texts: str) -> Batch:
    rows = [[NAMES.index(c) for c in text] + [NAMES.index(END)] for text in texts]
    x = torch.tensor([row + [0] * (6 - len(row)) for row in rows])
    return {"x": x, "length": torch.tensor([len(row) for row in rows])}


def train(model: TextVAE, steps: int, batch: Batch) -> None:
    optimizers = model.configure_optimizers()
    for _ in range(steps):
        model.update([batch], *optimizers)


@pytest.fixture(scope="module")
def trained() -> TextVAE:
    """Of four texts that a latent tells apart."""
    model = make(network=partial(Networks, z_dim=4, width=32, depth=1, heads=2), word_dropout=0.3, free_bits=0.5, ema=None)
    train(model, 120, batch_of(*["aaaa", "bbbb", "cccc", "abcab"] * 6))
    return model


def test_the_tight_bound_lies_between_the_elbo_and_the_likelihood_of_all_texts() -> None:
    """p(x) sums to 1, and so do the probabilities by the bound as K grows. With K = 1 it is the ELBO, which is looser."""
    spec, networks = Spec({"x": Field("tokens", (2,), "int64", tuple("abcd"))}), partial(Networks, z_dim=2, width=8, heads=2)
    x = torch.tensor(list(itertools.product(range(4), repeat=2)))
    tight, loose = (make(spec, likelihood_samples=k, network=networks) for k in (1000, 1))
    for model in (tight, loose):
        with torch.no_grad():
            model.decoder_of().latent.weight.mul_(8)  # type: ignore[union-attr]
    nats, symbols = tight.tight_nll({"x": x})
    assert symbols.tolist() == [2] * 16
    assert (-nats).exp().sum().item() == pytest.approx(1, abs=0.03)
    assert loose.tight_nll({"x": x.repeat(50, 1)})[0].mean() > nats.mean() + 0.05


def test_loss_is_reconstruction_plus_weighted_divergence() -> None:
    batch = batch_of("abc", "b")
    parts = []
    for weight in (0.0, 0.5):
        model = make(kl_weight=lambda seen, weight=weight: weight)
        loss = model.loss(batch).mean().item()
        found = model.scalars() if model._last is not None else {name: float(v) for name, v in model._parts.items()}
        assert loss == pytest.approx(found["loss/reconstruction"] + weight * found["loss/kl"], rel=1e-5)
        parts.append(found)
    assert parts[0]["loss/kl"] == parts[1]["loss/kl"] > 0


def test_the_kl_weight_follows_the_samples_seen() -> None:
    model = make(kl_weight=partial(cosine, initial=0.0, final=1.0, end=40))
    weights = []
    optimizers = model.configure_optimizers()
    for _ in range(6):
        model.update([batch_of(*"abcabcab")], *optimizers)
        weights.append(model.scalars()["kl_weight"])
    assert weights[0] == 0
    assert weights == sorted(weights)
    assert weights[-1] == 1


def test_free_bits_are_not_reduced() -> None:
    """Where every dimension costs less than its free bits, the KL term has no gradient."""
    batch, gradients = batch_of("abc", "b"), []
    for free_bits in (0.0, 1e3):
        model = make(free_bits=free_bits, kl_weight=lambda seen: 1e3)
        model.loss(batch).mean().backward()
        gradients.append(model.learner.encoder.out.bias.grad.abs().max().item())  # type: ignore[union-attr]
    assert gradients[0] > 50 * gradients[1]


def test_word_dropout_hides_symbols_from_the_decoder_alone() -> None:
    x = batch_of("abcab", "ccccc")["x"]
    model = make(word_dropout=0.5)
    read = model.without_words(x)
    unknown = read == NAMES.index(UNKNOWN)
    assert 0 < unknown.sum() < x.numel()
    assert torch.equal(read[~unknown], x[~unknown])
    assert torch.equal(read, model.without_words(x))  # of the same step
    with pytest.raises(ValueError, match=r"has no <unknown> .* model.word_dropout=0"):
        make(Spec({"x": Field("tokens", (6,), "int64", ("a", "b"))}), word_dropout=0.5)


def test_padding_changes_nothing() -> None:
    model, batch = make(), batch_of("abc", "", "ccccc")
    inside = torch.arange(6) < batch["length"][:, None]
    changed = batch | {"x": torch.where(inside, batch["x"], 4)}
    for measure in (model.nll, model.tight_nll):
        nats, symbols = measure(batch)
        assert torch.equal(nats, measure(changed)[0])
        assert symbols.tolist() == [4, 1, 6]
    assert torch.equal(model.loss(batch), model.loss(changed))
    assert torch.equal(model.encode(batch), model.encode(changed))


def test_unknown_symbols_are_read_and_not_scored() -> None:
    model = make()
    x = batch_of("abc")["x"].repeat(2, 1)
    x[1, 1] = NAMES.index(UNKNOWN)
    length = torch.tensor([4, 4])
    nats, symbols = model.nll({"x": x, "length": length})
    assert symbols.tolist() == [4, 3]
    assert nats[0] != nats[1]


def test_a_latent_keeps_what_a_text_says(trained: TextVAE) -> None:
    batch = batch_of("aaaa", "bbbb", "cccc", "abcab")
    z = trained.encode(batch)
    assert z.shape == (4, 4)
    restored = trained.reconstruct(batch)
    assert torch.equal(torch.where(torch.arange(6) < batch["length"][:, None], restored, 0), batch["x"])
    assert torch.equal(trained.decode(z), restored)
    nats = trained.nll(batch)[0]
    wrong, _ = trained.nll(batch_of("aaab", "bbba", "ccca", "abcaa"))
    assert wrong.mean() > nats.mean() + 1


def test_what_it_can_do(trained: TextVAE) -> None:
    for capability in (BoundsLikelihood, Continues, Encodes, Interpolates, Reconstructs, Samples):
        assert isinstance(trained, capability), capability
    assert not isinstance(trained, SymbolLikelihood)
    assert not isinstance(trained, Exports)
    assert trained.bound == "IWAE, K = 100"


def test_samples_depend_on_their_seeds_alone(trained: TextVAE) -> None:
    drawn = trained.sample(range(70))
    assert len(drawn.unique(dim=0)) > 3
    assert torch.equal(trained.sample([69, 3]), drawn[[69, 3]])
    begun = trained.continue_from(torch.tensor([3, 4]), range(5))
    assert (begun[:, :2] == torch.tensor([3, 4])).all()


def test_interpolations_go_from_one_sample_to_another(trained: TextVAE) -> None:
    texts = trained.interpolate(rows=3, steps=5, seed=10)
    assert texts.shape == (3, 5, 6)
    assert torch.equal(texts[:, 0], trained.sample([10, 12, 14]))
    assert torch.equal(texts[1:], trained.interpolate(rows=2, steps=5, seed=12))


def test_classes_are_start_symbols_and_sources_are_refused() -> None:
    classes = Spec({**SPEC.fields, "y": Field("class", (), "int64", ("0", "1"))})
    model, batch = make(classes, conditional=True), batch_of("abc", "b") | {"y": torch.tensor([0, 1])}
    assert model.sample([0, 1], {"y": torch.tensor([1, 1])}).shape == (2, 6)
    assert not torch.equal(model.nll(batch)[0], model.nll(batch | {"y": torch.tensor([1, 1])})[0])
    assert model.reconstruct(batch).shape == (2, 6)
    pairs = Spec({**SPEC.fields, "source": SPEC.x, "source_length": SPEC.fields["length"]})
    with pytest.raises(ValueError, match="it reads no source: take model=gpt"):
        make(pairs)
    with pytest.raises(ValueError, match="it models texts, not image"):
        make(Spec.of("image", (1, 8, 8)))
    with pytest.raises(UserError, match="knows no conditions"):
        make().sample([0], {"y": torch.tensor([1])})
