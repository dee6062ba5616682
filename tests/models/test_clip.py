"""Both losses against their definitions, over one process and over two, in chunks and whole, and what is learned."""

from functools import partial
from typing import Any

import pytest
import torch
from thread_ranks import on_two_ranks
from torch import Tensor
from torch.nn.functional import normalize
from torch.optim import Optimizer

from pictures import CaptionedShapes, batch_of
from src.config.errors import UserError
from src.data.loader import Blocks, Rows
from src.data.spec import Batch, Field, Spec
from src.data.vocabulary import PAD, UNKNOWN
from src.evaluation.retrieval import RetrievalSuite
from src.models.augment import Mirror, Translate
from src.models.capabilities import EmbedsFields, Samples
from src.models.clip import Clip, Match, Sigmoid, Softmax
from src.networks.encoder import ConvEncoder
from src.networks.towers import Towers
from src.networks.word_encoder import WordEncoder
from src.training import rng
from src.training.ema import EMA

DATA = CaptionedShapes()
PICTURES = partial(ConvEncoder, widths=[8, 16], head=[])
CAPTIONS = partial(WordEncoder, width=16, depth=1, heads=2, dropout=0.0)
TOWERS = {"x": PICTURES, "caption": CAPTIONS}
LOSSES = [Softmax, Sigmoid]


def make(spec: Spec = DATA.spec, towers: Any = TOWERS, **changes: Any) -> Clip:
    rng.seed_layers(0, -1)
    settings: dict[str, Any] = {
        "spec": spec,
        "seed": 3,
        "network": partial(Towers, towers=towers, width=8),
        "match": Softmax,
        "optimizer": partial(torch.optim.Adam, lr=3e-3),
        "augment": {"x": [Mirror(), Translate(1, fill=1.0)]},
        "word_dropout": 0.2,
        "ema": partial(EMA, half_life=500),
    }
    return Clip(**settings | changes)


def units(n: int, seed: int) -> Tensor:
    return normalize(torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


def test_softmax_by_its_definition() -> None:
    """Radford et al. 2021, figure 3: the mean of the two cross entropies is the mean of our values."""
    u, v, match = units(5, seed=0), units(5, seed=1), Softmax(temperature=0.5)
    p = torch.exp(u @ v.T / 0.5)
    expected = [-(torch.log(p[i, i] / p[i].sum()) + torch.log(p[i, i] / p[:, i].sum())).item() / 2 for i in range(5)]
    assert match(u, v).tolist() == pytest.approx(expected, rel=1e-6)


def test_sigmoid_by_its_definition() -> None:
    """Zhai et al. 2023, algorithm 1: a sum over all pairs, divided by the number of samples."""
    u, v, match = units(5, seed=0), units(5, seed=1), Sigmoid(scale=3.0, bias=-2.0)
    expected = [
        -sum(torch.log(torch.sigmoid((1 if i == j else -1) * (3 * u[i] @ v[j] - 2))).item() for j in range(5)) for i in range(5)
    ]
    assert match(u, v).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_loss_is_small_for_pairs_and_large_for_other_pairs(kind: type[Match]) -> None:
    u, match = torch.eye(4), kind(10.0) if kind is Sigmoid else kind(0.1)
    assert match(u, u).mean() < match(u, u.roll(1, 0)).mean() - 2


@pytest.mark.parametrize("kind", LOSSES)
def test_the_scale_is_learned_and_bounded(kind: type[Match]) -> None:
    match = kind(0.1 if kind is Softmax else 10.0)
    assert match.scale.item() == pytest.approx(10.0)
    match(units(4, 0), units(4, 1)).mean().backward()
    assert all(parameter.grad is not None and parameter.grad != 0 for parameter in match.parameters())
    with torch.no_grad():
        match.log_scale += 100
    assert match.scale.item() == pytest.approx(100.0)


@pytest.mark.parametrize("kind", LOSSES)
def test_two_ranks_and_chunks_are_one_batch(kind: type[Match], monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses, and weights after three updates, in float64: whole, in chunks of 3, and on two ranks in chunks of 3."""
    batch = {name: part.double() if part.is_floating_point() else part for name, part in batch_of(DATA).items()}
    start = make(match=kind).double().state_dict()

    def learn(rows: slice, chunk: int | None) -> tuple[Tensor, dict[str, Tensor]]:
        mine = make(match=kind, chunk=chunk).double()
        mine.load_state_dict(start)
        optimizers: list[Optimizer] = mine.configure_optimizers()
        part = {name: values[rows] for name, values in batch.items()}
        loss = mine.loss(part).detach()
        for _ in range(3):
            mine.update([part], *optimizers)
        return loss, mine.state_dict()

    loss, weights = learn(slice(None), None)
    in_chunks = learn(slice(None), 3)
    halves = on_two_ranks(lambda rank: learn(slice(4 * rank, 4 * rank + 4), 3), monkeypatch)
    assert not torch.equal(weights["learner.towers.projections.x.weight"], start["learner.towers.projections.x.weight"])
    torch.testing.assert_close(in_chunks[0], loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat([half[0] for half in halves]), loss, rtol=1e-12, atol=1e-12)
    for _, state in (in_chunks, *halves):
        for name, tensor in weights.items():
            torch.testing.assert_close(state[name], tensor, rtol=1e-9, atol=1e-9, msg=name)


def test_chunks_draw_their_dropout_masks_again_in_the_backward_pass() -> None:
    """A gradient with the forward pass's masks is that of the loss: it predicts how a small step changes it."""
    model = make(towers={"x": PICTURES, "caption": partial(CAPTIONS, dropout=0.5)}, chunk=3).double()
    batch = {name: part.double() if part.is_floating_point() else part for name, part in batch_of(DATA).items()}
    weights = [parameter for parameter in model.learner.parameters() if parameter.requires_grad]

    def loss() -> Tensor:
        rng.seed_layers(0, 0)
        return model.loss(batch).mean()

    gradients = torch.autograd.grad(loss(), weights)
    before, step = loss().item(), 1e-7
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= step * gradient
    expected = step * sum(gradient.square().sum().item() for gradient in gradients)
    assert before - loss().item() == pytest.approx(expected, rel=1e-3)


def test_any_field_may_be_a_third_modality() -> None:
    spec = Spec({**DATA.spec.fields, "drawing": Field("image", (1, 16, 16), "uint8")})
    model = make(spec, {**TOWERS, "drawing": PICTURES})
    batch: Batch = {**batch_of(DATA), "drawing": batch_of(DATA)["x"][:, :1]}
    assert model.fields == ("x", "caption", "drawing")
    assert model.loss(batch).shape == (8,)
    assert model.embed_field("drawing", batch["drawing"]).shape == (8, 8)


def test_embeddings_are_unit_vectors_and_nothing_is_drawn() -> None:
    model, batch = make(), batch_of(DATA)
    assert isinstance(model, EmbedsFields)
    assert not isinstance(model, Samples)
    for field in ("x", "caption"):
        u = model.embed_field(field, batch[field])
        torch.testing.assert_close(u.norm(dim=1), torch.ones(8))
        assert not u.requires_grad


def test_views_belong_to_the_step() -> None:
    model, x = make(), batch_of(DATA)["x"]
    first = model.view("x", x)
    assert torch.equal(first, model.view("x", x))
    model.step = 1
    assert not torch.equal(first, model.view("x", x))
    plain = make(augment=None, word_dropout=0.0)
    assert torch.equal(plain.view("x", x), x)


def test_dropped_words_are_unknown_ones_and_padding_stays() -> None:
    tokens, names = batch_of(DATA, rows=32)["caption"], DATA.words.names
    assert torch.equal(make(word_dropout=0.0).view("caption", tokens), tokens)
    dropped = make(word_dropout=0.5).view("caption", tokens)
    changed = dropped != tokens
    assert (dropped[changed] == names.index(UNKNOWN)).all()
    assert changed[tokens != names.index(PAD)].float().mean().item() == pytest.approx(0.5, abs=0.15)
    assert not changed[tokens == names.index(PAD)].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"towers": {"x": PICTURES}}, "needs two fields or more"),
        ({"towers": {"x": PICTURES, "melody": CAPTIONS}}, "the data have no melody, only x, caption, y"),
        ({"towers": {"x": CAPTIONS, "caption": CAPTIONS}}, "this encoder is for texts and the data are image"),
        ({"augment": {"y": []}}, "model.augment= has y, but the towers are of x, caption"),
        ({"chunk": 0}, "must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_one_sample_has_nothing_to_be_told_from() -> None:
    with pytest.raises(UserError, match=r"raise data\.batch_size to at least 2"):
        make().loss(batch_of(DATA, rows=1))


@pytest.mark.parametrize("kind", LOSSES)
def test_it_learns_in_seconds(kind: type[Match]) -> None:
    """Among 32 pictures of six captions."""
    model, train = make(match=kind), DATA.split("train")
    optimizers = model.configure_optimizers()
    suite = RetrievalSuite()
    before = suite.validate(model, DATA)
    while model.step < 60:
        for index in Blocks(len(train), 32, seed=3, at=lambda: model.step, stop=60, size=5):
            model.train_on(Rows(train)[index], optimizers)
    assert suite.validate(model, DATA) > max(0.6, before + 0.2)
