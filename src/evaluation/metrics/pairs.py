"""Metrics of pictures beside the pictures that they should be: squared and absolute error, structure, edges, features.

Pictures are uint8 [N, C, H, W]; each function returns one value per pair, float64 [N]. mask: bool [N, 1, H, W], the pixels that
count, at least one in each picture; None for all.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

WHITE = 255
ROUNDING = 1 / 12  # variance of rounding to whole levels: no squared error of bytes says less
SSIM_SIDE = 11  # pixels, the side of SSIM's window: the least side of a picture
EDGE = 0.1  # the least step of luminance, 0 to 1, that is an edge
LUMINANCE = 0.299, 0.587, 0.114  # ITU-R BT.601
CHUNK = 250  # pairs at a time, to limit memory


def psnr(samples: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio in decibels, 10 log10(255^2 / squared error), higher is better.

    The squared error counts as at least that of rounding: equal pictures have 58.9 dB.
    """
    error = _mean(lambda a, b: (a - b).square(), samples, targets, mask)
    return 10 * torch.log10(WHITE**2 / error.clamp(min=ROUNDING))


def l1(samples: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute difference of pixels, 0 to 1."""
    return _mean(lambda a, b: (a - b).abs(), samples, targets, mask) / WHITE


def _mean(difference: Callable[[Tensor, Tensor], Tensor], samples: Tensor, targets: Tensor, mask: Tensor | None) -> Tensor:
    found = []
    for rows in _chunks(len(samples)):
        values = difference(samples[rows].double(), targets[rows].double())  # [n, C, H, W]
        counted = torch.ones_like(values) if mask is None else mask[rows].expand_as(values).double()
        found.append((values * counted).sum(dim=(1, 2, 3)) / counted.sum(dim=(1, 2, 3)))
    return torch.cat(found)


def ssim(samples: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity, at most 1, higher is better (Wang et al. 2004, eq. 13: Gaussian window of 11 x 11, sigma 1.5).

    Mean over the channels. Both sides must be at least SSIM_SIDE.
    """
    found = [
        structural_similarity_index_measure(
            samples[rows].double(), targets[rows].double(), data_range=float(WHITE), reduction="none"
        )
        for rows in _chunks(len(samples))
    ]
    return torch.cat([torch.atleast_1d(part) for part in found])


def edges(x: Tensor) -> Tensor:
    """The pixels, bool [N, 1, H, W], at which the Sobel gradient of the luminance is a step of at least EDGE."""
    grey = as_channels(x.double(), 1) / WHITE
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], dtype=torch.float64) / 4
    kernels = torch.stack([across, across.T])[:, None]  # [2, 1, 3, 3]; / 4: a step of h has a gradient of h
    gradient = F.conv2d(F.pad(grey, [1] * 4, mode="replicate"), kernels)  # [N, 2, H, W]
    return gradient.norm(dim=1, keepdim=True) >= EDGE


def edge_f1(samples: Tensor, targets: Tensor) -> Tensor:
    """Harmonic mean of the shares of edges that agree, 0 to 1, higher is better (Martin et al. 2004: precision and recall).

    An edge pixel agrees where the other picture has one at most a pixel away. Two pictures without edges have 1.
    """
    found = []
    for rows in _chunks(len(samples)):
        own, theirs = edges(samples[rows]), edges(targets[rows])
        right = [(a & _wider(b)).sum(dim=(1, 2, 3)) for a, b in ((own, theirs), (theirs, own))]
        counts = [part.sum(dim=(1, 2, 3)) for part in (own, theirs)]
        precision, recall = (hits.double() / count.clamp(min=1) for hits, count in zip(right, counts, strict=True))
        f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
        found.append(torch.where((counts[0] == 0) & (counts[1] == 0), 1.0, f1))
    return torch.cat(found)


def _wider(mask: Tensor) -> Tensor:
    """A mask [N, 1, H, W] and all neighbours of its pixels."""
    return F.max_pool2d(mask.float(), 3, stride=1, padding=1) > 0


def perceptual(samples: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Squared difference of unit-normalised features, 0 to 4, lower is better; features [N, C_l, H_l, W_l] of layers l.

    Features are normalised over the channels; squares are summed over channels, averaged over positions and then over layers.
    This is Zhang et al. 2018, eq. 1, without its learned weights, so it is not LPIPS, and on an extractor that is named.
    """
    layers = []
    for a, b in zip(samples, targets, strict=True):
        difference = F.normalize(a, dim=1) - F.normalize(b, dim=1)  # [N, C, H, W]
        layers.append(difference.square().sum(dim=1).mean(dim=(1, 2)).cpu().double())
    return torch.stack(layers).mean(dim=0)


def as_channels(x: Tensor, channels: int) -> Tensor:
    """Pictures [N, C, H, W] with 1 or 3 channels: grey repeated, or the luminance of colours; bytes stay bytes."""
    if x.shape[1] == channels:
        return x
    if x.shape[1] == 1:
        return x.expand(-1, channels, -1, -1).contiguous()
    grey = torch.einsum("nchw,c->nhw", x.double(), torch.tensor(LUMINANCE, dtype=torch.float64)).unsqueeze(1)
    return grey.round().to(x.dtype) if x.dtype == torch.uint8 else grey.to(x.dtype)


def _chunks(count: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
