"""python -m benchmarks.evaluation [--samples 10000]: seconds to measure a set of samples, ours against torch-fidelity.

Both sides have the same arrays, the same registered extractor (`digits`), the same test images and warm caches:

ours            `protocol.evaluate`: Frechet and kernel distance, inception score, precision and recall, density and
                coverage, copies, class shares; results for the real images (features, radii, controls) come from our cache
the same four   our functions for the metrics that torch-fidelity has too: Frechet and kernel distance, inception score,
                precision and recall (and density and coverage, which are computed with them)
torch-fidelity  `torch_fidelity.calculate_metrics` with fid, isc, kid and prc; features and statistics of the real images come
                from its cache (input2_cache_name); its other settings are its defaults
features        the extractor on the samples only: the floor
"""

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch_fidelity
from torch import Tensor

from benchmarks import ours, timing
from src.data.digits import Digits
from src.data.mnist import MNIST
from src.evaluation.extractors.extractor import load_extractor
from src.evaluation.image_metrics import NEIGHBOURS
from src.evaluation.metrics.distances import (
    frechet_distance,
    inception_score,
    kernel_distance,
    kernel_within,
    standardise,
    statistics,
)
from src.evaluation.metrics.neighbours import manifold_radii, manifolds, radii
from src.evaluation.protocol import Protocol, evaluate, sample_count
from src.system.numerics import set_numerics
from src.training import rng

REACH = {"torch-fidelity": 0.4}
PROTOCOL = """Ways taken in turn, forwards and backwards, medians over the rounds, ratios by the round; one process, the same
uint8 samples and extractor, both caches warm. ours: protocol.evaluate with the numerics of model=mlp_gan, all metrics of
its record (density, coverage, copies and class shares beside the others' four). the same four: our functions for these, with
which density and coverage come. torch-fidelity: calculate_metrics with fid, isc, kid, prc and its defaults, the real side
cached. features: the extractor on the samples alone, the floor."""


class Images(torch.utils.data.Dataset):
    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> Tensor:
        return self.images[number]


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=5)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--data", choices=("mnist", "digits"), default="mnist")
    arguments = parser.parse_args(words)
    dataset = Digits() if arguments.data == "digits" else MNIST(ours.ROOT / "data" / "mnist")
    protocol = Protocol("digits", samples=arguments.samples)
    count = sample_count(dataset, protocol)
    extractor = load_extractor("digits")
    # Real images with a little noise take the place of a good model's samples: times do not depend on what they show.
    train = torch.from_numpy(dataset.split("train")["x"][:count].copy())
    noise = torch.randint(0, 32, train.shape, generator=rng.generator(0, "benchmark"), dtype=torch.uint8)
    samples = torch.maximum(train, noise)
    real = torch.from_numpy(dataset.split("test")["x"][:count].copy())

    with tempfile.TemporaryDirectory() as folder, timing.quiet():
        theirs = functools.partial(
            torch_fidelity.calculate_metrics,
            input1=Images(samples),
            input2=Images(real),
            input2_cache_name="real",
            cache_root=f"{folder}/theirs",
            feature_extractor="digits",
            **dict.fromkeys(("fid", "isc", "kid", "prc"), True),
            kid_subset_size=min(1000, count // 2),
            cuda=False,
            verbose=False,
        )

        def as_in_src_evaluate() -> None:
            set_numerics(arguments.threads, "auto")  # of model=mlp_gan
            evaluate(lambda n: samples, dataset, protocol, Path(folder, "ours"))

        real_features = extractor(real).features
        real_statistics, real_scaled = statistics(real_features), standardise(real_features, real_features)
        known = kernel_within(real_scaled, seed=0)
        k, density_k = NEIGHBOURS["precision_recall"], NEIGHBOURS["density_coverage"]
        manifold_radius, density_radius = manifold_radii(real_features, k), radii(real_features, density_k)

        def same_four() -> None:
            set_numerics(arguments.threads, "auto")
            features, logits = extractor(samples)
            frechet_distance(statistics(features), real_statistics)
            kernel_distance(standardise(features, real_features), real_scaled, seed=0, within=known)
            inception_score(logits, seed=0)
            manifolds(features, real_features, k, density_k, manifold_radius, density_radius)

        work = {
            "ours": as_in_src_evaluate,
            "the same four": same_four,
            "torch-fidelity": theirs,
            "features": lambda: extractor(samples),
        }
        timing.as_torch_starts(arguments.threads)
        for warm in work.values():
            warm()
        ways = {name: functools.partial(seconds, one) for name, one in work.items()}
        found = timing.alternate(ways, arguments.rounds, arguments.threads)
    four = {name: found[name] for name in ("the same four", "torch-fidelity")}
    del found["the same four"]
    rows = timing.compare(f"measuring {count:,} samples", "s", found, REACH)
    rows += timing.compare(f"measuring {count:,} samples by the metrics of both", "s", four, REACH, ours="the same four")
    timing.report("evaluation", PROTOCOL, rows, arguments)


if __name__ == "__main__":
    main()
