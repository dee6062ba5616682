"""StyleGAN2's path-length regularisation of the generator (Karras et al. 2020, arXiv:1912.04958, section 3.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from src.parallel.collectives import draw_rows

if TYPE_CHECKING:
    from src.models.gan.regularizers import Update


class PathLength(nn.Module):
    """(|J_w^T y| - a)^2 with J_w = dg(w) / dw, y random images and a the running mean of the lengths (eq. 4).

    A step of fixed size in W then changes the image by about the same amount everywhere. The images y are N(0, I / (H W)), as
    in the official code, so that lengths do not grow with the side: the weight gamma_pl = ln 2 / (r^2 (ln r - ln 2)) of the
    paper's appendix B is 1 / (log2 r - 1) here, 0.25 at 32 x 32. The official code differentiates by the w of each layer and
    averages the squares over the layers; here, as in the equation, w is one vector, and the layers' gradients add up.

    The official code moves a towards a batch's mean length before it computes the penalty; here a moves afterwards, so that a
    sample's penalty does not depend on the other samples, and a batch can be divided between ranks.

    decay: fraction of the distance to a batch's mean length by which a moves (0.01 in the official code).
    batch_shrink: only every `batch_shrink`-th sample is used, because the penalty needs much memory. The official code takes
    the first B // batch_shrink, which would all belong to rank 0.
    """

    running_mean: Tensor
    ignores_class = True  # its gradients do not tell the generator which class to draw

    def __init__(self, decay: float = 0.01, batch_shrink: int = 2) -> None:
        super().__init__()
        self.decay, self.batch_shrink = decay, batch_shrink
        self.register_buffer("running_mean", torch.zeros(()))

    def forward(self, update: Update) -> Tensor:
        """Values [B / batch_shrink] at `update.z` [B, z_dim] and `update.y` [B]; y comes from torch's global generator."""
        generator: Any = update.generator
        rows = slice(None, None, self.batch_shrink)
        w = generator.mapping(update.z[rows], None if update.y is None else update.y[rows])  # [b, w_dim]
        images = generator.synthesis(w)  # [b, C, H, W]
        noise = draw_rows(torch.randn, images.shape, device=images.device, dtype=images.dtype)
        noise = noise / math.sqrt(images.shape[2] * images.shape[3])
        (gradient,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)  # J_w^T y, [b, w_dim]
        lengths = torch.linalg.vector_norm(gradient, dim=1)  # [b]
        penalty = (lengths - self.running_mean).square()
        self.running_mean.lerp_(lengths.detach().mean().to(self.running_mean), self.decay)
        return penalty
