"""The negative log-likelihood of rows of a split, and samples, for all suites that measure them."""

import sys
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch

from src.config.errors import UserError
from src.data.dataset import Dataset, Split
from src.data.spec import Batch, Spec
from src.models.capabilities import BoundsLikelihood, InterpolatesBetween, Likelihood, Samples, SymbolLikelihood
from src.models.model import Model
from src.parallel.collectives import is_first, shared
from src.system.progress import Line
from src.training import rng

BATCH = 128  # samples per batch; the batches do not depend on the number of ranks
STEPS, PAIRS = 8, 100  # of an interpolation, and most interpolations


def subset(available: int, wanted: int | None, seed: int, stream: str) -> np.ndarray:
    """`wanted` of `available` rows, drawn at random and sorted; all rows if `wanted` is None or not smaller."""
    if not available:
        raise UserError("a split has no samples to score: take more data, or a larger share of them for it")
    if wanted is None or wanted >= available:
        return np.arange(available)
    return np.sort(np.random.default_rng(rng.key(seed, stream)).choice(available, wanted, replace=False))


def bound_of(model: Model) -> str:
    """What kind of bound a model's likelihood is; empty if it is exact."""
    return model.bound if isinstance(model, BoundsLikelihood) else ""


def score(model: Model, spec: Spec, split: Split, rows: np.ndarray, final: bool = False) -> tuple[float, int]:
    """Nats per symbol of these rows of a split, and their number of symbols. Each rank scores a part of them.

    final: take the tightest bound of a model that has several.
    """
    assert isinstance(model, Likelihood)
    nll = model.tight_nll if final and isinstance(model, BoundsLikelihood) else model.nll

    def score_batch(rows: np.ndarray) -> np.ndarray:
        """Nats and symbols of each sample, [B, 2]."""
        found = nll(to_model(split.batch(rows), spec, model))
        return torch.stack([part.cpu().double() for part in found], dim=1).numpy()

    # One sum over all samples: it does not depend on the number of ranks.
    nats, symbols = in_batches(score_batch, rows, "samples scored" if final else "").sum(axis=0)
    return float(nats / symbols), int(symbols)


def score_symbols(
    model: Model, spec: Spec, read: Callable[[np.ndarray], dict[str, np.ndarray]], rows: np.ndarray, what: str = ""
) -> np.ndarray:
    """Nats of each symbol, [N, ...] as `nll_by_symbol` has them. Each rank scores a part of the rows.

    read: rows to a batch of data. what: the samples' name, by which rank 0 counts them on stderr; empty for silence.
    """
    assert isinstance(model, SymbolLikelihood)

    def score_batch(rows: np.ndarray) -> np.ndarray:
        return model.nll_by_symbol(to_model(read(rows), spec, model))[0].cpu().double().numpy()

    return in_batches(score_batch, rows, f"{what} scored" if what else "")


def to_model(batch: dict[str, np.ndarray], spec: Spec, model: Model) -> Batch:
    """A batch of data in the model's format, on its device."""
    return spec.to_model({name: torch.from_numpy(part).to(model.device) for name, part in batch.items()}, model.dtype)


def in_batches(compute: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, what: str = "") -> np.ndarray:
    """The results of BATCH rows at a time, joined. Each rank computes a part of them; every rank gets all.

    what: what rank 0 counts on stderr; empty for silence.
    """

    def part(own: slice) -> np.ndarray:
        line, found = Line(sys.stderr), []
        for start in range(own.start, own.stop, BATCH):
            stop = min(start + BATCH, own.stop)
            found.append(compute(rows[start:stop]))
            if what and is_first():
                line.count(stop - own.start, own.stop - own.start, what)
        line.end()
        return np.concatenate(found)

    return np.concatenate(shared(part, len(rows), BATCH))


def draw(
    model: Samples,
    dataset: Dataset,
    seed: int,
    count: int,
    name: str,
    show: bool = False,
    without: Collection[str] = (),
    **how: Any,
) -> np.ndarray:
    """Samples of the seeds seed .. seed + count - 1 in the data's dtype. Their conditions are those of a split's, in turn.

    name: of the split. without: conditions that keep the model's default. how: further arguments of the model's `sample`.
    """
    split = dataset.split(name)

    def sample(rows: np.ndarray) -> np.ndarray:
        seeds, batch = [seed + int(row) for row in rows], split.batch(rows % len(split))
        cond = model.conditions(seeds)
        cond |= {field: torch.from_numpy(batch[field]) for field in cond if field in batch and field not in without}
        return dataset.spec.x.to_data(model.sample(seeds, cond, **how)).numpy()

    return in_batches(sample, np.arange(count), "samples" if show else "")


def interpolations(
    model: InterpolatesBetween, dataset: Dataset, split: str, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paths [R, STEPS, *shape] between pairs of these rows of a split, and their ends, both [R, *shape], in the data's dtype.

    A row is in one pair; up to PAIRS pairs, drawn by seed.
    """
    chosen = np.random.default_rng(0).permutation(rows)[: 2 * PAIRS]
    a, b = (dataset.split(split).batch(part)["x"] for part in chosen[: len(chosen) // 2 * 2].reshape(2, -1))
    ends = [dataset.spec.to_model({"x": torch.from_numpy(part)})["x"] for part in (a, b)]

    def between(rows: np.ndarray) -> np.ndarray:
        found = [model.interpolate_between(ends[0][row], ends[1][row], STEPS) for row in rows]
        return dataset.spec.x.to_data(torch.stack(found)).numpy()

    return in_batches(between, np.arange(len(a))), a, b
