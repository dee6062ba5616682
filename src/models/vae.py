"""Variational autoencoder: Kingma and Welling 2014, Auto-Encoding Variational Bayes (arXiv:1312.6114).

With several samples of the posterior, the importance-weighted autoencoder: Burda et al. 2016 (arXiv:1509.00519).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.data.spec import Batch, Spec
from src.models.latent import LatentModel, normal_per_seed
from src.models.model import OneLoss, evaluating
from src.parallel.collectives import mean_over_processes
from src.training import rng
from src.training.ema import EMA

LATENTS = 512  # decoded at a time by `tight_nll`: the arrays of one batch stay in a CPU's cache
REACH = 3.0  # of `traverse`, in standard deviations of the prior


class VAE(OneLoss, LatentModel):
    """An encoder q(z | x) and a decoder p(x | z) that maximise a lower bound of log p(x), with p(z) = N(0, I).

    network: called with `spec=` and `conditional=`. Its `encoder` maps (x, y) to the mean and the log-variance [B, z_dim] of q.
    Its `decoder` maps (z, y) to samples [B, *shape], and `decoder.log_likelihood(x, z, y)` is log p(x | z, y) [B] in nats; see
    LatentModel for its other attributes.
    optimizer, ema, lr_schedule: see OneLoss.
    beta: weight of the KL divergence in training (Higgins et al. 2017); 1 gives the bound. Likelihoods always take 1.
    free_bits: nats per latent dimension below which its KL divergence, a mean over the batch, is not reduced (Kingma et al.
        2016, arXiv:1606.04934, appendix C.8, each dimension being a group of its own); 0 for none.
    importance_samples: K of the training objective. 1 is the ELBO, more the bound of Burda et al., which has no KL term: beta
        and free_bits are for K = 1.
    likelihood_samples: K of the bound that is reported.
    conditional: whether the networks get the class; the data must have classes.
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
        free_bits: float = 0.0,
        importance_samples: int = 1,
        likelihood_samples: int = 500,
        conditional: bool = False,
    ) -> None:
        super().__init__(spec, seed, optimizer, ema, lr_schedule)
        if importance_samples > 1 and (beta, free_bits) != (1, 0):
            raise ValueError(
                f"importance_samples={importance_samples}: this objective has no KL term, take beta=1 and free_bits=0"
            )
        self.beta, self.free_bits = beta, free_bits
        self.importance_samples, self.likelihood_samples = importance_samples, likelihood_samples
        self.set_network(network(spec=spec, conditional=conditional))
        self._parts: dict[str, Tensor] = {}

    def generator_of(self, weights: str = "ema") -> nn.Module:
        """The decoder."""
        return self.network(weights).decoder  # type: ignore[return-value]

    def loss(self, batch: Batch) -> Tensor:
        """A negative bound of each image, [B] in nats: the negative ELBO for K = 1, else the IWAE bound.

        ELBO: -log p(x | z, y) at one random z, plus beta * KL(q(z | x, y) || p(z)). IWAE (Burda et al., eq. 8):
        -log (1 / K) sum_k w_k with w_k = p(x, z_k | y) / q(z_k | x, y) at K random z.
        """
        k = self.importance_samples
        noise = self.draw(torch.randn, len(batch["x"]), k * self.z_dim, "posterior").to(batch["x"].dtype)
        if k > 1:
            return -log_mean_exp(log_weights(self.learner, batch, noise.unflatten(1, (k, -1))))
        reconstruction, divergence = negative_elbo(self.learner, batch, noise)
        self._parts = {"reconstruction": reconstruction.detach().mean(), "kl": divergence.detach().sum(1).mean()}
        if self.free_bits:
            divergence = at_least(divergence, self.free_bits)
        return reconstruction + self.beta * divergence.sum(1)

    def scalars(self) -> dict[str, float]:
        """The loss and, of the ELBO, its two parts, in nats per image; the KL divergence without beta and free bits."""
        return {**super().scalars(), **{f"loss/{name}": value.item() for name, value in self._parts.items()}}

    # Capabilities

    def drawn(self, typical: Tensor, seeds: Sequence[int]) -> Tensor:
        """See LatentModel: samples from p(x | z), given its typical images.

        Two levels: each pixel is white with the probability (1 + mean) / 2, because a mean would be grey, which no image is.
        More levels: the typical image itself, as papers show it; independent noise in each pixel is no part of a picture.
        """
        if self.spec.x.levels != 2 or not len(typical):
            return typical
        random = torch.Generator()
        keyed = (random.manual_seed(rng.key(seed, "pixels")) for seed in seeds)
        uniform = torch.stack([torch.rand(self.spec.shape, generator=generator) for generator in keyed])
        return torch.where(2 * uniform - 1 < typical, 1.0, -1.0)

    @torch.no_grad()
    def encode(self, batch: Batch, weights: str = "ema") -> Tensor:
        """The means [B, z_dim] of q(z | x, y)."""
        with evaluating(self.network(weights)) as network:
            mean, _ = network.encoder(batch["x"], batch.get("y"))
        return mean

    def reconstruct(self, batch: Batch, weights: str = "ema") -> Tensor:
        """See Reconstructs: the typical image of the posterior's mean."""
        return self.decode(self.encode(batch, weights).cpu(), batch, weights)

    def traverse(
        self, batch: Batch, rows: int, steps: int, seed: int, cond: Batch | None = None, weights: str = "ema"
    ) -> Tensor:
        """See Traverses. A coordinate is as active as its posterior mean varies over the batch (Burda et al., section 5.2)."""
        order = self.encode(batch, weights).var(0).argsort(descending=True)[:rows].cpu()
        z = normal_per_seed([seed], self.z_dim).repeat(len(order), steps, 1)  # [R, T, z_dim]
        z[torch.arange(len(order)), :, order] = torch.linspace(-REACH, REACH, steps)
        cond = self.conditions([seed]) if cond is None else cond
        cond = {name: part[:1].expand(len(order) * steps) for name, part in cond.items()}
        return self.decode(z.flatten(0, 1), cond, weights).unflatten(0, z.shape[:2])

    @torch.no_grad()
    def nll(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See Likelihood. An upper bound: the negative ELBO with one latent per image; row i always has the same noise."""
        x = batch["x"]
        noise = normal_per_seed(range(len(x)), self.z_dim).to(x)
        with evaluating(self.network(weights)) as network:
            reconstruction, divergence = negative_elbo(network, batch, noise)
        return reconstruction + divergence.sum(1), self.dimensions(x)

    @property
    def bound(self) -> str:
        return f"IWAE, K = {self.likelihood_samples}"

    @torch.no_grad()
    def tight_nll(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See BoundsLikelihood: the negative IWAE bound (Burda et al., eq. 8); row i always has the same noise."""
        x, k = batch["x"], self.likelihood_samples
        noise = normal_per_seed(range(len(x)), k * self.z_dim).unflatten(1, (k, -1)).to(x)
        parts = noise.split(max(1, LATENTS // len(x)), dim=1)
        with evaluating(self.network(weights)) as network:
            posterior = network.encoder(x, batch.get("y"))
            log_w = torch.cat([log_weights(network, batch, part, posterior) for part in parts], dim=1)  # [B, K]
        return -log_mean_exp(log_w.double()), self.dimensions(x)

    def dimensions(self, x: Tensor) -> Tensor:
        """C * H * W for each image, [B]."""
        return torch.full((len(x),), math.prod(self.spec.shape), device=x.device)


def negative_elbo(network: Any, batch: Batch, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the negative ELBO (eq. 10) in nats: -log p(x | z, y) [B] and KL(q(z | x, y) || p(z)) [B, z_dim].

    The KL divergence is a sum over dimensions, here its terms. z = mean + standard deviation * noise; noise [B, z_dim] from
    N(0, I).
    """
    x, y = batch["x"], batch.get("y")
    mean, log_variance = network.encoder(x, y)
    z = mean + torch.exp(0.5 * log_variance) * noise
    return -network.decoder.log_likelihood(x, z, y), kl_to_standard_normal(mean, log_variance)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) of each dimension in nats, of any shape (appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def at_least(divergence: Tensor, free_bits: float) -> Tensor:
    """KL divergences [B, z_dim], where the mean over the batch of all ranks is below free_bits replaced by free_bits.

    Their mean over the batch is max(free_bits, mean) for each dimension (Kingma et al. 2016, eq. 15), and so are its gradients.
    """
    enough = mean_over_processes(divergence.detach().mean(0)) > free_bits  # [z_dim]
    return torch.where(enough, divergence, free_bits)


def log_weights(network: Any, batch: Batch, noise: Tensor, posterior: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """log w = log p(x | z, y) + log p(z) - log q(z | x, y) of K latents for each image, [B, K] in nats.

    noise: [B, K, z_dim] from N(0, I). posterior: mean and log-variance of q, [B, z_dim], if they are known.
    """
    x, y = batch["x"], batch.get("y")
    mean, log_variance = posterior or network.encoder(x, y)
    z = mean[:, None] + torch.exp(0.5 * log_variance)[:, None] * noise  # [B, K, z_dim]
    k = z.shape[1]
    x, y = x.repeat_interleave(k, dim=0), None if y is None else y.repeat_interleave(k, dim=0)
    log_likelihood = network.decoder.log_likelihood(x, z.flatten(0, 1), y).unflatten(0, (-1, k))  # [B, K]
    # log N(z; 0, 1) - log N(z; mean, variance), in which z - mean = standard deviation * noise.
    return log_likelihood + 0.5 * (noise.square() + log_variance[:, None] - z.square()).sum(2)


def log_mean_exp(log_w: Tensor) -> Tensor:
    """log (1 / K) sum_k w_k [B] of log w [B, K]."""
    return log_w.logsumexp(1) - math.log(log_w.shape[1])
