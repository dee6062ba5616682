"""Closed-form directions, probes, effects, and the classifier behind them, on data whose answers are known."""

import pytest
import torch

from src.data.spec import Spec
from src.evaluation.directions import effect, probabilities, probe, sefa, train_classifier

SPEC = Spec.of("image", (1, 16, 16))


def test_sefa_finds_the_axes_that_a_layer_stretches_most() -> None:
    basis = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    matrix = torch.diag(torch.tensor([1.0, 5.0, 2.0, 3.0], dtype=torch.float64)) @ basis  # rows of the basis
    directions, gains = sefa(matrix, 3)
    assert torch.allclose((directions @ basis.mT).abs(), torch.eye(4, dtype=torch.float64)[[1, 3, 2]], atol=1e-12)
    assert gains.tolist() == pytest.approx([25, 9, 4])
    assert (directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all()
    assert torch.allclose(sefa(-matrix, 3)[0], directions)


def test_a_probe_finds_the_direction_and_is_tested_on_other_codes() -> None:
    codes = torch.randn(800, 8, generator=torch.Generator().manual_seed(1))
    true = torch.nn.functional.normalize(torch.tensor([1.0, -2, 0, 0, 0, 0, 0, 0]), dim=0)
    found = probe(codes, codes @ true > 0.5)
    assert found is not None
    assert found.direction.float() @ true > 0.98
    assert found.direction.norm().item() == pytest.approx(1)
    assert found.accuracy > 0.93 > found.majority > 0.6
    chance = probe(codes, torch.randn(800, generator=torch.Generator().manual_seed(2)) > 0)
    assert chance is not None
    assert abs(chance.accuracy - 0.5) < 0.1


def test_an_attribute_that_hardly_any_code_has_gets_no_probe() -> None:
    has = torch.zeros(200, dtype=torch.bool)
    has[:9] = True
    assert probe(torch.randn(200, 4), has) is None


def test_effects() -> None:
    low, high = torch.tensor([[0.0, 0.5, 0.2], [0.2, 0.5, 0.8]]), torch.tensor([[1.0, 0.5, 0.8], [0.8, 0.5, 0.2]])
    found = effect(low, high)
    assert (found.attribute, found.change) == (0, pytest.approx(0.8))
    assert found.others == pytest.approx((0 + 0.6) / 2), "changes that cancel in the mean count too"
    assert effect(low, high, wanted=2).change == pytest.approx(0)
    assert effect(high, low).change == pytest.approx(-0.8)
    assert effect(low[:, :1], high[:, :1]).others == 0


def test_the_classifier_learns_where_something_is_and_leaves_random_numbers_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    has = torch.rand(400, 2, generator=generator) < 0.5
    x = 0.2 * torch.randn(400, 1, 16, 16, generator=generator)
    x[has[:, 0], :, 2:5, 2:5] += 1
    x[has[:, 1], :, 10:13, 10:13] += 1
    before = torch.get_rng_state()
    first, second = (train_classifier(SPEC, x[:300], has[:300].float(), seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    answers = probabilities(first, x[300:])
    assert torch.equal(answers, probabilities(second, x[300:]))
    assert ((answers > 0.5) == has[300:]).double().mean() > 0.95
