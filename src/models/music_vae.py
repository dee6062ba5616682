"""Variational autoencoder for music: Roberts et al. 2018, A Hierarchical Latent Vector Model (arXiv:1803.05428)."""

import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.spec import Batch, Spec
from src.models.latent import SAMPLE_BATCH, between
from src.models.text_vae import TextVAE

MOST = 0.9999  # of the cosine of an angle between two latents: beyond, the great circle has no direction


class MusicVAE(TextVAE):
    """The rule of TextVAE on music of whole bars [T, V]; its networks: src.networks.music_vae.

    Latents are also what music is changed by: pieces between two given ones (section 5.3 of the paper), and attribute vectors,
    the difference between the mean latents of music with and without an attribute (section 5.4).
    """

    def check_data(self, spec: Spec) -> None:
        if spec.kind != "tokens" or len(spec.shape) != 2 or not spec.x.names:
            raise ValueError(f"it models music, not {spec.kind} of shape {spec.shape}: take data=folk data.bars=2")
        if "length" in spec.fields:
            raise ValueError("it models music of one length: take data.bars=2 or data.bars=16")

    @torch.no_grad()
    def interpolate_between(
        self,
        a: Tensor,
        b: Tensor,
        steps: int,
        weights: str = "ema",
        seed: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Tensor:
        """See InterpolatesBetween: pieces int64 [steps, T, V]; the first and the last are a and b as the latent keeps them.

        a, b: int64 [T, V]. seed: symbols are drawn with it, and its class is that of the pieces if the decoder gets one; None
        takes the most probable symbols, and seed 0's class. temperature ...: see `sample`.
        """
        z = self.latents(torch.stack([torch.as_tensor(a), torch.as_tensor(b)]), weights)
        first, last = z[:1], z[1:]
        if torch.cosine_similarity(first, last).abs().item() < MOST:
            path = between(first, last, steps)[0]  # [steps, z_dim]
        else:
            path = torch.lerp(first, last, torch.linspace(0, 1, steps)[:, None])
        if seed is None:
            seed, top_k = 0, 1
        return self.decode(path, None, weights, [seed] * steps, temperature, top_k, top_p)

    def latents(self, x: Tensor, weights: str = "ema") -> Tensor:
        """The means [N, z_dim] of q(z | x) of pieces int64 [N, T, V], float32 on the CPU."""
        parts = (self.encode({"x": part.to(self.device)}, weights).float().cpu() for part in x.split(SAMPLE_BATCH))
        return torch.cat([*parts])

    def attribute_vector(self, x: Tensor, has: Tensor, lacks: Tensor, weights: str = "ema") -> Tensor:
        """The mean latent of the pieces that have an attribute, minus that of those that lack it, [z_dim].

        x: pieces int64 [N, T, V]. has, lacks: bool [N], see src.data.music.attributes.
        """
        if not has.any() or not lacks.any():
            raise UserError(
                "an attribute vector needs pieces that have the attribute and pieces that lack it: take more pieces"
            )
        return self.latents(x[has], weights).mean(0) - self.latents(x[lacks], weights).mean(0)

    def with_attribute(self, batch: Batch, vector: Tensor, strength: float = 1.0, weights: str = "ema") -> Tensor:
        """Pieces int64 [B, T, V]: a batch, restored from latents to which `strength` times an attribute vector is added.

        A negative strength takes the attribute away. The most probable symbols are taken, see Reconstructs.
        """
        z = self.latents(batch["x"], weights) + strength * vector
        return self.decode(z, {name: part.cpu() for name, part in batch.items()}, weights)
