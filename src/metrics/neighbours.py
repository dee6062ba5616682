"""What nearest neighbours tell: precision and recall, density and coverage, the nearest training images, and memorisation.

Distances are Euclidean, computed in chunks so that 55,000 x 55,000 fits anywhere.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 8_000_000  # distances held at once: 32 MB, which a processor's cache may hold
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


def precision_recall(samples: Tensor, reference: Tensor, k: int = 3, radius: Tensor | None = None) -> tuple[float, float]:
    """Share of samples inside the reference's manifold, and the reverse, 0 to 1 (Kynkaanniemi et al. 2019, eq. 2).

    A manifold is the union of balls around its points that reach to their k-th nearest other one. By `cdist`, so that the
    numbers are torch-fidelity's `prc` bit for bit, which holds all distances at once and looks for the k-th among whole rows.

    radius: [M] `manifold_radii(reference, k)`, where it is known.
    """
    k = min(k, len(samples) - 1, len(reference) - 1)
    radius = manifold_radii(reference, k) if radius is None else radius
    sample_radius = manifold_radii(samples, k)
    precise, recalled = torch.zeros(len(samples), dtype=torch.bool), torch.empty(len(reference), dtype=torch.bool)
    for rows in _chunks(reference, samples):
        distances = torch.cdist(reference[rows], samples)
        precise |= any_of(distances <= radius[rows, None], dim=0)
        recalled[rows] = any_of(distances <= sample_radius, dim=1)
    return precise.float().mean().item(), recalled.float().mean().item()


def manifold_radii(points: Tensor, k: int) -> Tensor:
    """[N] distance of each point to its k-th nearest other one by `cdist`, which `radii` is more exact than."""
    # k + 1: a point is the nearest to itself.
    smallest = [torch.cdist(points[rows], points).topk(k + 1, largest=False, sorted=False) for rows in _chunks(points, points)]
    return torch.cat([found.values for found in smallest]).amax(dim=1)


def density_coverage(samples: Tensor, reference: Tensor, radius: Tensor, k: int = 5) -> tuple[float, float]:
    """Density (0 and up, about 1 for real data) and coverage (0 to 1) of Naeem et al. 2020, equations 4 and 5.

    radius: [M] from `radii(reference, k)`. Density counts in how many reference balls a sample lies, over k; coverage
    is the share of reference balls that hold a sample.
    """
    inside = 0
    covered = torch.zeros(len(reference), dtype=torch.bool)
    for rows, relative in _relative_squares(samples, reference):
        hit = relative + samples[rows].square().sum(dim=1, keepdim=True) < radius**2
        inside += int(hit.count_nonzero())  # `sum` takes 20 times as long
        covered |= any_of(hit, dim=0)
    return inside / (min(k, len(reference) - 1) * len(samples)), covered.float().mean().item()


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


def any_of(found: Tensor, dim: int) -> Tensor:
    """`found.any(dim)` of booleans, which on a CPU takes 30 times as long."""
    return found.view(torch.uint8).amax(dim).bool()


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
