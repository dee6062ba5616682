import pytest
import torch
from torch import Tensor
from torch_fidelity import metric_prc
from torchvision.transforms.functional import gaussian_blur

from src.data.dataset import Arrays
from src.evaluation.extractors.extractor import Extractor
from src.evaluation.metrics import neighbours
from src.evaluation.metrics.neighbours import closeness, copies, manifold_radii, manifolds, nearest, radii


def line(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_nearest_by_hand() -> None:
    distances, indices = nearest(line(0, 9), line(10, 1, -3), k=2)
    assert torch.equal(indices, torch.tensor([[1, 2], [0, 1]]))
    assert torch.equal(distances, torch.tensor([[1.0, 3.0], [1.0, 8.0]]))


def test_nearest_in_chunks_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, bank = torch.randn(50, 16, generator=generator), torch.randn(70, 16, generator=generator)
    expected = torch.cdist(queries, bank, compute_mode="donot_use_mm_for_euclid_dist").topk(3, largest=False)
    monkeypatch.setattr(neighbours, "CHUNK", 7 * 70)
    distances, indices = nearest(queries, bank, k=3)
    assert torch.equal(indices, expected.indices)
    assert torch.allclose(distances, expected.values)


def test_a_copy_is_at_distance_zero_even_far_from_the_origin() -> None:
    bank = 1000 + torch.randn(100, 128, generator=torch.Generator().manual_seed(0))
    distances, indices = nearest(bank, bank)
    assert torch.equal(distances, torch.zeros(100, 1))
    assert torch.equal(indices[:, 0], torch.arange(100))


def test_a_query_that_is_not_a_number_leaves_the_others_alone() -> None:
    bank, queries = gaussian(400, 8, 0), gaussian(300, 8, 1)
    _, expected = nearest(queries, bank)
    queries[3], queries[5] = torch.nan, torch.inf
    distances, indices = nearest(queries, bank)
    assert not distances[[3, 5]].isfinite().any()
    others = [row for row in range(300) if row not in (3, 5)]
    assert torch.equal(indices[others], expected[others])


def gaussian(count: int, size: int, seed: int) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def test_precision_and_recall_by_hand() -> None:
    # Balls to the nearest other point: 0, 2 and 5 reach 2, 2 and 3; 3 and 9 reach 6.
    assert manifolds(line(3, 9), line(0, 2, 5), k=1)[:2] == (0.5, 1.0)
    assert manifolds(line(0, 2, 5), line(30, 31), k=1)[:2] == (0.0, 0.0)


@pytest.mark.parametrize(("samples", "reference"), [(1500, 1200), (3, 40)])
def test_precision_and_recall_are_torch_fidelitys_to_the_last_bit(samples: int, reference: int) -> None:
    made, real = gaussian(samples, 128, 0).relu(), gaussian(reference, 128, 1).relu()
    k = min(3, samples - 1)
    expected = metric_prc.prc_features_to_metric(made, real, prc_neighborhood=k, verbose=False)
    assert 0 < expected["precision"] < 1
    known = {"radius": manifold_radii(real, k), "density_radius": radii(real)}
    assert manifolds(made, real, k) == manifolds(made, real, k, **known)
    assert manifolds(made, real, k)[:2] == (expected["precision"], expected["recall"])


@pytest.mark.parametrize("chunk", [90, 30 * 90, 64 * 90])
def test_manifolds_in_parts_are_the_plain_ones(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, real = gaussian(90, 8, 0), gaussian(70, 8, 1)
    distances, far = torch.cdist(real, made), radii(real, 5)[:, None]
    inside = distances <= manifold_radii(real, 3)[:, None], distances <= manifold_radii(made, 3), distances < far
    precision, recall = inside[0].any(dim=0).float().mean().item(), inside[1].any(dim=1).float().mean().item()
    expected = precision, recall, inside[2].sum().item() / (5 * 90), inside[2].any(dim=1).float().mean().item()
    assert len({0.0, *expected, 1.0}) == 6
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
    assert manifolds(made, real) == expected


def test_precision_and_recall_of_a_dropped_and_of_an_invented_cluster() -> None:
    left, right = gaussian(400, 2, 0), gaussian(400, 2, 1) + 100
    both = torch.cat([left, right])
    precision, recall, *_ = manifolds(gaussian(400, 2, 2), both)
    assert precision > 0.9
    assert recall < 0.55
    precision, recall, *_ = manifolds(both, gaussian(400, 2, 2))
    assert precision < 0.55
    assert recall > 0.9


def test_radii_leave_out_oneself_but_not_a_duplicate() -> None:
    assert radii(line(0, 1, 3, 7), k=1).tolist() == [1, 1, 2, 4]
    assert radii(line(0, 1, 3, 7), k=2).tolist() == [3, 2, 3, 6]
    assert radii(line(5, 5, 9), k=1).tolist() == [0, 0, 4]
    assert radii(line(0, 1, 3), k=5).tolist() == [3, 2, 3], "fewer samples than neighbours"


def test_density_and_coverage_by_hand() -> None:
    reference = line(0, 1, 10)  # radii of 1, 1 and 9 to the nearest other: the balls (-1, 1), (0, 2), (1, 19)

    def density_coverage(*samples: float) -> tuple[float, float]:
        return manifolds(line(*samples), reference, density_k=1)[2:]

    # 0.5 lies in two balls, 30 in none, of two samples and k = 1.
    assert density_coverage(0.5, 30) == (1.0, pytest.approx(2 / 3))
    assert density_coverage(100) == (0.0, 0.0)
    # An outlier of the reference makes a wide ball: density is not bounded by 1, coverage is.
    assert density_coverage(1.5, 1.5) == (2.0, pytest.approx(2 / 3))


def test_density_and_coverage_of_real_digits(test_features: Tensor, train_features: Tensor) -> None:
    reference = test_features[:5000]
    found = manifolds(train_features, reference)
    assert found.density == pytest.approx(1, abs=0.15)
    assert found.coverage > 0.9
    collapsed = train_features[:1].repeat(5000, 1)
    assert manifolds(collapsed, reference).coverage < 0.05


def test_copies_are_told_from_held_out_images(
    digits: Extractor, test_features: Tensor, train_features: Tensor, train_images: Tensor
) -> None:
    spacing = radii(train_features, k=1)
    held_out = closeness(test_features[5000:], train_features, spacing)

    def share(features: Tensor) -> float:
        return copies(closeness(features, train_features, spacing), held_out)

    fresh = share(test_features[:5000])
    assert fresh == pytest.approx(0.05, abs=0.02)
    assert share(train_features[:500]) == 1
    assert share(torch.cat([train_features[:500], test_features[:500]])) == pytest.approx(0.5 + fresh / 2, abs=0.03)
    noise = torch.randint(-8, 9, train_images[:500].shape, generator=torch.Generator().manual_seed(0))
    one_off = (train_images[:500] + noise).clamp(0, 255).byte()
    assert share(digits(one_off).features) > 0.5, "copies under light noise"
    assert share(digits(gaussian_blur(train_images[:500], 9, [2.0, 2.0])).features) < 0.1


def test_dropped_digits_are_not_taken_for_copies(test_features: Tensor, test_split: Arrays, train_features: Tensor) -> None:
    """Ones are near each other everywhere: without the local spacing most of them would look copied."""
    spacing = radii(train_features, k=1)
    held_out = closeness(test_features[5000:], train_features, spacing)
    ones = test_features[:5000][torch.from_numpy(test_split["y"][:5000]) == 1]
    assert copies(closeness(ones, train_features, spacing), held_out) < 0.12
