import pytest
import torch
from torch import Tensor, nn

from src.data.spec import Spec
from src.models.gan.path_length import PathLength
from src.models.gan.regularizers import Update
from src.networks.stylegan2 import StyleGAN2Generator

SHAPE = (2, 3, 4)


class Toy(nn.Module):
    """w = A z (+ the label), g(w) = M w, or with `bend` M sin(w)."""

    def __init__(self, bend: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.m = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(24, 5))
        self.bend = bend

    def mapping(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return z @ self.a.mT + (0 if y is None else y[:, None])

    def synthesis(self, w: Tensor) -> Tensor:
        return ((w.sin() if self.bend else w) @ self.m.mT).unflatten(1, SHAPE)


def update(generator: nn.Module, z: Tensor, y: Tensor | None = None) -> Update:
    nothing = torch.empty(0)
    return Update(generator, nn.Identity(), z, y, nothing, nothing, nothing, nothing)


def random_images(seed: int, batch: int) -> Tensor:
    """What the penalty draws after torch.manual_seed(seed), [batch, 24]: N(0, 1) / sqrt(3 * 4)."""
    torch.manual_seed(seed)
    return torch.randn(batch, *SHAPE, dtype=torch.float64).flatten(1) / 12**0.5


@pytest.fixture
def z() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(6, 4, dtype=torch.float64)


def test_against_the_jacobian_of_a_linear_generator(z: Tensor) -> None:
    """J_w = M everywhere. The running mean starts at zero and moves a hundredth of the way after each use."""
    generator, penalty = Toy().double(), PathLength().double()
    mean = torch.zeros((), dtype=torch.float64)
    for seed in (2, 3):
        lengths = (random_images(seed, 3) @ generator.m).norm(dim=1).detach()  # [3], half of the batch
        torch.manual_seed(seed)
        values = penalty(update(generator, z))
        torch.testing.assert_close(values.detach(), (lengths - mean).square())
        mean = 0.99 * mean + 0.01 * lengths.mean()
        torch.testing.assert_close(penalty.running_mean, mean)


def test_against_the_jacobian_at_each_w(z: Tensor) -> None:
    generator, penalty = Toy(bend=True).double(), PathLength(decay=0.0, batch_shrink=1).double()
    y = torch.arange(6)
    noise = random_images(2, 6)
    torch.manual_seed(2)
    values = penalty(update(generator, z, y))
    for i, w in enumerate(generator.mapping(z, y).detach()):
        jacobian = torch.autograd.functional.jacobian(lambda w: generator.synthesis(w[None]).flatten(), w)  # [24, 5]
        torch.testing.assert_close(values[i], (jacobian.mT @ noise[i]).square().sum())
    assert penalty.running_mean == 0


def test_gradient_of_the_generators_weights(z: Tensor) -> None:
    """The mean is a constant: d(l - a)^2/dM = 2 (l - a) y (M^T y)^T / l for each sample."""
    generator, penalty = Toy().double(), PathLength(batch_shrink=1).double()
    penalty.running_mean.fill_(1.5)
    torch.manual_seed(2)
    penalty(update(generator, z)).sum().backward()
    noise = random_images(2, 6)
    with torch.no_grad():
        gradient = noise @ generator.m  # [6, 5]
        lengths = gradient.norm(dim=1)
        scale = 2 * (lengths - 1.5) / lengths
    torch.testing.assert_close(generator.m.grad, torch.einsum("b,bi,bj->ij", scale, noise, gradient))


def test_equal_lengths_cost_nothing_once_the_mean_is_there(z: Tensor) -> None:
    generator, penalty = Toy().double(), PathLength(decay=1.0, batch_shrink=6).double()  # one sample, its own mean
    costs = []
    for _ in range(2):
        torch.manual_seed(2)
        costs.append(penalty(update(generator, z)).item())
    assert costs[0] > 0
    assert costs[1] == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize(("batch", "shrink", "used"), [(6, 2, 3), (5, 2, 3), (1, 2, 1), (6, 1, 6)])
def test_samples_used(z: Tensor, batch: int, shrink: int, used: int) -> None:
    assert PathLength(batch_shrink=shrink).double()(update(Toy().double(), z[:batch])).shape == (used,)


def test_the_mean_is_in_the_checkpoint() -> None:
    assert list(PathLength().state_dict()) == ["running_mean"]


def test_stylegan2_learns_from_it_and_keeps_its_state() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(Spec.of("image", (1, 8, 8)), 5, 6, mapping_layers=2, channel_max=8)
    buffers = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    values = PathLength()(update(generator, torch.randn(4, 5)))
    values.mean().backward()
    assert values.shape == (2,)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in generator.named_buffers())
    for name, parameter in generator.named_parameters():
        # What is added after the last modulation does not depend on w, and so is in no length.
        if name != "synthesis.images.0.bias" and name != "synthesis.images.1.bias":
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    weights = [parameter for name, parameter in generator.named_parameters() if name.endswith("weight")]
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in weights)
