"""Penalties against values worked out by hand, in float64: D(x) = x1^2 + 3 x2 has the gradient (2 x1, 3)."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.models.gan.regularizers import (
    LeCam,
    Penalty,
    Update,
    auxiliary_fake,
    auxiliary_real,
    clip_weights,
    dragan,
    matching_aware,
    mismatched,
    r1,
    r1_r2,
    r2,
    wgan_gp,
    zero_centred,
)

REAL = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
FAKE = torch.tensor([[0.0, 5.0], [-1.0, 0.0]], dtype=torch.float64)


class Quadratic(nn.Module):
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x[:, 0] ** 2 + 3 * x[:, 1]


class Linear(nn.Module):
    """D(x) = w x, whose gradient is w everywhere."""

    def __init__(self, *weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x.flatten(1) @ self.weight

    def classify(self, x: Tensor) -> Tensor:
        """Class 1 with log-odds x1."""
        return torch.stack([torch.zeros_like(x[:, 0]), x[:, 0]], dim=1)


def update(discriminator: nn.Module | None = None, **changes: Any) -> Update:
    made: dict[str, Any] = {
        "generator": nn.Identity(),
        "discriminator": discriminator or Quadratic(),
        "z": torch.zeros(2, 1),
        "y": None,
        "real": REAL,
        "fake": FAKE,
        "real_logits": torch.tensor([1.0, 3.0], dtype=torch.float64),
        "fake_logits": torch.tensor([-2.0, 0.0], dtype=torch.float64),
        "uniform": lambda size: torch.full((2, size), 0.25, dtype=torch.float64),
    }
    return Update(**made | changes)


def test_r1_by_hand() -> None:
    assert r1(update()).tolist() == pytest.approx([(4 + 9) / 2, (36 + 9) / 2])


def test_r2_by_hand() -> None:
    assert r2(update()).tolist() == pytest.approx([(0 + 9) / 2, (4 + 9) / 2])


def test_r1_and_r2_look_at_their_own_images_sample_by_sample() -> None:
    assert torch.equal(r1(update(fake=FAKE + 100)), r1(update()))
    assert torch.equal(r2(update(real=REAL + 100)), r2(update()))
    assert torch.equal(r1(update(real=REAL.flip(0))), r1(update()).flip(0))


@pytest.mark.parametrize(("dtype", "graph"), [(torch.float64, True), (torch.float64, False), (torch.float16, True)])
def test_both_at_once_are_both(dtype: torch.dtype, graph: bool) -> None:
    """From the loss's logits, or where those are of no use from others; and so is what they teach."""
    found = []
    for function in (r1_r2, lambda made: r1(made) + r2(made)):
        discriminator = Bent()
        real, fake = REAL.clone().requires_grad_(graph), FAKE.clone().requires_grad_(graph)
        logits = {"real_logits": discriminator(real).to(dtype), "fake_logits": discriminator(fake).to(dtype)}
        values = function(update(discriminator, real=real, fake=fake, **logits))
        (values.mean() + logits["fake_logits"].double().mean()).backward(inputs=[discriminator.weight])
        found.append((values.detach(), discriminator.weight.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=0)
    assert found[0][0].shape == (2,)


class Bent(Linear):
    """D(x) = tanh(w x)."""

    def __init__(self) -> None:
        super().__init__(0.3, -0.2)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(x).tanh()


def test_between_is_a_point_for_each_pair() -> None:
    """x1 = 1/4 real + 3/4 fake with epsilon 1/4 for the first pair, and the real image itself with 1 for the second."""
    epsilon = torch.tensor([[0.25], [1.0]], dtype=torch.float64)
    found = update(uniform=lambda size: epsilon)
    squares = [4 * 0.25**2 + 9, 36 + 9]
    assert zero_centred(found).tolist() == pytest.approx(squares)
    assert wgan_gp(found).tolist() == pytest.approx([(math.sqrt(square) - 1) ** 2 for square in squares])


def test_dragan_by_hand() -> None:
    """The deviation of 1, 2, 3, -1 is sqrt(35) / 4; u = 1/4 is -1/2 of it, times the strength."""
    deviation = math.sqrt(35) / 4
    moved = [x1 - 0.5 * 0.3 * deviation for x1 in (1.0, 3.0)]
    expected = [(math.sqrt(4 * x1**2 + 9) - 1) ** 2 for x1 in moved]
    assert dragan(update(), strength=0.3).tolist() == pytest.approx(expected)


def test_images_of_any_shape() -> None:
    images = {"real": torch.rand(2, 3, 2, 2).double(), "fake": torch.rand(2, 3, 2, 2).double()}
    numbers = {"uniform": lambda size: torch.rand(2, size, dtype=torch.float64)}
    for function, value in ((r1, 24.0), (r2, 24.0), (zero_centred, 48.0), (wgan_gp, (math.sqrt(48) - 1) ** 2)):
        found = function(update(Linear(*[2.0] * 12), **images, **numbers))
        assert found.tolist() == pytest.approx([value] * 2)
    assert dragan(update(Linear(*[2.0] * 12), **images, **numbers)).tolist() == pytest.approx([(math.sqrt(48) - 1) ** 2] * 2)


@pytest.mark.parametrize(
    ("function", "gradient"),
    [
        (r1, [3.0, 4.0]),  # d(|w|^2 / 2) = w
        (r2, [3.0, 4.0]),
        (zero_centred, [6.0, 8.0]),
        (wgan_gp, [2 * 4 * 3 / 5, 2 * 4 * 4 / 5]),  # d(|w| - 1)^2 = 2 (|w| - 1) w / |w|
        (dragan, [2 * 4 * 3 / 5, 2 * 4 * 4 / 5]),
    ],
)
def test_they_train_the_discriminator(function: Any, gradient: list[float]) -> None:
    discriminator = Linear(3.0, 4.0)
    function(update(discriminator)).mean().backward()
    assert discriminator.weight.grad is not None
    assert discriminator.weight.grad.tolist() == pytest.approx(gradient)


def test_a_flat_discriminator_is_no_division_by_zero() -> None:
    discriminator = Linear(0.0, 0.0)
    wgan_gp(update(discriminator)).mean().backward()
    assert discriminator.weight.grad is not None
    assert discriminator.weight.grad.tolist() == [0.0, 0.0]


def test_auxiliary_classifier_by_hand() -> None:
    """Class 1 with p = sigmoid(x1): real x1 are 1 and 3, fake ones 0 and -1."""
    found = update(Linear(0.0, 0.0), y=torch.tensor([1, 0]))
    assert auxiliary_real(found).tolist() == pytest.approx([math.log(1 + math.exp(-1)), math.log(1 + math.exp(3))])
    assert auxiliary_fake(found).tolist() == pytest.approx([math.log(2), math.log(1 + math.exp(-1))])


def test_auxiliary_classifier_of_fakes_in_half_precision() -> None:
    """As a generator makes them under autocast, which penalties switch off."""
    found = update(Linear(0.0, 0.0).float(), y=torch.tensor([1, 0]), fake=FAKE.bfloat16())
    assert auxiliary_fake(found).dtype == torch.float32


def test_auxiliary_classifier_needs_labels_and_a_head() -> None:
    with pytest.raises(ValueError, match="has no labels"):
        auxiliary_real(update(Linear(0.0, 0.0)))
    with pytest.raises(ValueError, match="has no auxiliary classifier"):
        auxiliary_real(update(y=torch.tensor([1, 0])))


def test_lecam_by_hand() -> None:
    """Means of 2 and -1, half of the way there at the first use: 1 and -0.5; then 1.5 and -0.75."""
    lecam = LeCam(decay=0.5)
    assert lecam(update()).tolist() == pytest.approx([1.5**2 + 3**2, 3.5**2 + 1])
    assert lecam(update()).tolist() == pytest.approx([1.75**2 + 3.5**2, 3.75**2 + 1.5**2])
    assert lecam.state_dict()["means"].tolist() == pytest.approx([1.5, -0.75])


def test_lecam_remembers_through_a_checkpoint() -> None:
    trained, loaded = Penalty(LeCam(), 1.0), Penalty(LeCam(), 1.0)
    trained(update())
    loaded.load_state_dict(trained.state_dict())
    assert loaded(update()).item() == trained(update()).item()


def test_a_lazy_penalty_has_the_same_mean_strength() -> None:
    plain = Penalty(r1, weight=0.5)(update())
    assert plain.item() == pytest.approx(0.5 * (6.5 + 22.5) / 2)
    assert Penalty(r1, weight=0.5, every=16)(update()).item() == pytest.approx(16 * plain.item())


def test_a_weight_may_follow_the_samples_seen() -> None:
    penalty = Penalty(r1, weight=lambda images: images / 100)
    assert penalty(update(samples_seen=50)).item() == pytest.approx(0.5 * (6.5 + 22.5) / 2)


def test_in_float32_at_half_precision() -> None:
    """A gradient of 300 has a square above the largest number of float16, and bfloat16 rounds it by up to 0.4 %."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[300.1, 0.0]])
    discriminator = nn.Sequential(layer, nn.Flatten(0))
    discriminator.forward = lambda x, y=None: layer(x).squeeze(1)  # type: ignore[method-assign]
    half = {"real": REAL.bfloat16(), "fake": FAKE.bfloat16()}
    with torch.autocast("cpu", torch.bfloat16):
        assert Penalty(r1, 1.0)(update(discriminator, **half)).item() == pytest.approx(300.1**2 / 2, rel=1e-6)


def test_clipped_weights() -> None:
    discriminator = Linear(0.5, -0.005)
    partial(clip_weights, limit=0.01)(discriminator)
    assert discriminator.weight.tolist() == [0.01, -0.005]


class OfCaptions(nn.Module):
    """D(x, s) = x1^2 + 3 x2 + 2 s1, where s1 is the first token; gradients (2 x1, 3) and 2."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.judge(x, self.sentence(y))

    def sentence(self, y: Tensor) -> Tensor:
        return y[:, :1].double()

    def judge(self, x: Tensor, s: Tensor) -> Tensor:
        return x[:, 0] ** 2 + 3 * x[:, 1] + 2 * s[:, 0]


def test_penalties_of_captions() -> None:
    made = update(OfCaptions(), y=torch.tensor([[1, 0], [-4, 0]]))
    lengths = torch.tensor([math.sqrt(4 + 9), math.sqrt(36 + 9)], dtype=torch.float64)
    torch.testing.assert_close(matching_aware(made, power=2.0), (lengths + 2) ** 2)
    # x = (1, 2) with the other caption: 1 + 6 - 8 = -1; x = (3, -1): 9 - 3 + 2 = 8
    torch.testing.assert_close(mismatched(made), torch.tensor([0.0, 9.0], dtype=torch.float64))
