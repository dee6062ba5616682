"""Denoising diffusion: Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Models (EDM, arXiv:2206.00364)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.data.spec import Batch, Spec
from src.models.ode import ODEModel, stratified
from src.training.ema import EMA


class Diffusion(ODEModel):
    """A network removes noise of any standard deviation sigma; the time of its ODE is sigma, from sigma_max to 0.

    sigma_data: standard deviation of the data in [-1, 1]. log_sigma_mean, log_sigma_std: of ln sigma in training, P_mean and
    P_std of the paper. sigma_min, sigma_max, rho: of the steps, eq. 5; sigma_min is also where the likelihood begins.
    The other arguments: see ODEModel.
    """

    def __init__(
        self,
        spec: Spec,
        seed: int,
        network: Callable[..., nn.Module],
        optimizer: Callable[..., Optimizer],
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
        conditional: bool = False,
        condition_dropout: float = 0.1,
        nfe: int = 35,
        solver: str = "heun",
        guidance: float = 1.0,
        likelihood_steps: int = 32,
        sigma_data: float = 0.5,
        log_sigma_mean: float = -1.2,
        log_sigma_std: float = 1.2,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        rho: float = 7.0,
    ) -> None:
        super().__init__(
            spec,
            seed,
            network,
            optimizer,
            ema,
            lr_schedule,
            conditional,
            condition_dropout,
            nfe,
            solver,
            guidance,
            likelihood_steps,
        )
        self.sigma_data, self.log_sigma_mean, self.log_sigma_std = sigma_data, log_sigma_mean, log_sigma_std
        self.sigma_min, self.sigma_max, self.rho = sigma_min, sigma_max, rho

    def loss(self, batch: Batch) -> Tensor:
        """lambda(sigma) ||D(x + n; sigma) - x||^2 / D with n from N(0, sigma^2 I), eq. 2 and table 1, [B].

        ln sigma is from N(P_mean, P_std^2), lambda = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2.
        """
        x, y = self.training_pair(batch)
        quantile = self.draw(stratified, len(x), 1, "sigma").to(x)[:, 0]
        sigma = torch.exp(self.log_sigma_mean + self.log_sigma_std * torch.special.ndtri(quantile))  # [B]
        noise = self.draw(torch.randn, len(x), self.size, "noise").to(x).view_as(x)
        denoised = self.denoise(self.learner, x + over(sigma, x) * noise, sigma, y)
        weight = (sigma.square() + self.sigma_data**2) / (sigma * self.sigma_data).square()
        return weight * (denoised - x).square().flatten(1).mean(1)

    def denoise(self, network: nn.Module, x: Tensor, sigma: Tensor, y: Tensor | None) -> Tensor:
        """D(x; sigma) [B, *shape] of noisy data x and their sigma [B]: eq. 7 with the preconditioning of table 1."""
        total = sigma.square() + self.sigma_data**2
        c_skip, c_out = self.sigma_data**2 / total, sigma * self.sigma_data / total.sqrt()
        c_in, c_noise = 1 / total.sqrt(), sigma.log() / 4
        return over(c_skip, x) * x + over(c_out, x) * network(over(c_in, x) * x, c_noise, y)

    def velocity(self, network: nn.Module, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        """dx/dsigma = (x - D(x; sigma)) / sigma (eq. 1 and 3, with sigma(t) = t)."""
        return (x - self.denoise(network, x, t, y)) / over(t, x)

    def times(self, steps: int) -> list[float]:
        """The sigmas of eq. 5, whose last is 0."""
        first, last = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return [(first + i / max(steps - 1, 1) * (last - first)) ** self.rho for i in range(steps)] + [0.0]

    @property
    def noise_scale(self) -> float:  # type: ignore[override]
        return self.sigma_max

    def shown(self, x: Tensor, t: float) -> Tensor:
        """x scaled to the standard deviation of the data."""
        return x / math.sqrt(1 + (t / self.sigma_data) ** 2)

    def likelihood_velocity(self, network: nn.Module, u: Tensor, s: float, y: Tensor | None) -> Tensor:
        """du/ds for u = x cos a and sigma = sigma_data tan a, where du/da = -sigma_data F(u / sigma_data; ln(sigma) / 4).

        This is dx/dsigma with eq. 7 put in. The angle a rises with s^2: short steps near the data.
        """
        first, last = self.angles
        angle = first + (last - first) * s**2
        c_noise = math.log(self.sigma_data * math.tan(angle)) / 4
        v = network(u / self.sigma_data, u.new_full((len(u),), c_noise), y)
        return -2 * s * (last - first) * self.sigma_data * v

    @property
    def angles(self) -> tuple[float, float]:
        """a of `likelihood_velocity` at sigma_min and at sigma_max, in radians."""
        return math.atan(self.sigma_min / self.sigma_data), math.atan(self.sigma_max / self.sigma_data)

    @property
    def likelihood_scales(self) -> tuple[float, float]:  # type: ignore[override]
        first, last = self.angles
        return math.cos(first), self.sigma_max * math.cos(last)


def over(numbers: Tensor, x: Tensor) -> Tensor:
    """Numbers [B] with further dimensions of size 1, to multiply x [B, ...]."""
    return numbers.view(-1, *[1] * (x.dim() - 1))
