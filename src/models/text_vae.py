"""Variational autoencoder for texts: Bowman et al. 2016, Generating Sentences from a Continuous Space (arXiv:1511.06349).

Its networks here are transformers (src/networks/text_vae.py). Free bits: Kingma et al. 2016 (arXiv:1606.04934).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from src.data.spec import Batch, Spec
from src.data.vocabulary import UNKNOWN
from src.models.latent import great_circle, normal_per_seed
from src.models.model import evaluating
from src.models.symbols import SymbolModel
from src.models.texts import check_texts, padded
from src.models.vae import at_least, kl_to_standard_normal, log_mean_exp, log_weights, negative_elbo
from src.networks.decoder import Decoder
from src.training.ema import EMA

LATENTS = 256  # decoded at a time by `tight_nll`


class TextVAE(SymbolModel):
    """An encoder q(z | x) and an autoregressive decoder p(x | z) = prod_t p(x_t | x_<t, z) that maximise a bound of log p(x).

    Such a decoder can predict texts without the latent, and then learns to: q becomes the prior and the KL term 0 (posterior
    collapse). Three means against it: the KL term gets its weight gradually, it may cost some nats without being reduced (free
    bits), and the decoder does not see all symbols before the one that it predicts (word dropout).

    network: called with `spec=` and `conditional=`, see src.networks.text_vae. optimizer, ema, lr_schedule: see OneLoss.
    kl_weight: weight of the KL term in training as a function of the samples seen (KL annealing, section 3.1); None for 1.
        Likelihoods always take 1.
    free_bits: nats per latent dimension below which its KL divergence, a mean over the batch, is not reduced; 0 for none.
    word_dropout: share of the symbols that the decoder reads as UNKNOWN in training (section 3.1), 0..1.
    likelihood_samples: K of the bound that is reported.
    conditional: whether the decoder gets the class; the data must have classes. Data with sources are refused.
    """

    def __init__(
        self,
        spec: Spec,
        seed: int,
        network: Callable[..., nn.Module],
        optimizer: Callable[..., Optimizer],
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
        kl_weight: Callable[[int], float] | None = None,
        free_bits: float = 0.0,
        word_dropout: float = 0.0,
        likelihood_samples: int = 100,
        conditional: bool = False,
    ) -> None:
        self.check_data(spec)
        if word_dropout and UNKNOWN not in spec.x.names:
            raise ValueError(f"the vocabulary has no {UNKNOWN} to read in place of a symbol: take model.word_dropout=0")
        if not 0 <= word_dropout <= 1:
            raise ValueError(f"word_dropout={word_dropout}: must be from 0 to 1")
        super().__init__(spec, seed, optimizer, ema, lr_schedule)
        self.kl_weight, self.free_bits, self.word_dropout = kl_weight, free_bits, word_dropout
        self.likelihood_samples = likelihood_samples
        self.set_network(network(spec=spec, conditional=conditional))
        self._parts: dict[str, float | Tensor] = {}

    def check_data(self, spec: Spec) -> None:
        """Raise ValueError for data that it does not model."""
        check_texts(spec)

    def decoder_of(self, weights: str = "ema") -> Decoder:
        return self.network(weights).decoder  # type: ignore[return-value]

    @property
    def z_dim(self) -> int:
        return self.learner.decoder.z_dim  # type: ignore[union-attr, return-value]

    def loss(self, batch: Batch) -> Tensor:
        """-log p(x | z) + weight * KL(q(z | x) || p(z)) of each text at one random z, [B] in nats."""
        network: Any = self.learner
        x, y = padded(batch, self.spec)["x"], batch.get("y")
        mean, log_variance = network.encoder(x, y)
        z = mean + torch.exp(0.5 * log_variance) * self.draw(torch.randn, len(x), self.z_dim, "posterior").to(mean.dtype)
        reconstruction = -network.decoder.log_likelihood(x, z, y, read=self.without_words(x))
        divergence = kl_to_standard_normal(mean, log_variance)  # [B, z_dim]
        weight = self.kl_weight(self.samples_seen) if self.kl_weight else 1.0
        self._parts = {
            "loss/reconstruction": reconstruction.detach().mean(),
            "loss/kl": divergence.detach().sum(1).mean(),
            "kl_weight": weight,
        }
        if self.free_bits:
            divergence = at_least(divergence, self.free_bits)
        return reconstruction + weight * divergence.sum(1)

    def without_words(self, x: Tensor) -> Tensor:
        """Texts [B, T], of which each symbol is UNKNOWN with probability `word_dropout`."""
        if not self.word_dropout:
            return x
        dropped = self.draw(torch.rand, len(x), x.shape[1], "words") < self.word_dropout
        return torch.where(dropped, self.spec.x.names.index(UNKNOWN), x)

    def scalars(self) -> dict[str, float]:
        """The loss, its two parts in nats per text, the KL divergence without weight and free bits, and the KL weight."""
        return {**super().scalars(), **{name: float(value) for name, value in self._parts.items()}}

    # Latents

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """See Samples: "z" [N, z_dim] from N(0, I), and "y" if the decoder gets the class."""
        return super().conditions(seeds) | {"z": normal_per_seed(seeds, self.z_dim)}

    @torch.no_grad()
    def encode(self, batch: Batch, weights: str = "ema") -> Tensor:
        """See Encodes: the means [B, z_dim] of q(z | x)."""
        with evaluating(self.network(weights)) as network:
            return network.encoder(padded(batch, self.spec)["x"])[0]

    def decode(
        self,
        z: Tensor,
        cond: Batch | None = None,
        weights: str = "ema",
        seeds: Sequence[int] | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Tensor:
        """See Encodes: texts, int64 [N, *shape].

        seeds: their symbols are drawn with these; None takes the most probable symbol each time. temperature ...: see `sample`.
        """
        if seeds is None:
            seeds, top_k = range(len(z)), 1
        given = {name: part for name, part in (cond or {}).items() if name in self.decoder_of("raw").conditions}
        return self.sample(seeds, {**given, "z": z.cpu()}, weights, temperature, top_k, top_p)

    def reconstruct(self, batch: Batch, weights: str = "ema") -> Tensor:
        """See Reconstructs: decoded from the posterior's mean, with the most probable symbol each time."""
        return self.decode(self.encode(batch, weights), {name: part.cpu() for name, part in batch.items()}, weights)

    def interpolate(
        self,
        rows: int,
        steps: int,
        seed: int,
        cond: Batch | None = None,
        weights: str = "ema",
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Tensor:
        """See Interpolates: texts, int64 [rows, steps, *shape], between the latents of seeds (seed, seed + 1), (seed + 2, ...

        The symbols of a row are all drawn with the numbers of its first seed: only the latent changes. temperature ...: see
        `sample`.
        """
        z = great_circle(rows, steps, seed, self.z_dim).flatten(0, 1)
        cond = {name: part.repeat_interleave(steps, dim=0) for name, part in (cond or {}).items()}
        seeds = [seed + 2 * row for row in range(rows) for _ in range(steps)]
        return self.decode(z, cond, weights, seeds, temperature, top_k, top_p).unflatten(0, (rows, steps))

    # Likelihood

    @torch.no_grad()
    def nll(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See Likelihood. An upper bound: the negative ELBO with one latent per text; row i always has the same noise.

        Symbols are those of the text without UNKNOWN, whose terms are left out of the likelihood.
        """
        with evaluating(self.network(weights)) as network:
            x = padded(batch, self.spec)["x"]
            noise = normal_per_seed(range(len(x)), self.z_dim).to(next(network.parameters()))
            reconstruction, divergence = negative_elbo(network, {**batch, "x": x}, noise)
            return reconstruction + divergence.sum(1), network.decoder.scored(x).flatten(1).sum(1)

    @property
    def bound(self) -> str:
        return f"IWAE, K = {self.likelihood_samples}"

    @torch.no_grad()
    def tight_nll(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See BoundsLikelihood: the negative IWAE bound (Burda et al. 2016, eq. 8); row i always has the same noise."""
        k = self.likelihood_samples
        with evaluating(self.network(weights)) as network:
            x = padded(batch, self.spec)["x"]
            posterior = network.encoder(x)
            noise = normal_per_seed(range(len(x)), k * self.z_dim).unflatten(1, (k, -1)).to(posterior[0])
            parts = noise.split(max(1, LATENTS // len(x)), dim=1)
            log_w = torch.cat([log_weights(network, {**batch, "x": x}, part, posterior) for part in parts], dim=1)  # [B, K]
            return -log_mean_exp(log_w.double()), network.decoder.scored(x).flatten(1).sum(1)
