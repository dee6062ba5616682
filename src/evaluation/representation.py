"""Class information in embeddings learnt without labels: nearest neighbours and a linear probe on frozen embeddings."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize, one_hot

from src.config.errors import UserError
from src.data.dataset import Dataset
from src.data.spec import Batch, Spec
from src.evaluation.suite import Column, Main, record
from src.models.capabilities import Embeds
from src.models.model import Model
from src.parallel.collectives import from_first, shared
from src.training import rng

BATCH = 256  # samples per call of the model
CHUNK = 1_000  # queries whose similarities to the whole bank are held at once
NEIGHBOURS, TEMPERATURE = 20, 0.07  # Wu et al. 2018 (arXiv:1805.01978), section 3.4; k for thousands of samples, not millions
RIDGE = 1e-3  # times the mean variance of an embedding's components
LARGEST_SIDE = 32  # pixels; the control `pixels` averages larger images down to it
CONTROL_NAMES = {
    "pixels": "raw pixels (baseline)",
    "untrained": "the same network, untrained",
    "chance": "always the most frequent class",
}

Embed = Callable[[Batch], Tensor]  # a batch of model input -> [B, D]


class Labelled(NamedTuple):
    """Embeddings [N, D] and classes [N], on the CPU."""

    x: Tensor
    y: Tensor


class RepresentationSuite:
    """Accuracy on another split of classifiers that learn from a model's embeddings of labelled training data.

    samples: most samples of the split that are classified.
    training: most training samples that the classifiers learn from.
    validation_samples: most samples of the validation split, and of the training split, for `validate`.
    seed: seed of these random subsets and of the untrained network's weights.
    split: split of the final evaluation.
    device: device of the final evaluation; None for the model's.
    cache: not used; every suite takes one.
    """

    main = Main("knn_accuracy", "higher")
    better = main.better
    columns = (
        Column("knn_accuracy", "k-NN accuracy", f"share of right classes by the {NEIGHBOURS} nearest neighbours", "higher"),
        Column(
            "linear_accuracy", "linear accuracy", "share of right classes by a linear classifier (ridge regression)", "higher"
        ),
    )

    def __init__(
        self,
        samples: int = 10_000,
        training: int = 10_000,
        validation_samples: int = 2_000,
        seed: int = 0,
        split: str = "test",
        device: str | None = None,
        cache: Path | None = None,
    ) -> None:
        self.samples, self.training, self.validation_samples = samples, training, validation_samples
        self.seed, self.split, self.device = seed, split, device

    def check(self, spec: Spec) -> None:
        if spec.kind != "image" or not spec.classes:
            raise UserError("representations are measured on images that have classes: take such data (data=mnist)")

    def check_model(self, model: Model) -> None:
        if not isinstance(model, Embeds):
            raise UserError(f"{type(model).__name__} has no embeddings: take another evaluation=, or model=contrastive")

    def validate(self, model: Model, dataset: Dataset) -> float:
        embed = embedder(model)
        n = self.validation_samples
        bank, queries = (self.embedded(embed, model, dataset, split, n) for split in ("train", "validation"))
        return from_first(lambda: knn_accuracy(bank, queries, len(dataset.spec.classes)))

    def evaluate(self, model: Model, dataset: Dataset, modality: Any, folder: Path) -> dict[str, Any]:
        """See Suite; nothing is written to the folder."""
        embed = embedder(model)
        if self.device:
            model.to(self.device)
        metrics, counts = self.measure(embed, model, dataset)
        with untrained(model.network(), self.seed):
            control, _ = self.measure(embed, model, dataset)
        controls = {"pixels": self.measure(pixels, model, dataset)[0], "untrained": control, "chance": self.chance(dataset)}
        protocol = {
            "data": dataset.name,
            "data_sha256": dataset.hashes(),
            "split": self.split,
            **counts,
            "seed": self.seed,
            "knn": {"k": NEIGHBOURS, "similarity": "cosine", "vote": f"exp(similarity / {TEMPERATURE})"},
            "ridge": RIDGE,
            "pixels": f"black is zero, averaged to {LARGEST_SIDE} x {LARGEST_SIDE} where larger",
        }
        return record(self.main, list(self.columns), metrics, controls, CONTROL_NAMES, protocol, device=str(model.device))

    def measure(self, embed: Embed, model: Model, dataset: Dataset) -> tuple[dict[str, float], dict[str, int]]:
        """The metrics, and the numbers of samples and dimensions behind them."""
        bank = self.embedded(embed, model, dataset, "train", self.training)
        queries = self.embedded(embed, model, dataset, self.split, self.samples)
        metrics = from_first(lambda: accuracies(bank, queries, len(dataset.spec.classes)))
        return metrics, {"samples": len(queries.y), "training": len(bank.y), "dimensions": bank.x.shape[1]}

    def chance(self, dataset: Dataset) -> dict[str, float]:
        """Accuracy if every answer is the most frequent class of the training samples."""
        train, test = (self.chosen(dataset, split, n)[1] for split, n in (("train", self.training), (self.split, self.samples)))
        accuracy = (test == train.bincount().argmax()).double().mean().item()
        return {column.key: accuracy for column in self.columns}

    def chosen(self, dataset: Dataset, split: str, n: int) -> tuple[np.ndarray, Tensor]:
        """Ascending indices of `n` random samples of a split, of all if it has fewer; and their classes."""
        part = dataset.split(split)
        index = (
            torch.randperm(len(part), generator=rng.generator(self.seed, f"representation/{split}"))[:n].sort().values.numpy()
        )
        return index, torch.from_numpy(part.batch(index)["y"])

    def embedded(self, embed: Embed, model: Model, dataset: Dataset, split: str, n: int) -> Labelled:
        """Embeddings of `n` samples of a split; each rank embeds a part of them."""
        index, y = self.chosen(dataset, split, n)
        part = dataset.split(split)

        def rows(wanted: slice) -> Tensor:
            found = []
            for start in range(wanted.start, wanted.stop, BATCH):
                arrays = part.batch(index[start : min(start + BATCH, wanted.stop)])
                batch = {name: torch.from_numpy(array).to(model.device) for name, array in arrays.items()}
                found.append(embed(dataset.spec.to_model(batch, model.dtype)).float().cpu())
            return torch.cat(found)

        return Labelled(torch.cat(shared(rows, len(index), BATCH)), y)


def embedder(model: Model) -> Embed:
    assert isinstance(model, Embeds)
    return model.embed


def pixels(batch: Batch) -> Tensor:
    """Images [B, C, H, W] in [-1, 1] as vectors [B, C * H' * W'] in [0, 1]."""
    height, width = (min(size, LARGEST_SIDE) for size in batch["x"].shape[2:])
    return (adaptive_avg_pool2d(batch["x"], (height, width)).flatten(1) + 1) / 2


@contextlib.contextmanager
def untrained(network: nn.Module, seed: int) -> Iterator[None]:
    """Within this context the network has random weights: each layer is initialised again, from this seed.

    Parameters of modules without `reset_parameters` have their entries shuffled instead.
    """
    trained = copy.deepcopy(network.state_dict())
    fresh = copy.deepcopy(network).cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(rng.key(seed, "untrained"))
        for module in fresh.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()  # type: ignore[operator]
            else:
                for parameter in module.parameters(recurse=False):
                    parameter.copy_(parameter.flatten()[torch.randperm(parameter.numel())].view_as(parameter))
    try:
        network.load_state_dict(fresh.state_dict())
        yield
    finally:
        network.load_state_dict(trained)


def accuracies(bank: Labelled, queries: Labelled, classes: int) -> dict[str, float]:
    return {
        "knn_accuracy": knn_accuracy(bank, queries, classes),
        "linear_accuracy": linear_accuracy(bank, queries, classes),
    }


def knn_accuracy(bank: Labelled, queries: Labelled, classes: int) -> float:
    """Share of the queries that a vote of their nearest neighbours in the bank classifies right, by cosine similarity s.

    A neighbour's vote is exp(s / TEMPERATURE) (Wu et al. 2018, section 3.4), so that there are no ties.
    """
    k = min(NEIGHBOURS, len(bank.y))
    directions, right = normalize(bank.x, dim=1), 0
    for x, y in zip(normalize(queries.x, dim=1).split(CHUNK), queries.y.split(CHUNK), strict=True):
        similarity, index = (x @ directions.T).topk(k, dim=1)  # [B, k]
        votes = torch.zeros(len(x), classes).scatter_add_(1, bank.y[index], (similarity / TEMPERATURE).exp())
        right += int((votes.argmax(1) == y).sum())
    return right / len(queries.y)


def linear_accuracy(bank: Labelled, queries: Labelled, classes: int) -> float:
    """Share of the queries that a linear classifier gets right: ridge regression of one-hot classes, solved in float64.

    W = (X^T X / N + r I)^-1 X^T T / N with X [N, D] and T [N, K] minus their means, r = RIDGE * trace(X^T X / N) / D.
    """
    x, targets = bank.x.double(), one_hot(bank.y, classes).double()
    mean, frequency = x.mean(0), targets.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)  # [D, D]
    covariance.diagonal().add_(RIDGE * covariance.diagonal().mean() + torch.finfo(torch.float64).tiny)
    weights = torch.linalg.solve(covariance, (x - mean).T @ (targets - frequency) / len(x))  # [D, K]
    scores = (queries.x.double() - mean) @ weights + frequency
    return (scores.argmax(1) == queries.y).double().mean().item()
