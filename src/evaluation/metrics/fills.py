"""Fills of the hole in a picture, without a model.

Pictures are uint8 [N, C, H, W] in 0..255, masks bool [N, 1, H, W], true in the hole.
"""

import numpy as np
import torch
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu
from torch import Tensor

GREY = 127.5  # of a picture that is a hole altogether
BANK = 1000  # pictures of a bank that are compared at a time


def composed(pictures: Tensor, masks: Tensor, content: Tensor) -> Tensor:
    """The pictures with the content's pixels in their holes."""
    return torch.where(masks, content, pictures)


def mean_fill(pictures: Tensor, masks: Tensor) -> Tensor:
    """The mean colour of the pixels around, in the hole."""
    known = (~masks).double()
    count = known.sum(dim=(2, 3), keepdim=True)  # [N, 1, 1, 1]
    mean = (pictures.double() * known).sum(dim=(2, 3), keepdim=True) / count.clamp(min=1)
    colour = torch.where(count > 0, mean, GREY)
    return composed(pictures, masks, colour.round().to(torch.uint8).expand_as(pictures))


def diffusion_fill(pictures: Tensor, masks: Tensor) -> Tensor:
    """The colours in which diffusion from the edge of the hole ends: each pixel is the mean of its neighbours.

    Harmonic inpainting (Chan and Shen 2002): Laplace's equation, solved directly, without a flow over the picture's border.
    """
    filled = [
        _harmonic(x, hole) if hole.any() and not hole.all() else x
        for x, hole in zip(mean_fill(pictures, masks).numpy(), masks[:, 0].numpy(), strict=True)
    ]
    return torch.from_numpy(np.stack(filled))


def _harmonic(x: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """[C, H, W] with the solution in the hole [H, W]: for each pixel, (number of neighbours) u - (sum of neighbours' u) = 0."""
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    at, size = np.argwhere(hole), int(hole.sum())  # [P, 2]
    degree, right = np.zeros(size), np.zeros((size, len(x)))
    rows, columns = [np.arange(size)], [np.arange(size)]
    for step in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        near = at + step
        there = ((near >= 0) & (near < hole.shape)).all(axis=1)
        degree += there
        own, (i, j) = np.flatnonzero(there), near[there].T
        unknown = hole[i, j]
        rows.append(own[unknown])
        columns.append(number[i[unknown], j[unknown]])
        right[own[~unknown]] += x[:, i[~unknown], j[~unknown]].T
    values = np.concatenate([degree, *(np.full(len(part), -1.0) for part in rows[1:])])
    matrix = csc_matrix((values, (np.concatenate(rows), np.concatenate(columns))), shape=(size, size))
    filled = x.copy()
    filled[:, hole] = splu(matrix).solve(right).T.round().clip(0, 255).astype(np.uint8)
    return filled


def nearest_fill(pictures: Tensor, masks: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels of the picture of the bank [M, C, H, W] that is nearest outside the hole; and which one it is, int64 [N].

    By the sum of squared differences of the known pixels.
    """
    known = (~masks).expand_as(pictures).flatten(1).float()  # [N, D]
    x = known * (pictures.flatten(1).float() / 255 - 0.5)
    least, rows = torch.full((len(x),), torch.inf), torch.zeros(len(x), dtype=torch.int64)
    for start in range(0, len(bank), BANK):
        others = bank[start : start + BANK].flatten(1).float() / 255 - 0.5
        squares = known @ others.square().T - 2 * x @ others.T  # [N, M]: without the part that does not depend on the bank
        found, at = squares.min(dim=1)
        rows = torch.where(found < least, at + start, rows)
        least = torch.minimum(found, least)
    return composed(pictures, masks, bank[rows]), rows
