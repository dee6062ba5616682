import math

import numpy as np
import pytest
import torch
import torch_fidelity
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torch_fidelity import metric_kid
from torchvision.transforms.functional import gaussian_blur

from src.data.dataset import Arrays
from src.evaluation.extractors.extractor import Extractor
from src.evaluation.metrics import distances as fidelity
from src.evaluation.metrics.distances import (
    frechet_distance,
    inception_score,
    kernel_distance,
    kernel_within,
    standardise,
    statistics,
)
from src.evaluation.metrics.neighbours import manifolds


def distance(a: Tensor, b: Tensor) -> float:
    return frechet_distance(statistics(a), statistics(b))


def gaussian(count: int, size: int, seed: int) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def test_frechet_distance_of_known_gaussians() -> None:
    def of(mu: list[float], variances: list[float]) -> dict[str, np.ndarray]:
        return {"mu": np.array(mu), "sigma": np.diag(variances)}

    assert frechet_distance(of([0, 0], [1, 1]), of([3, 4], [1, 1])) == pytest.approx(25)
    # Commuting covariances: sum of (sigma_a - sigma_b)^2.
    assert frechet_distance(of([0, 0], [1, 4]), of([0, 0], [9, 16])) == pytest.approx(2**2 + 2**2)


def test_frechet_distance_of_sampled_gaussians_and_of_identical_sets() -> None:
    a, b = gaussian(20_000, 4, 0), 2 * gaussian(20_000, 4, 1) + 1
    assert distance(a, b) == pytest.approx(4 * (1 + 1), rel=0.05)
    assert distance(a, a) == pytest.approx(0, abs=1e-3)


def test_frechet_distance_grows_with_blur(digits: Extractor, test_images: Tensor, test_features: Tensor) -> None:
    images = test_images[:2000]
    found = [distance(digits(gaussian_blur(images, 9, [sigma] * 2)).features, test_features) for sigma in (0.6, 1, 2)]
    assert distance(digits(images).features, test_features) < found[0] < found[1] < found[2]


def test_frechet_distance_grows_with_noise(digits: Extractor, test_images: Tensor, test_features: Tensor) -> None:
    images = test_images[:2000].float()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    found = [
        distance(digits((images + scale * noise).clamp(0, 255).byte()).features, test_features) for scale in (0, 20, 60, 150)
    ]
    assert found == sorted(found)
    assert found[-1] > 2 * found[0]


def test_frechet_distance_and_recall_see_dropped_digits(test_features: Tensor, test_split: Arrays) -> None:
    reference, labels = test_features[5000:], torch.from_numpy(test_split["y"][:5000])
    distances, recalls = [], []
    for dropped in (0, 1, 3, 6):
        samples = test_features[:5000][labels >= dropped][:1500]
        distances.append(distance(samples, reference))
        recalls.append(manifolds(samples, reference[:1500]).recall)
    assert distances == sorted(distances)
    assert recalls == sorted(recalls, reverse=True)


def test_kernel_distance_is_near_zero_for_one_distribution_only(
    digits: Extractor, test_images: Tensor, test_features: Tensor
) -> None:
    reference = test_features[5000:7000]
    same = standardise(test_features[:2000], reference)
    mean, deviation = kernel_distance(same, standardise(reference, reference), seed=0, subsets=10)
    assert abs(mean) < 0.05
    blurred = standardise(digits(gaussian_blur(test_images[:2000], 9, [1.5, 1.5])).features, reference)
    assert kernel_distance(blurred, standardise(reference, reference), seed=0, subsets=10)[0] > mean + 3 * deviation


def test_kernel_distance_is_keyed_and_takes_small_sets() -> None:
    a, b = gaussian(1500, 8, 0), gaussian(1500, 8, 1)
    assert kernel_distance(a, b, seed=1, subsets=3) == kernel_distance(a, b, seed=1, subsets=3)
    assert kernel_distance(a, b, seed=1, subsets=3) != kernel_distance(a, b, seed=2, subsets=3)
    assert math.isfinite(kernel_distance(a[:30], b[:50], seed=0, subsets=3)[0])


@pytest.mark.parametrize(("samples", "reference", "size"), [(3000, 3000, 1000), (90, 90, 45), (500, 90, 45)])
def test_kernel_distance_is_torch_fidelitys_to_the_last_bit(samples: int, reference: int, size: int) -> None:
    made, real = gaussian(samples, 128, 0), gaussian(reference, 128, 1) + 0.1
    seed = fidelity._numpy_seed(7, "kernel distance")
    found = metric_kid.kid_features_to_metric(made, real, kid_subsets=5, kid_subset_size=size, rng_seed=seed, verbose=False)
    expected = found[metric_kid.KEY_METRIC_KID_MEAN], found[metric_kid.KEY_METRIC_KID_STD]
    assert expected[0] > 0 < expected[1]
    assert kernel_distance(made, real, seed=7, subsets=5) == expected
    assert kernel_distance(made, real, seed=7, subsets=5, within=kernel_within(real, 7, subsets=5)) == expected


def test_standardised_reference_has_unit_deviation_and_dead_units_stay_finite() -> None:
    reference = 100 * gaussian(500, 3, 0) + 7
    reference[:, 2] = 0
    found = standardise(reference, reference)
    assert torch.allclose(found[:, :2].std(dim=0), torch.ones(2), atol=1e-4)
    assert torch.equal(found[:, 2], torch.zeros(500))


def test_inception_score_of_certain_and_of_clueless_logits() -> None:
    certain = 100 * F.one_hot(torch.arange(1000) % 10, 10).float()
    assert inception_score(certain, seed=0, splits=1)[0] == pytest.approx(10, rel=1e-6)
    assert inception_score(torch.zeros(1000, 10), seed=0)[0] == pytest.approx(1)
    assert math.isfinite(inception_score(certain[:4], seed=0)[0])


def test_agrees_with_calculate_metrics(digits: Extractor, test_images: Tensor, train_images: Tensor) -> None:
    class Images(Dataset):
        def __init__(self, images: Tensor) -> None:
            self.images = images

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, index: int) -> Tensor:
            return self.images[index]

    samples, reference = train_images[:300], test_images[:300]
    expected = torch_fidelity.calculate_metrics(
        input1=Images(samples),
        input2=Images(reference),
        feature_extractor="digits",
        isc=True,
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=5,
        kid_subset_size=150,
        rng_seed=fidelity._numpy_seed(0, "kernel distance"),
        isc_splits=1,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    a, b = digits(samples), digits(reference)
    found = {
        "frechet_inception_distance": distance(a.features, b.features),
        "inception_score_mean": inception_score(a.logits, seed=0, splits=1)[0],
        "kernel_inception_distance_mean": kernel_distance(a.features, b.features, seed=0, subsets=5)[0],
    }
    found["precision"], found["recall"], *_ = manifolds(a.features, b.features)
    for name, value in found.items():
        assert value == pytest.approx(expected[name], rel=1e-3, abs=1e-3), name


def test_numpys_threads_do_not_show() -> None:
    """On a machine of several cores NumPy would take them all, whatever the run has been given."""
    samples, reference = gaussian(600, 128, seed=0), gaussian(600, 128, seed=1)

    def measure() -> tuple[float, ...]:
        return distance(samples, reference), *kernel_distance(samples, reference, seed=0)

    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            found.append(measure())
    assert found[0] == found[1]
