"""The latent space of a model in which directions are looked for, and the layers that act on it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from src.config.errors import UserError
from src.data.spec import Batch
from src.models.latent import LatentModel, batches, normal_per_seed
from src.models.model import evaluating


class LatentSpace:
    """W of a generator with a mapping (StyleGAN2), which is less entangled; Z of any other.

    name: "w" or "z". weights: see `LatentModel.decode`.
    """

    def __init__(self, model: LatentModel, weights: str = "ema") -> None:
        self.model, self.weights, self.generator = model, weights, model.generator_of(weights)
        self.name = "w" if hasattr(self.generator, "synthesis") else "z"

    @torch.no_grad()
    def codes(self, seeds: Sequence[int], cond: Batch) -> Tensor:
        """The codes [N, D] of these seeds' samples, on the CPU."""
        z = normal_per_seed(seeds, self.model.z_dim)
        if self.name == "z":
            return z
        return self._run(self.generator.mapping, z, cond.get("y"))  # type: ignore[arg-type]

    @torch.no_grad()
    def samples(self, codes: Tensor, cond: Batch) -> Tensor:
        """Samples [N, *spec.shape] of codes [N, D], on the CPU in the model's format."""
        if self.name == "z":
            return self.model.decode(codes, cond, self.weights)
        return self._run(lambda w, _: self.generator.synthesis(w), codes)  # type: ignore[operator]

    @torch.no_grad()
    def matrix(self) -> Tensor:
        """A [M, D] of the affine layers that act on a code, y = A code + b, float64; those of several layers are stacked.

        Of W, they are the layers that make styles. Of Z, it is the first linear layer of the generator, which gets the latent
        alone or before what tells the class; a hierarchical latent has only its first part there, and zeros elsewhere.
        """
        cond = self.model.conditions([0])
        codes = self.codes([0], cond)
        called: list[nn.Module] = []
        layers = [layer for layer in self.generator.modules() if is_linear(layer)]
        hooks = [layer.register_forward_hook(lambda layer, *_: called.append(layer)) for layer in layers]
        try:
            self.samples(codes, cond)
        finally:
            for hook in hooks:
                hook.remove()
        acting = called if self.name == "w" else called[:1]
        if not acting:
            raise UserError(f"{type(self.generator).__name__} has no linear layer that acts on its latent: no directions")
        return torch.cat([weights_of(layer, codes.shape[1]) for layer in acting])

    def _run(self, part: Callable[..., Tensor], z: Tensor, y: Tensor | None = None) -> Tensor:
        """A part of the generator on [N, ...], in evaluation mode and batches of one size."""
        like = next(self.generator.parameters())
        with evaluating(self.generator):
            found = [part(*inputs)[:size].float().cpu() for size, *inputs in batches(z, y, like)]
        return torch.cat(found)


def is_linear(layer: nn.Module) -> bool:
    weight = getattr(layer, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2 and not isinstance(layer, nn.Embedding)


def weights_of(layer: nn.Module, size: int) -> Tensor:
    """The effect [M, size] of the first `size` inputs of an affine layer, whatever scales its weights; float64, on the CPU."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    units = torch.eye(weight.shape[1], device=weight.device, dtype=weight.dtype)[:size]  # [min(size, inputs), inputs]
    columns = layer(units) - layer(torch.zeros_like(units[:1]))  # [min(size, inputs), M]
    found = torch.zeros(columns.shape[1], size, dtype=torch.float64)
    found[:, : len(columns)] = columns.mT.double().cpu()
    return found
