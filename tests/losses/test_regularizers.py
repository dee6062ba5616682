import pytest
import torch
from torch import Tensor

from src.losses.regularizers import Penalty, r1

X = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)


def quadratic(x: Tensor, y: Tensor | None = None) -> Tensor:
    """D(x) = x1^2 + 3 x2: gradient (2 x1, 3), so |gradient|^2 = 4 x1^2 + 9."""
    return x[:, 0] ** 2 + 3 * x[:, 1]


def test_r1_by_hand() -> None:
    assert r1(quadratic, X, X).tolist() == pytest.approx([(4 + 9) / 2, (36 + 9) / 2])


def test_r1_is_taken_at_real_images_and_is_per_sample() -> None:
    assert torch.equal(r1(quadratic, X, X + 100), r1(quadratic, X, X))
    assert torch.equal(r1(quadratic, X.flip(0), X), r1(quadratic, X, X).flip(0))


def test_r1_trains_the_discriminator() -> None:
    weight = torch.tensor([2.0, 1.0], dtype=torch.float64, requires_grad=True)
    r1(lambda x, y: x @ weight, X, X).mean().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == pytest.approx([2.0, 1.0])  # d(|w|^2 / 2) = w


def test_a_lazy_penalty_has_the_same_mean_strength() -> None:
    plain = Penalty(r1, weight=0.5)(quadratic, X, X, None)
    assert plain.item() == pytest.approx(0.5 * (6.5 + 22.5) / 2)
    assert Penalty(r1, weight=0.5, every=16)(quadratic, X, X, None).item() == pytest.approx(16 * plain.item())
