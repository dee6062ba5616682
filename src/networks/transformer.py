"""A small transformer GAN, after TransGAN (Jiang et al. 2021, arXiv:2102.07074) and ViTGAN (Lee et al. 2021, arXiv:2107.04589).

From TransGAN: the latent becomes a coarse grid of tokens, and pixel shuffle trades channels for a finer grid, which has learned
positions of its own. From ViTGAN: a discriminator that is a plain vision transformer with patches of one size; TransGAN's has
several sizes. From neither: the logit comes from the mean token instead of a class token, and a gradient penalty (R1) replaces
ViTGAN's attention by distances and improved spectral normalisation. Left out: TransGAN's methods for large images (attention
within windows, relative positions).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.sizes import count_classes, square_side


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v of [B, heads, T, d]. PyTorch's fused kernels have no second derivative, which R1 needs."""
    return torch.softmax(q @ k.mT / q.shape[3] ** 0.5, dim=3) @ v


class Block(nn.Module):
    """Self-attention and a two-layer perceptron, both residual with normalised input (Dosovitskiy et al. 2020, eq. 2, 3).

    attend: a function of queries, keys and values [B, heads, T, width / heads] to the same shape.
    """

    def __init__(self, width: int, heads: int, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{width} channels cannot be split among {heads} heads: choose a width that is a multiple of it")
        self.heads, self.attend = heads, attend
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, T, width] to the same shape."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [B, heads, T, d] each
        x = x + self.out(self.attend(q, k, v).transpose(1, 2).flatten(2))  # [B, T, width]
        return x + self.mlp(self.norm2(x))


class TransformerGenerator(nn.Module):
    """A grid of side/4 x side/4 tokens, pixel shuffle to side/2 x side/2, and 2 x 2 pixels from each token there.

    z_dim: size of the latent.
    width: channels of the coarse tokens; the fine ones have a quarter.
    depth: blocks on the coarse grid; one more block on the fine grid smooths the seams between patches.
    heads: attention heads.
    conditional: an embedding of the class is concatenated to the latent.
    """

    def __init__(
        self, spec: Spec, z_dim: int = 64, width: int = 128, depth: int = 3, heads: int = 4, conditional: bool = False
    ) -> None:
        super().__init__()
        side = square_side(spec)
        self.grid = side // 4
        if side % 4:
            raise ValueError(
                f"a side of {side} pixels has no grid of 4 x 4 patches: use a multiple of 4, such as 8, 28, 32, 64"
            )
        if width % 4:
            raise ValueError(f"pixel shuffle divides the {width} channels by 4: choose a width that is a multiple of 4")
        self.z_dim, self.classes = z_dim, count_classes(spec, conditional)
        self.embedding = nn.Embedding(self.classes, z_dim) if conditional else None
        self.tokens = nn.Linear(2 * z_dim if conditional else z_dim, self.grid**2 * width, bias=False)
        self.coarse_positions = positions(self.grid**2, width)
        self.coarse = nn.Sequential(*[Block(width, heads, F.scaled_dot_product_attention) for _ in range(depth)])
        self.fine_positions = positions((2 * self.grid) ** 2, width // 4)
        self.fine = Block(width // 4, heads, F.scaled_dot_product_attention)
        self.pixels = nn.Sequential(nn.LayerNorm(width // 4), nn.Linear(width // 4, 4 * spec.shape[0]))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim] from N(0, I) and, if conditional, labels y [B] to images [B, *shape] in [-1, 1]."""
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(y)], dim=1)  # [B, 2 z_dim]
        x = self.tokens(z).unflatten(1, (self.grid**2, -1))  # [B, T, width]
        x = self.coarse(x + self.coarse_positions)
        x = F.pixel_shuffle(x.mT.unflatten(2, (self.grid, self.grid)), 2)  # [B, width / 4, side / 2, side / 2]
        x = self.fine(x.flatten(2).mT + self.fine_positions)  # [B, 4 T, width / 4]
        x = self.pixels(x).mT.unflatten(2, (2 * self.grid, 2 * self.grid))  # [B, 4 C, side / 2, side / 2]
        return torch.tanh(F.pixel_shuffle(x, 2))


class TransformerDiscriminator(nn.Module):
    """Patches as tokens, blocks of attention, one logit from the mean token.

    width: channels of the tokens.
    depth: blocks.
    heads: attention heads.
    patch: side of a patch in pixels.
    conditional: adds to the logit the product of mean token and class embedding (Miyato & Koyama 2018, eq. 3).
    """

    def __init__(
        self, spec: Spec, width: int = 128, depth: int = 3, heads: int = 4, patch: int = 4, conditional: bool = False
    ) -> None:
        super().__init__()
        side, classes = square_side(spec), count_classes(spec, conditional)
        if side % patch:
            raise ValueError(f"a side of {side} pixels has no grid of {patch} x {patch} patches: use a multiple of {patch}")
        self.patches = nn.Conv2d(spec.shape[0], width, patch, stride=patch)
        self.positions = positions((side // patch) ** 2, width)
        self.blocks = nn.Sequential(*[Block(width, heads, plain_attention) for _ in range(depth)], nn.LayerNorm(width))
        self.logit = nn.Linear(width, 1)
        self.embedding = nn.Embedding(classes, width) if conditional else None

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images [B, *shape] in [-1, 1] and, if conditional, labels y [B] to logits [B]."""
        tokens = self.patches(x).flatten(2).mT + self.positions  # [B, T, width]
        mean = self.blocks(tokens).mean(1)  # [B, width]
        logits = self.logit(mean).squeeze(1)  # [B]
        return logits if self.embedding is None else logits + (self.embedding(y) * mean).sum(1)


def positions(tokens: int, width: int) -> nn.Parameter:
    """Learned positions [1, T, width], initially almost as large as the tokens: ViT's 0.02 would take long to grow."""
    return nn.Parameter(0.3 * torch.randn(1, tokens, width))
