"""A decoder-only transformer over the patches of an image, and a small network over the pixels of a patch.

p(x) = prod_t prod_j p(x_tj | x_t1 .. x_t,j-1, x_1 .. x_t-1) for patch t in raster order and its pixel j, channels innermost.
Each factor is a distribution over the levels of a pixel, so that the likelihood is exact. Parmar et al. 2018 (Image
Transformer, arXiv:1802.05751) predict pixel by pixel; patches make the sequence shorter by p^2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.data.spec import Spec
from src.networks.causal import Cache, CausalTransformer, rotations
from src.networks.pixel_likelihoods import HALF_LEVEL, log_discretised_logistic
from src.networks.sizes import count_classes

LOG_SCALE_MIN = -7.0  # of a logistic: a tenth of a level's width in [-1, 1] (as in PixelCNN++'s code)


@dataclass
class PatchCache:
    """What earlier calls of `PatchDecoder.step` leave.

    trunk: of the transformer. pixels: [B, before + T, D] in [-1, 1], 0 where not drawn yet and before the first patch.
    start: input [B, 1, width] that every patch gets. hidden: [B, D, hidden], what the pixels of the current patch get from its
    context and its neighbours. drawn: number of pixels drawn.
    """

    trunk: Cache
    pixels: Tensor
    start: Tensor
    hidden: Tensor
    drawn: int = 0


class PatchDecoder(CausalTransformer):
    """Images to the distribution of each pixel, given the pixels before it.

    The input of patch t are the pixels of the patches to its left and above it, its position and its class; attention sees
    those of all patches before it. A pixel's distribution is computed from the context of its patch, the same neighbours, and
    the earlier pixels of the patch, by one hidden layer.

    width: channels of a patch. depth: blocks. heads: attention heads. patch: pixels of a patch's side; it must divide the sides
    of the images. hidden: units of the hidden layer for each pixel. mixture: logistic components of a pixel with 256 levels
    (Salimans et al. 2017, PixelCNN++, eq. 2); 0, or other numbers of levels: a softmax over the levels.
    conditional: the class is embedded.
    """

    mask: Tensor
    rotation: Tensor

    def __init__(
        self,
        spec: Spec,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        patch: int = 4,
        hidden: int = 64,
        mixture: int = 10,
        conditional: bool = False,
    ) -> None:
        if spec.kind != "image" or spec.x.dtype != "uint8":
            raise ValueError(f"a patch decoder takes images of uint8 pixels and the data are {spec.kind}: take images")
        channels, height, wide = spec.shape
        if height % patch or wide % patch:
            raise ValueError(f"patches of side {patch} do not tile images of {height} x {wide}: choose one that divides both")
        if width % (4 * heads):
            raise ValueError(
                f"{width} channels do not give each of {heads} heads pairs for rows and as many for columns: choose a width "
                f"that is a multiple of {4 * heads}"
            )
        rows, columns, size = height // patch, wide // patch, channels * patch**2
        offsets = sorted({1, columns - 1, columns, columns + 1} - {0})  # patch t - offset is to the left of t, or above
        super().__init__(nn.Linear(len(offsets) * size, width), width, depth, heads)
        self.field, self.patch, self.grid, self.size, self.offsets = spec.x, patch, (rows, columns), size, offsets
        self.classes = count_classes(spec, conditional)
        self.conditions = ("y",) if self.classes else ()
        self.starts = nn.Embedding(max(self.classes, 1), width)
        self.position = nn.Parameter(0.02 * torch.randn(rows * columns, width))
        self.mixture = mixture if spec.x.levels == 256 else 0
        inputs = (1 + len(offsets)) * size + width
        self.pixels = nn.Linear(inputs, size * hidden)
        self.out = nn.Linear(hidden, 3 * self.mixture or spec.x.levels)
        nn.init.normal_(self.starts.weight, std=0.1)
        if self.mixture:
            with torch.no_grad():
                self.out.bias[mixture:].copy_(torch.cat([torch.linspace(-1, 1, mixture), torch.full((mixture,), -2.0)]))
        earlier = torch.ones(size, size).tril(-1)[:, None].expand(size, hidden, size)  # [D, hidden, D]
        self.register_buffer("mask", F.pad(earlier, (0, inputs - size), value=1.0).flatten(0, 1), persistent=False)
        place = torch.arange(rows * columns)
        by_row, by_column = (rotations(part, self.channels // 2) for part in (place // columns, place % columns))
        self.register_buffer("rotation", torch.cat([by_row, by_column], dim=1), persistent=False)  # [T, d / 2, 2]

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images [B, C, H, W] in [-1, 1], y [B] if conditional, to parameters [B, T * D, P] of the pixels' distributions.

        P: 3 * mixture (weights' logits, means, log-scales), or the number of levels (logits).
        """
        patches = self.to_patches(x)  # [B, T, D]
        before, length = max(self.offsets), patches.shape[1]
        padded = F.pad(patches, (0, 0, before, 0))
        near = torch.cat([padded[:, before - offset :][:, :length] for offset in self.offsets], dim=2)  # [B, T, 4 D]
        start = self.starts(self.start(len(x), y))  # [B, 1, width]
        contexts = self.contexts(self.embedding(near) + self.position + start, self.rotation)  # [B, T, width]
        seen = torch.cat([patches, near, contexts], dim=2)  # [B, T, 5 D + width]
        hidden = F.linear(seen, self.pixels.weight * self.mask, self.pixels.bias).unflatten(2, (self.size, -1))
        return self.out(F.gelu(hidden)).flatten(1, 2)  # from [B, T, D, hidden]

    def nats(self, parameters: Tensor, x: Tensor) -> Tensor:
        """-log p of each pixel [B, T * D] from `forward`'s parameters."""
        if not self.mixture:
            nats = F.cross_entropy(parameters.flatten(0, 1), self.symbols(x).flatten(), reduction="none")
            return nats.unflatten(0, (len(x), -1))
        weights, means, log_scales = parameters.to(x.dtype).chunk(3, dim=2)  # [B, T * D, mixture] each
        pixels = self.to_patches(x).flatten(1)[..., None].expand_as(means)
        parts = log_discretised_logistic(pixels, means, log_scales.clamp(min=LOG_SCALE_MIN))
        return -(weights.log_softmax(dim=2) + parts).logsumexp(dim=2)

    def log_probabilities(self, parameters: Tensor) -> Tensor:
        """Logits of the levels [B, levels] from the parameters [B, P] of one pixel; those of a mixture to about 1e-7 of p."""
        if not self.mixture:
            return parameters
        weights, means, log_scales = parameters.chunk(3, dim=1)  # [B, mixture] each
        levels = torch.arange(1, 256, dtype=parameters.dtype, device=parameters.device)
        edges = levels / 127.5 - 1 - HALF_LEVEL  # [255], between the levels
        precision = torch.exp(-log_scales.clamp(min=LOG_SCALE_MIN))
        below = (edges - means[..., None]).mul_(precision[..., None]).sigmoid_()  # [B, mixture, 255]
        cumulative = (weights.softmax(dim=1)[:, None] @ below).squeeze(1)  # [B, 255]
        p = torch.diff(F.pad(F.pad(cumulative, (1, 0)), (0, 1), value=1.0), dim=1)
        return p.clamp(min=1e-12).log()

    # Pixel by pixel

    def start(self, batch: int, y: Tensor | None = None) -> Tensor:
        """The start symbol [B, 1]: the class y [B], or 0."""
        if self.classes:
            assert y is not None, "a conditional network needs labels"
            return y[:, None]
        return torch.zeros(batch, 1, dtype=torch.int64, device=self.position.device)

    def cache(self, batch: int, length: int) -> PatchCache:
        """An empty cache for one image; its `length` is that of the data."""
        zeros, patches = self.position.new_zeros, len(self.position)
        assert length == patches * self.size
        pixels = zeros(batch, max(self.offsets) + patches, self.size)
        return PatchCache(
            self.empty_cache(batch, patches), pixels, zeros(batch, self.position.shape[1]), zeros(batch, self.size, 0)
        )

    @torch.no_grad()
    def step(self, symbol: Tensor, cache: PatchCache) -> Tensor:
        """The last pixel's level [B, 1], at first `start`, to the logits [B, levels] of the next pixel; adds to the cache."""
        before = max(self.offsets)
        if cache.drawn == 0:
            cache.start = self.starts(symbol)  # [B, 1, width]
        else:
            patch, pixel = divmod(cache.drawn - 1, self.size)
            cache.pixels[:, before + patch, pixel] = self.values(symbol[:, 0])
        patch, pixel = divmod(cache.drawn, self.size)
        weight = self.pixels.weight  # [D * hidden, 5 D + width]; no mask is needed, because pixels that are not drawn yet are 0
        if pixel == 0:
            near = torch.cat([cache.pixels[:, before + patch - offset] for offset in self.offsets], dim=1)  # [B, 4 D]
            x = (self.embedding(near) + self.position[patch])[:, None] + cache.start
            context = self.step_on(x, self.rotation[patch : patch + 1], cache.trunk)  # [B, width]
            hidden = F.linear(torch.cat([near, context], dim=1), weight[:, self.size :], self.pixels.bias)
            cache.hidden = hidden.unflatten(1, (self.size, -1))
        cache.drawn += 1
        own = weight.unflatten(0, (self.size, -1))[pixel, :, : self.size]  # [hidden, D]
        hidden = cache.hidden[:, pixel] + F.linear(cache.pixels[:, before + patch], own)
        return self.log_probabilities(self.out(F.gelu(hidden)))

    # Images and symbols

    def to_patches(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] to patches in raster order [B, T, D], pixels in raster order, channels innermost."""
        cut = x.unflatten(3, (-1, self.patch)).unflatten(2, (-1, self.patch))  # [B, C, rows, p, columns, p]
        return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)

    def to_images(self, pixels: Tensor) -> Tensor:
        """Pixels [B, T * D] in the order in which they are predicted to images [B, C, H, W]."""
        shape = *self.grid, self.patch, self.patch, self.field.shape[0]
        return pixels.unflatten(1, shape).permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)

    def symbols(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] to the levels of their pixels, int64 [B, T * D]."""
        return ((self.to_patches(x).flatten(1) + 1) * ((self.field.levels - 1) / 2)).round().long()

    def values(self, symbols: Tensor) -> Tensor:
        """Levels, any shape, to pixels in [-1, 1]: what the data's `to_model` gives."""
        return self.field.to_model((symbols * 255 // (self.field.levels - 1)).to(torch.uint8), self.position.dtype)
