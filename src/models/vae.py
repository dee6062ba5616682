"""Variational autoencoder: Kingma and Welling 2014, Auto-Encoding Variational Bayes (arXiv:1312.6114)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.data.spec import Batch, Spec
from src.models.latent import LatentModel, normal_per_seed
from src.models.model import OneLoss
from src.training.ema import EMA


class VAE(OneLoss, LatentModel):
    """An encoder q(z | x) and a decoder p(x | z) that maximise the evidence lower bound, with p(z) = N(0, I).

    network: called with `spec=`. Its `encoder` maps (x, y) to the mean and the log-variance [B, z_dim] of q. Its `decoder` maps
    (z, y) to samples [B, *shape], and `decoder.log_likelihood(x, z, y)` is log p(x | z, y) [B] in nats; see LatentModel for
    its other attributes.
    optimizer, ema, lr_schedule: see OneLoss.
    beta: weight of the KL divergence in training (Higgins et al. 2017); 1 gives the bound. `nll` always takes 1.
    """

    def __init__(
        self,
        spec: Spec,
        seed: int,
        network: Callable[..., nn.Module],
        optimizer: Callable[..., Optimizer],
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(spec, seed, optimizer, ema, lr_schedule)
        self.beta = beta
        self.set_network(network(spec=spec))
        self._parts: dict[str, Tensor] = {}

    def generator_of(self, weights: str = "ema") -> nn.Module:
        """The decoder."""
        return self.network(weights).decoder  # type: ignore[return-value]

    def loss(self, batch: Batch) -> Tensor:
        """-log p(x | z, y) at one random z for each image, plus beta * KL(q(z | x, y) || p(z)); [B] in nats."""
        noise = self.draw(torch.randn, len(batch["x"]), self.z_dim, "posterior").to(batch["x"].dtype)
        reconstruction, divergence = negative_elbo(self.learner, batch, noise)
        self._parts = {"reconstruction": reconstruction.detach().mean(), "kl": divergence.detach().mean()}
        return reconstruction + self.beta * divergence

    def scalars(self) -> dict[str, float]:
        """The loss and its two parts, in nats per image."""
        return {**super().scalars(), **{f"loss/{name}": value.item() for name, value in self._parts.items()}}

    @torch.no_grad()
    def encode(self, batch: Batch, weights: str = "ema") -> Tensor:
        """The means [B, z_dim] of q(z | x, y)."""
        network: Any = self.network(weights)
        was_training, _ = network.training, network.eval()
        mean, _ = network.encoder(batch["x"], batch.get("y"))
        network.train(was_training)
        return mean

    @torch.no_grad()
    def nll(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See Likelihood. An upper bound: the negative ELBO with one latent per image; row i always has the same noise."""
        x, network = batch["x"], self.network(weights)
        noise = normal_per_seed(range(len(x)), self.z_dim).to(x)
        was_training, _ = network.training, network.eval()
        reconstruction, divergence = negative_elbo(network, batch, noise)
        network.train(was_training)
        return reconstruction + divergence, torch.full_like(divergence, math.prod(self.spec.shape), dtype=torch.int64)


def negative_elbo(network: Any, batch: Batch, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the negative ELBO (eq. 10), each [B] in nats: -log p(x | z, y) and KL(q(z | x, y) || p(z)).

    z = mean + standard deviation * noise; noise [B, z_dim] from N(0, I).
    """
    x, y = batch["x"], batch.get("y")
    mean, log_variance = network.encoder(x, y)
    z = mean + torch.exp(0.5 * log_variance) * noise
    return -network.decoder.log_likelihood(x, z, y), kl_to_standard_normal(mean, log_variance)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag(variance)) || N(0, I)) [B] in nats, of means and log-variances [B, z_dim] (appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
