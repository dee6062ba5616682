"""What a rule can do beyond training: small protocols, asked for by `isinstance`."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from src.data.spec import Batch


@runtime_checkable
class Samples(Protocol):
    """Draws samples."""

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """Default conditions of these seeds' samples, [N, ...] by field; empty for an unconditional model."""
        ...

    def sample(self, seeds: Sequence[int], cond: Batch | None = None, weights: str = "ema") -> Tensor:
        """One sample per seed, [N, *spec.shape] on the CPU in the model's format.

        Sample i depends on seeds[i] and its condition alone. cond: by field; None for `conditions(seeds)`. A rule may take more
        settings by name (truncation, temperature ...).
        """
        ...


@runtime_checkable
class ConditionsFromData(Protocol):
    """Makes the conditions of its samples from the data themselves, such as pictures with holes."""

    def conditions_from(self, batch: Batch, seeds: Sequence[int]) -> Batch:
        """Conditions [N, ...] by field for `sample`, from a batch in the model's format; seeds[i] keys those of i."""
        ...


@runtime_checkable
class Interpolates(Protocol):
    """Has a latent space."""

    def interpolate(self, rows: int, steps: int, seed: int, cond: Batch | None = None, weights: str = "ema") -> Tensor:
        """Samples [rows, steps, *spec.shape], each row from one latent to another; cond: of the rows."""
        ...


@runtime_checkable
class InterpolatesBetween(Protocol):
    """Goes from one given sample to another."""

    def interpolate_between(self, a: Tensor, b: Tensor, steps: int, weights: str = "ema") -> Tensor:
        """Samples [steps, *spec.shape] on the CPU, from a to b, which are samples [*spec.shape] in the model's format."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """Maps data to latents, and back."""

    def encode(self, batch: Batch, weights: str = "ema") -> Tensor:
        """Latents [B, z_dim] of a batch in the model's format."""
        ...

    def decode(self, z: Tensor, cond: Batch | None = None, weights: str = "ema") -> Tensor:
        """Latents [N, z_dim] to samples [N, *spec.shape] on the CPU."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Compresses data and restores them."""

    def reconstruct(self, batch: Batch, weights: str = "ema") -> Tensor:
        """[B, *spec.shape] on the CPU: what is restored of a batch in the model's format, which also has its conditions."""
        ...


@runtime_checkable
class Traverses(Protocol):
    """Has latent coordinates that can be changed one at a time."""

    def traverse(
        self, batch: Batch, rows: int, steps: int, seed: int, cond: Batch | None = None, weights: str = "ema"
    ) -> Tensor:
        """Samples [R, steps, *spec.shape], R = rows or fewer: in each row, one coordinate of the seed's latent is changed.

        It goes from -3 to 3 standard deviations of the prior. The most active coordinates come first, by a batch of data in
        the model's format. cond: of one sample, None for `conditions([seed])`.
        """
        ...


@runtime_checkable
class Likelihood(Protocol):
    """Computes how probable data are."""

    def nll(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(negative log-likelihood [B] in nats, number of symbols or pixels [B]) of a batch in the model's format."""
        ...


@runtime_checkable
class SymbolLikelihood(Likelihood, Protocol):
    """Computes how probable each symbol of a sequence is, given those before it."""

    def nll_by_symbol(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(nats, whether they count), both [B, *spec.shape] for tokens: the terms that `nll` sums."""
        ...


@runtime_checkable
class BoundsLikelihood(Likelihood, Protocol):
    """Computes upper bounds of the negative log-likelihood: `nll` a cheap one, for training, `tight_nll` the one to report."""

    @property
    def bound(self) -> str:
        """The kind of bound that `tight_nll` computes, for tables, with its settings: "IWAE, K = 500"."""
        ...

    def tight_nll(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """As `nll`."""
        ...


@runtime_checkable
class Unfolds(Protocol):
    """Shows how its samples come to be."""

    def unfold(self, seeds: Sequence[int], frames: int, cond: Batch | None = None, weights: str = "ema") -> Tensor:
        """[frames, N, *spec.shape] on the CPU: the way to the samples of `sample`, which are the last frame."""
        ...


@runtime_checkable
class Embeds(Protocol):
    """Maps data to representations."""

    def embed(self, batch: Batch, weights: str = "ema") -> Tensor:
        """Embeddings [B, D] of a batch in the model's format."""
        ...


@runtime_checkable
class EmbedsFields(Protocol):
    """Maps several fields of a sample, such as pictures and captions, to one space."""

    @property
    def fields(self) -> tuple[str, ...]: ...

    def embed_field(self, field: str, values: Tensor, weights: str = "ema") -> Tensor:
        """Unit vectors [B, P] of a field's values [B, *field.shape] in the model's format; those of all fields compare."""
        ...


@runtime_checkable
class Discriminates(Protocol):
    """Tells real samples from generated ones."""

    def discriminate(self, batch: Batch) -> Tensor:
        """Logits [B], high for real, of a batch in the model's format."""
        ...


@runtime_checkable
class Continues(Protocol):
    """Continues a given beginning."""

    def continue_from(self, prompt: Tensor, seeds: Sequence[int], cond: Batch | None = None, weights: str = "ema") -> Tensor:
        """Sequences [N, *spec.shape] that begin with the prompt, one per seed; cond: as in `Samples.sample`.

        prompt: the first P symbols [P] of a text, or the first P steps [P, V] of V voices.
        """
        ...


@runtime_checkable
class Exports(Protocol):
    """Can be exported to ONNX."""

    def generator_of(self, weights: str = "ema") -> nn.Module:
        """The network that is exported."""
        ...

    def example_inputs(self) -> dict[str, Tensor]:
        """Its inputs [B, ...], by name and in order, for tracing."""
        ...
