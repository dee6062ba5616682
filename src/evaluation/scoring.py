"""The negative log-likelihood of rows of a split, for all suites that measure one."""

import sys

import numpy as np
import torch

from src.config.errors import UserError
from src.data.dataset import Split
from src.data.spec import Spec
from src.models.capabilities import BoundsLikelihood, Likelihood
from src.models.model import Model
from src.parallel.collectives import is_first, shared
from src.system.progress import Line
from src.training import rng

BATCH = 128  # samples per batch; the batches do not depend on the number of ranks


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
        batch = {name: torch.from_numpy(part).to(model.device) for name, part in split.batch(rows).items()}
        return torch.stack([part.cpu().double() for part in nll(spec.to_model(batch, model.dtype))], dim=1).numpy()

    def score_part(part: slice) -> np.ndarray:
        line, found = Line(sys.stderr), []
        for start in range(part.start, part.stop, BATCH):
            stop = min(start + BATCH, part.stop)
            found.append(score_batch(rows[start:stop]))
            if final and is_first():
                line.count(stop - part.start, part.stop - part.start, "samples scored")
        line.end()
        return np.concatenate(found)

    # One sum over all samples: it does not depend on the number of ranks.
    nats, symbols = np.concatenate(shared(score_part, len(rows), BATCH)).sum(axis=0)
    return float(nats / symbols), int(symbols)
