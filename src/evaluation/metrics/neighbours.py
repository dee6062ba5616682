"""What nearest neighbours tell: precision and recall, density and coverage, the nearest training images, and memorisation.

Distances are Euclidean, computed in chunks so that 55,000 x 55,000 fits anywhere.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 8_000_000  # distances held at once: 32 MB, which a processor's cache may hold
ROWS = 50  # rows of distances that are compared at once: 2 MB of 10,000 each, which its second-level cache may hold
BLOCK = 128  # distances of which the least is looked for at once
CELL = 1000  # rows of a bank, on average, that are passed over together where they are too far


def nearest(queries: Tensor, bank: Tensor, k: int = 1, exclude_self: bool = False) -> tuple[Tensor, Tensor]:
    """Distances [N, k], rising, and indices [N, k] into `bank` [M, D] of the k nearest to each of `queries` [N, D].

    exclude_self: the queries are the bank, and no row is its own neighbour (a duplicate of it may be).
    """
    if k == 1 and min(len(queries), len(bank)) >= 2 * CELL:
        indices = _nearest_by_cells(queries, bank, exclude_self)[:, None]
    else:
        indices = torch.empty(len(queries), k, dtype=torch.int64)
        for rows, relative in _relative_squares(queries, bank):
            if exclude_self:
                relative[torch.arange(len(relative)), torch.arange(len(queries))[rows]] = torch.inf
            indices[rows] = least(relative)[:, None] if k == 1 else relative.topk(k, dim=1, largest=False).indices
    # The expanded square loses a copy's zero to rounding, so the few distances that are kept are taken again.
    distances = torch.stack([(queries - bank[column]).norm(dim=1) for column in indices.T], dim=1)
    order = distances.argsort(dim=1, stable=True)
    return distances.gather(1, order), indices.gather(1, order)


def radii(reference: Tensor, k: int = 5) -> Tensor:
    """[M] distance of each reference sample to its k-th nearest other one."""
    return nearest(reference, reference, min(k, len(reference) - 1), exclude_self=True)[0][:, -1]


class Manifolds(NamedTuple):
    """How far two sets cover each other (Kynkaanniemi et al. 2019, eq. 2; Naeem et al. 2020, eq. 4 and 5).

    precision, recall: share of samples inside the reference's manifold, and the reverse, 0 to 1. density: in how many of the
    reference's balls a sample lies, over the neighbours that a ball reaches to, 0 and up, about 1 for real data. coverage:
    share of the reference's balls that hold a sample, 0 to 1.
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
    """Of finite samples [N, D] and a reference [M, D]. A manifold is the union of balls around a set's points.

    Precision and recall, whose balls reach to the k-th nearest other point, are torch-fidelity's `prc` bit for bit, which
    holds all distances at once and looks for the k-th among whole rows. Density and coverage take the density_k-th.

    radius, density_radius: [M] `manifold_radii(reference, k)` and `radii(reference, density_k)`, where they are known.
    """
    radius = manifold_radii(reference, k) if radius is None else radius
    density_radius = radii(reference, density_k) if density_radius is None else density_radius
    sample_radius = manifold_radii(samples, k)
    outside = torch.full((len(samples),), torch.inf)  # how far, of the reference's manifold
    recalled, covered, inside = [], [], 0
    for rows in _chunks(reference, samples):
        distances = torch.cdist(reference[rows], samples)
        parts = (x.split(ROWS) for x in (distances, radius[rows, None], density_radius[rows, None]))
        for distance, near, far in zip(*parts, strict=True):
            # By differences and their least, as comparing takes three times as long.
            outside = torch.minimum(outside, (distance - near).amin(dim=0))
            recalled.append((distance - sample_radius).amin(dim=1) <= 0)
            gap = distance - far
            covered.append(gap.amin(dim=1) < 0)
            inside += int(gap.clamp_(max=0).count_nonzero())
    return Manifolds(
        (outside <= 0).float().mean().item(),
        torch.cat(recalled).float().mean().item(),
        inside / (min(density_k, len(reference) - 1) * len(samples)),
        torch.cat(covered).float().mean().item(),
    )


def manifold_radii(points: Tensor, k: int) -> Tensor:
    """[N] distance of each point to its k-th nearest other one by `cdist`, which `radii` is more exact than."""
    k = min(k, len(points) - 1)
    # k + 1: a point is the nearest to itself.
    return torch.cat([kth_least(torch.cdist(points[rows], points), k + 1) for rows in _chunks(points, points)])


def closeness(samples: Tensor, train: Tensor, spacing: Tensor) -> Tensor:
    """[N] distance to the nearest training sample, over that one's own distance to its nearest other training sample.

    spacing: [M] `radii(train, k=1)`. 0 is a copy; dividing by the local spacing keeps a sample of a dense region (a
    plain digit 1) from looking like one. The comparison of Alaa et al. 2022 (authenticity), kept as a ratio.
    """
    distances, indices = nearest(samples, train)
    return distances[:, 0] / spacing[indices[:, 0]].clamp(min=1e-6)


def copies(sample_closeness: Tensor, held_out_closeness: Tensor, quantile: float = 0.05) -> float:
    """Share of samples closer to the training set than all but 5 % of held-out real data are, 0 to 1.

    About 0.05 for fresh real data, less for samples far from any, 1 for copies of training samples: held-out data
    calibrates what closeness is natural, as in Meehan et al. 2020.
    """
    return (sample_closeness <= held_out_closeness.quantile(quantile)).float().mean().item()


def least(x: Tensor) -> Tensor:
    """`x.argmin(dim=1)` of [N, M], which on a CPU takes four times as long: the least of each block first, then its place."""
    n = x.shape[1] // BLOCK
    if n == 0:
        return x.argmin(dim=1)
    blocks, rest = x[:, : n * BLOCK].unflatten(1, (n, BLOCK)), x[:, n * BLOCK :]
    block = torch.cat([blocks.amin(dim=2), rest], dim=1).argmin(dim=1)  # what is left over counts as blocks of one
    place = block.clamp(max=n - 1)
    inside = place * BLOCK + blocks[torch.arange(len(x)), place].argmin(dim=1)
    return torch.where(block < n, inside, n * BLOCK + block - n)


def kth_least(x: Tensor, k: int) -> Tensor:
    """[N] the k-th least of each row of [N, M], k from 1 to M: it lies in one of the k blocks whose own least are least."""
    n = x.shape[1] // BLOCK
    blocks, rest = x[:, : n * BLOCK].unflatten(1, (n, BLOCK)), x[:, n * BLOCK :]
    lowest = blocks.amin(dim=2).topk(min(k, n), largest=False, sorted=False).indices
    found = blocks.gather(1, lowest[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    return torch.cat([found, rest], dim=1).topk(k, largest=False, sorted=False).values.amax(dim=1)


def _nearest_by_cells(queries: Tensor, bank: Tensor, exclude_self: bool) -> Tensor:
    """[N] indices of the nearest to each query as in the search of the whole bank, the first of several that are equal.

    A row belongs to the (Voronoi) cell of the centre that it is nearest to; the centres are rows as well. First a query's own
    cell is searched, then those whose rows may be nearer: all of them lie beyond the plane halfway between the two centres,
    which is (|q - theirs|^2 - |q - own|^2) / (2 |theirs - own|) away.
    """
    centres = bank[::CELL]
    home = torch.cat([least(relative) for _, relative in _relative_squares(bank, centres)])
    order, sizes = home.argsort(stable=True), home.bincount(minlength=len(centres)).tolist()
    cells = list(zip(order.split(sizes), bank[order].split(sizes), strict=True))
    to_centres = torch.cat([relative for _, relative in _relative_squares(queries, centres)])
    own = to_centres.argmin(dim=1)
    apart = torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")[own]
    # A relative square of rows no longer than l is at most (D + 2) eps/2 (2 l)^2 off, in whatever order its product is summed:
    # less than half of `slack`. Of a plane four are uncertain, two of the query and two of a row, whose home was found by them;
    # then one of the row in question. What is left of `slack`, the half and more, is for the roundings here.
    squares = queries.square().sum(dim=1, keepdim=True)
    slack = (queries.shape[1] + 8) * torch.finfo(bank.dtype).eps * 4 * squares.clamp(min=bank.square().sum(dim=1).max())
    planes = (to_centres - to_centres.amin(dim=1, keepdim=True) - 2 * slack).clamp(min=0) / (2 * apart)
    floor = (planes.square() - squares - 2 * slack).T.contiguous()  # [cells, N] what no relative square in a cell is below

    indices, best = torch.zeros_like(own), torch.full_like(squares[:, 0], torch.inf)
    for others in (False, True):
        for cell, (members, points) in enumerate(cells):
            # Not `floor <= best`: between two equal centres it is nan.
            visitors = ((own != cell) & ~(floor[cell] > best) if others else own == cell).nonzero()[:, 0]
            if min(len(visitors), len(members)) == 0:
                continue
            for part, relative in _relative_squares(queries[visitors], points):
                rows = visitors[part]
                if exclude_self:
                    relative[rows[:, None] == members] = torch.inf
                value = relative.amin(dim=1)
                closer = (value <= best[rows]).nonzero()[:, 0]
                rows, value, found = rows[closer], value[closer], members[least(relative[closer])]
                indices[rows] = torch.where(value < best[rows], found, found.minimum(indices[rows]))
                best[rows] = value
    return indices


def _relative_squares(queries: Tensor, bank: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Slices of the queries with their squared distances [rows, M], less the query's own square: the order is the same."""
    bank_squares = bank.square().sum(dim=1)
    for rows in _chunks(queries, bank):
        yield rows, (-2 * queries[rows] @ bank.T).add_(bank_squares)  # `addmm` would copy the squares row by row first


def _chunks(queries: Tensor, bank: Tensor) -> Iterator[slice]:
    """Slices of the queries that have no more than `CHUNK` distances to the bank."""
    step = max(1, CHUNK // len(bank))
    for start in range(0, len(queries), step):
        yield slice(start, start + step)
