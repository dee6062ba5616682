"""Metrics from nearest neighbours: precision and recall, density and coverage, nearest training images, memorisation.

Distances are Euclidean, computed in chunks, so that 55,000 x 55,000 of them need little memory.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 8_000_000  # distances held at once: 32 MB


def nearest(queries: Tensor, bank: Tensor, k: int = 1, exclude_self: bool = False) -> tuple[Tensor, Tensor]:
    """Distances [N, k], ascending, and indices [N, k] into `bank` [M, D] of the k nearest to each of `queries` [N, D].

    exclude_self: the queries are the bank, and no row is its own neighbour, though a duplicate of it may be.
    """
    indices = torch.empty(len(queries), k, dtype=torch.int64)
    for rows, relative in _relative_squares(queries, bank):
        if exclude_self:
            relative[torch.arange(len(relative)), torch.arange(len(queries))[rows]] = torch.inf
        indices[rows] = relative.topk(k, dim=1, largest=False).indices
    # With the expanded square, rounding makes the distance of a copy nonzero, so the k distances are computed again.
    distances = torch.stack([(queries - bank[column]).norm(dim=1) for column in indices.T], dim=1)
    order = distances.argsort(dim=1, stable=True)
    return distances.gather(1, order), indices.gather(1, order)


def radii(reference: Tensor, k: int = 5) -> Tensor:
    """Distance of each reference sample [M, D] to its k-th nearest other one, [M]."""
    return nearest(reference, reference, min(k, len(reference) - 1), exclude_self=True)[0][:, -1]


class Manifolds(NamedTuple):
    """How far two sets cover each other (Kynkaanniemi et al. 2019, eq. 2; Naeem et al. 2020, eq. 4 and 5).

    precision: share of samples inside the reference's manifold, 0 to 1. recall: share of the reference inside the samples'
    manifold, 0 to 1. density: mean number of the reference's balls that contain a sample, divided by density_k, 0 and up,
    about 1 for real data. coverage: share of the reference's balls that contain a sample, 0 to 1.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifolds(
    samples: Tensor,
    reference: Tensor,
    k: int = 3,
    density_k: int = 5,
    radius: Tensor | None = None,
    density_radius: Tensor | None = None,
) -> Manifolds:
    """The four metrics of samples [N, D] and a reference [M, D], all finite. A manifold is the union of balls around a set.

    The balls of precision and recall reach to the k-th nearest other point, those of density and coverage to the density_k-th.
    Precision and recall equal torch-fidelity's `prc` bit for bit, which holds all distances in memory at once.

    radius, density_radius: [M] `manifold_radii(reference, k)` and `radii(reference, density_k)`, if already computed.
    """
    radius = manifold_radii(reference, k) if radius is None else radius
    density_radius = radii(reference, density_k) if density_radius is None else density_radius
    sample_radius = manifold_radii(samples, k)
    precise = torch.zeros(len(samples), dtype=torch.bool)
    recalled, covered, inside = [], [], 0
    for rows in _chunks(reference, samples):
        distances = torch.cdist(reference[rows], samples)
        precise |= (distances <= radius[rows, None]).any(dim=0)
        recalled.append((distances <= sample_radius).any(dim=1))
        balls = distances < density_radius[rows, None]
        covered.append(balls.any(dim=1))
        inside += int(balls.count_nonzero())
    return Manifolds(
        precise.float().mean().item(),
        torch.cat(recalled).float().mean().item(),
        inside / (min(density_k, len(reference) - 1) * len(samples)),
        torch.cat(covered).float().mean().item(),
    )


def manifold_radii(points: Tensor, k: int) -> Tensor:
    """Distance of each point to its k-th nearest other one by `cdist`, [N]; `radii` is more exact."""
    k = min(k, len(points) - 1) + 1  # + 1: the nearest point is the point itself
    distances = (torch.cdist(points[rows], points) for rows in _chunks(points, points))
    return torch.cat([distance.topk(k, dim=1, largest=False).values[:, -1] for distance in distances])


def closeness(samples: Tensor, train: Tensor, spacing: Tensor) -> Tensor:
    """Distance of each sample to its nearest training sample, divided by that training sample's spacing, [N]; 0 is a copy.

    spacing: [M] `radii(train, k=1)`, the distance of each training sample to its nearest other one. Without the division,
    samples of a dense region (plain digits 1) would look like copies. Alaa et al. 2022 (authenticity) compare the same two
    distances; this is their ratio.
    """
    distances, indices = nearest(samples, train)
    return distances[:, 0] / spacing[indices[:, 0]].clamp(min=1e-6)


def copies(sample_closeness: Tensor, held_out_closeness: Tensor, quantile: float = 0.05) -> float:
    """Share of samples whose closeness is at most the `quantile` (5 %) of held-out real data, 0 to 1.

    About 0.05 for unseen real data, less for samples far from all training data, 1 for copies of training samples. Held-out
    data calibrates the natural closeness, as in Meehan et al. 2020.
    """
    return (sample_closeness <= held_out_closeness.quantile(quantile)).float().mean().item()


def _relative_squares(queries: Tensor, bank: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Slices of the queries and their squared distances [rows, M] minus the query's square, which does not change the order."""
    bank_squares = bank.square().sum(dim=1)
    for rows in _chunks(queries, bank):
        yield rows, (-2 * queries[rows] @ bank.T).add_(bank_squares)


def _chunks(queries: Tensor, bank: Tensor) -> Iterator[slice]:
    """Slices of the queries with at most `CHUNK` distances to the bank."""
    step = max(1, CHUNK // len(bank))
    for start in range(0, len(queries), step):
        yield slice(start, start + step)
