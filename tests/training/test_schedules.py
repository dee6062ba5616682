import pytest

from src.training.schedules import cosine, exponential, is_every, is_log_spaced, lengthening_stages, linear_decay


@pytest.mark.parametrize(("images", "factor"), [(0, 1.0), (100, 1.0), (150, 0.75), (200, 0.5), (300, 0.0), (999, 0.0)])
def test_linear_decay(images: int, factor: float) -> None:
    assert linear_decay(images, start=100, end=300) == pytest.approx(factor)


def test_linear_decay_ends_at_final_and_is_constant_without_an_end() -> None:
    assert linear_decay(300, 100, 300, final=0.1) == pytest.approx(0.1)
    assert linear_decay(10**9, 100, None) == 1.0


def test_warm_up() -> None:
    assert [linear_decay(images, 50, 150, rise=50) for images in (0, 25, 50, 100, 150)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert [linear_decay(images, rise=50) for images in (10, 50, 1000)] == pytest.approx([0.2, 1, 1])


@pytest.mark.parametrize(
    ("images", "value"),
    # cos(pi / 4) = 0.70711, cos(pi / 2) = 0: of the way from 5 to 1, a quarter of the time makes 14.645 %, half of it half.
    [(0, 5.0), (100, 5.0), (150, 5 - 4 * 0.1464466), (200, 3.0), (250, 5 - 4 * 0.8535534), (300, 1.0), (999, 1.0)],
)
def test_cosine(images: int, value: float) -> None:
    assert cosine(images, initial=5.0, final=1.0, start=100, end=300) == pytest.approx(value)


def test_cosine_rises_where_final_is_above_initial() -> None:
    assert [cosine(images, 0.0, 2.0, end=60) for images in (0, 20, 40, 60)] == pytest.approx([0.0, 0.5, 1.5, 2.0])


def test_exponential_grows_by_equal_factors() -> None:
    seen = (0, 100, 150, 200, 999)
    assert [exponential(images, 1.0, 100.0, end=200, start=100) for images in seen] == pytest.approx([1, 1, 10, 100, 100])
    assert exponential(10**9, 1.0, 100.0, end=None) == 1.0


def test_stages_lengthen() -> None:
    """10, 30 and 90 samples, from the fifth on."""
    seen = (0, 5, 14, 15, 44, 45, 135, 1000)
    found = [lengthening_stages(images, start=5, end=135, final=0.25, stages=3) for images in seen]
    assert found == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_is_every() -> None:
    assert [step for step in range(10) if is_every(step, 3)] == [3, 6, 9]
    assert not any(is_every(step, 0) for step in range(10))


def test_is_log_spaced() -> None:
    steps = [step for step in range(1001) if is_log_spaced(step, 3)]
    assert steps == [0, 1, 2, 5, 10, 22, 46, 100, 215, 464, 1000]
    assert not any(is_log_spaced(step, 0) for step in range(100))
