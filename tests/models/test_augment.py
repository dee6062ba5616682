import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn import functional as F

from src.models.augment import DiffAugment, Mirror, Translate
from src.models.gan.ada import ADA, normal, resample


def test_translate_by_hand() -> None:
    """One white pixel in the middle goes where the numbers say: 0 down or right by one, 1/2 stays, near 1 up or left."""
    x = torch.full((3, 1, 3, 3), -1.0)
    x[:, :, 1, 1] = 1.0
    u = torch.tensor([[0.0, 0.5], [0.5, 0.5], [0.99, 0.0]])
    moved = Translate(1)(x, u)
    at = [tuple(index[1:].tolist()) for index in (moved > 0).squeeze(1).nonzero()]
    assert at == [(2, 1), (1, 1), (0, 2)]
    assert moved.sum() == x.sum()


def test_what_comes_in_is_black_and_channels_move_together() -> None:
    x = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5) / 1000
    moved = Translate(2)(x, torch.tensor([[0.0, 0.0], [0.5, 0.99]]))
    assert torch.equal(moved[0, :, 2:, 2:], x[0, :, :2, :3])
    assert (moved[0, :, :2] == -1).all()
    assert (moved[0, :, :, :2] == -1).all()
    assert torch.equal(moved[1, :, :, :3], x[1, :, :, 2:])


def test_gradients_go_back_to_where_the_pixels_came_from() -> None:
    x = torch.zeros(1, 1, 3, 3, requires_grad=True)
    Translate(1)(x, torch.tensor([[0.0, 0.5]]))[0, 0, 1, 1].backward()
    assert x.grad is not None
    assert x.grad[0, 0].nonzero().tolist() == [[0, 1]]


def test_shifts_are_uniform() -> None:
    x = torch.full((3000, 1, 5, 5), -1.0)
    x[:, :, 2, 2] = 1.0
    moved = Translate(1)(x, torch.rand(3000, 2, generator=torch.Generator().manual_seed(0)))
    counts = (moved > 0).sum((0, 1))[1:4, 1:4]
    assert counts.sum() == 3000
    assert counts.min() > 250


def test_colour_by_an_independent_formula() -> None:
    """Numbers (0.9, 0.75, 0.25): 0.4 brighter, saturation times 1.5, contrast times 0.75."""
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64) * 2 - 1
    u = torch.tensor([[0.9, 0.75, 0.25]], dtype=torch.float64).expand(2, 3)
    seen = DiffAugment(["color"])(x, u)
    for b in range(2):
        a = x[b].numpy() + 0.4
        a = a.mean(0) + 1.5 * (a - a.mean(0))
        torch.testing.assert_close(seen[b], torch.from_numpy(a.mean() + 0.75 * (a - a.mean())))
    grey = DiffAugment(["color"])(x[:, :1], u)  # whatever the saturation
    torch.testing.assert_close(grey, DiffAugment(["color"])(x[:, :1], u * torch.tensor([1, 0, 1])))
    torch.testing.assert_close(grey.mean((1, 2, 3)), x[:, :1].mean((1, 2, 3)) + 0.4)


def test_translation_by_an_eighth() -> None:
    """Of 16 pixels: two down and two to the left, and zeros come in. Of 28 four, of 3 none: the nearest whole number."""
    x = torch.rand(1, 3, 16, 16) + 1
    seen = DiffAugment(["translation"])(x, torch.tensor([[0.0, 0.99]]))
    assert torch.equal(seen[:, :, 2:, :14], x[:, :, :14, 2:])
    assert seen.count_nonzero() == 3 * 14 * 14
    assert DiffAugment(["translation"])(torch.ones(1, 1, 28, 28), torch.tensor([[0.0, 0.99]])).count_nonzero() == 24 * 24
    assert DiffAugment(["translation"])(x[:, :, :3, :3], torch.tensor([[0.0, 0.99]])).equal(x[:, :, :3, :3])


CUTS = [
    (8, (0.5, 0.5), (2, 6), (2, 6)),  # centred
    (8, (0.0, 0.99), (0, 2), (6, 8)),  # half of each side is outside
    (8, (0.34, 0.12), (1, 5), (0, 3)),  # 3 and 1 of 0..8, less 2
    (14, (0.99, 0.5), (10, 14), (4, 11)),  # 7 wide: first row 13 - 3, centre in row 7
]


@pytest.mark.parametrize(("side", "u", "rows", "columns"), CUTS)
def test_cutout_by_hand(side: int, u: tuple[float, float], rows: tuple[int, int], columns: tuple[int, int]) -> None:
    x = torch.ones(1, 3, side, side)
    expected = x.clone()
    expected[:, :, slice(*rows), slice(*columns)] = 0
    assert torch.equal(DiffAugment(["cutout"])(x, torch.tensor([u])), expected)


def test_diffaugment_does_one_after_the_other_and_can_be_differentiated() -> None:
    x, u = torch.randn(3, 3, 8, 8, dtype=torch.float64, requires_grad=True), torch.rand(3, 7, dtype=torch.float64)
    every = DiffAugment()
    assert every.draws == 7
    expected = DiffAugment(["cutout"])(DiffAugment(["translation"])(DiffAugment(["color"])(x, u[:, :3]), u[:, 3:5]), u[:, 5:])
    torch.testing.assert_close(every(x, u), expected)
    assert torch.autograd.gradcheck(every, (x, u.requires_grad_(False)))


def test_only_what_adapts_has_a_state() -> None:
    for augment in (Translate(1), DiffAugment()):
        assert augment.scalars() == augment.state_dict() == {}


@pytest.mark.parametrize("augmentation", [DiffAugment, ADA])
def test_unknown_policies_name_the_known_ones(augmentation: type) -> None:
    with pytest.raises(ValueError, match=r"called blur: .*color"):
        augmentation(["color", "blur"])


def always(*policy: str) -> ADA:
    augment = ADA(policy)
    augment.p.fill_(1)
    return augment


def image(channels: int = 1, side: int = 16) -> torch.Tensor:
    return torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_nothing_happens_at_probability_zero() -> None:
    for channels in (1, 3):
        x, augment = torch.randn(20, channels, 28, 28), ADA()
        assert torch.equal(augment(x, torch.rand(20, augment.draws)), x)


def test_groups_and_draws() -> None:
    """One number says whether, the others how: two more for shifts in x and y, and rotate is done twice."""
    sizes = {"flip": 2, "rotate90": 2, "translate": 3, "scale": 2, "rotate": 4, "stretch": 2, "shift": 3}
    sizes |= dict.fromkeys(["brightness", "contrast", "luma_flip", "hue", "saturation"], 2)
    for name, size in sizes.items():
        assert ADA([name]).draws == size
    names = list(sizes)
    for group, members in {"blit": names[:3], "geometry": names[3:7], "color": names[7:]}.items():
        one, other, u = always(group), always(*reversed(members)), torch.rand(1, ADA([group]).draws)
        assert torch.equal(one(image(3), u), other(image(3), u))
    assert ADA().draws == sum(sizes.values()) == 28


def test_blits_are_exact() -> None:
    x = image(3)
    assert torch.equal(always("flip")(x, torch.tensor([[0, 0.7]])), x.flip(3))
    assert torch.equal(always("flip")(x, torch.tensor([[0, 0.3]])), x)
    turned = [always("rotate90")(x, torch.tensor([[0, (k + 0.5) / 4]])) for k in range(4)]
    for k in range(4):
        assert torch.equal(turned[k], x.rot90(k, dims=(2, 3)))
    moved = always("translate")(x, torch.tensor([[0, 0.99, 0.25]]))  # by 2 to the right and 1 up, of 16
    assert torch.equal(moved[:, :, :15, 2:], x[:, :, 1:, :14])
    assert torch.equal(moved[:, :, 15, 2:], x[:, :, 14, :14])  # mirrored at the last row
    assert torch.equal(moved[:, :, :15, 1], x[:, :, 1:, 1])  # and at the first column
    assert torch.equal(moved[:, :, :15, 0], x[:, :, 1:, 2])


def test_resampling_is_bilinear_with_reflection() -> None:
    """Against PyTorch's, whose coordinates are from -1 to 1 between the outermost pixels."""
    look = torch.eye(3) + 0.7 * torch.randn(5, 3, 3)
    look[:, :2, 2] *= 10
    look[:, 2] = torch.tensor([0.0, 0.0, 1.0])
    x = torch.randn(5, 3, 12, 12)
    theirs = look[:, :2].clone()
    theirs[:, :, 2] /= 5.5
    grid = F.affine_grid(theirs, [5, 3, 12, 12], align_corners=True)
    expected = F.grid_sample(x, grid, padding_mode="reflection", align_corners=True)
    torch.testing.assert_close(resample(x, look), expected, rtol=1e-4, atol=1e-4)


def bell(width: float, height: float, x: float, y: float, side: int = 65) -> torch.Tensor:
    """A bell of these deviations at (x, y) in pixels from the centre."""
    line = torch.arange(side) - (side - 1) / 2
    return torch.exp(-(((line - x) / width) ** 2)[None, :] / 2 - (((line - y) / height) ** 2)[:, None] / 2)[None, None]


@pytest.mark.parametrize(
    ("name", "u", "width", "height", "x", "y"),
    [
        ("scale", [0.8413447], 4 * 2**0.2, 3 * 2**0.2, 8 * 2**0.2, 4 * 2**0.2),  # one deviation up: 2^0.2 times larger
        ("stretch", [0.8413447], 4 * 2**0.2, 3 / 2**0.2, 8 * 2**0.2, 4 / 2**0.2),
        ("rotate", [0.75, 0, 0.5], 3, 4, 4, -8),  # a quarter turn to the left before, and none after
        ("rotate", [0.5, 0, 0.75], 3, 4, 4, -8),
        ("shift", [0.8413447, 0.1586553], 4, 3, 8 + 65 / 8, 4 - 65 / 8),  # an eighth of the side to the right and up
    ],
)
def test_geometry_on_a_bell(name: str, u: list[float], width: float, height: float, x: float, y: float) -> None:
    seen = always(name)(bell(4, 3, 8, 4), torch.tensor([[0, *u]]))
    torch.testing.assert_close(seen, bell(width, height, x, y), rtol=0, atol=0.02)


def test_operations_follow_each_other_as_in_the_paper() -> None:
    """Mirrored first and moved to the right then; brighter first and more contrast then."""
    x = image()
    moved = always("flip", "translate")(x, torch.tensor([[0, 0.7, 0, 0.99, 0.5]]))
    assert torch.equal(moved[:, :, :, 2:], x.flip(3)[:, :, :, :14])
    brighter = always("brightness", "contrast")(x, torch.tensor([[0, 0.8413447, 0, 0.8413447]]))
    torch.testing.assert_close(brighter, (x + 0.2) * 2**0.5)


@pytest.mark.parametrize(
    ("name", "u", "expected"),
    [
        ("brightness", 0.1586553, lambda x: x - 0.2),
        ("contrast", 0.1586553, lambda x: x / 2**0.5),
        ("luma_flip", 0.4, lambda x: x),
        ("luma_flip", 0.6, lambda x: x - 2 * x.mean(1, keepdim=True)),
        ("hue", 0.5 + 1 / 3, lambda x: x.roll(1, dims=1)),  # a third of the circle: red becomes green
        ("hue", 0.5, lambda x: x),
        ("saturation", 0.8413447, lambda x: x.mean(1, keepdim=True) + 2 * (x - x.mean(1, keepdim=True))),
    ],
)
def test_colours_by_hand(name: str, u: float, expected: Callable[[torch.Tensor], torch.Tensor]) -> None:
    numbers = torch.tensor([[0, u]])
    torch.testing.assert_close(always(name)(image(3), numbers), expected(image(3)), rtol=1e-5, atol=1e-5)
    grey = always(name)(image(1), numbers)  # as the same image in three equal colours
    torch.testing.assert_close(grey.expand(1, 3, 16, 16), always(name)(image(1).expand(1, 3, 16, 16), numbers))


@pytest.mark.parametrize("name", ["flip", "scale", "rotate", "shift", "brightness", "hue"])
def test_each_operation_happens_with_probability_p(name: str) -> None:
    """0.3 of 4000 images within four deviations of 0.0072; a flip that happens is none every other time."""
    augment = ADA([name])
    augment.p.fill_(0.3)
    x = image(3, 4).expand(4000, 3, 4, 4)
    seen = augment(x, torch.rand(4000, augment.draws, generator=torch.Generator().manual_seed(0)))
    changed = (seen != x).flatten(1).any(1).float().mean().item()
    assert changed == pytest.approx(0.15 if name == "flip" else 0.3, abs=0.03)


def test_normal_variates() -> None:
    u = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    assert normal(u).mean().item() == pytest.approx(0, abs=0.03)
    assert normal(u).std().item() == pytest.approx(1, abs=0.02)
    assert -5.6 < normal(torch.zeros(1)).item() < -5.3  # as rare as one in 2^25
    assert 5.1 < normal(torch.tensor([1 - 2**-24])).item() < 5.5


def test_gradients_are_those_of_a_linear_map() -> None:
    """<w, A x> = <A^T w, x> without brightness, at probabilities between."""
    augment = ADA(["blit", "geometry", "contrast", "luma_flip", "hue", "saturation"])
    augment.p.fill_(0.7)
    x, w = torch.randn(30, 3, 12, 12, requires_grad=True), torch.randn(30, 3, 12, 12)
    product = (augment(x, torch.rand(30, augment.draws)) * w).sum((1, 2, 3))
    product.sum().backward()
    torch.testing.assert_close((x.grad * x).sum((1, 2, 3)), product, rtol=1e-3, atol=1e-3)


def test_mixed_precision_changes_nothing() -> None:
    augment, x = always("blit", "geometry", "color"), torch.randn(4, 3, 28, 28)
    u = torch.rand(4, augment.draws)
    with torch.autocast("cpu", torch.bfloat16):
        seen = augment(x, u)
    assert torch.equal(seen, augment(x, u))


def test_the_heuristic_by_hand() -> None:
    """Two calls of 100 images a step and 1000 from 0 to 1: p moves by 0.2; r_t is 0.75 and over 0.6, then 0.5 and under."""
    augment = ADA(["flip"], target=0.6, kimg=1, every=2)
    sure, half = torch.tensor([9.0, 0.1, 3.0, 2.0]), torch.tensor([5.0, 5.0, 5.0, -0.1])
    augment.observe(sure, 100)
    assert augment.scalars() == {"augment/p": 0}
    augment.observe(half, 100)  # (1 + 0.5) / 2
    assert augment.p.item() == pytest.approx(0.2)
    # Then 0.3 up, 0.2 down, down to 0 and not below (the sign of 0 is 0), up to 1 and not above.
    for logits, images, calls, p in [(sure, 150, 2, 0.5), (half, 100, 2, 0.3), (torch.zeros(4), 100, 4, 0), (sure, 100, 20, 1)]:
        for _ in range(calls):
            augment.observe(logits, images)
        assert augment.scalars() == {"augment/p": pytest.approx(p)}


def test_the_heuristic_goes_on_from_its_state() -> None:
    """Saved between two steps of p: with the sure call before it r_t is 0.75 and p rises by 0.2, without it p would fall."""
    whole, resumed = ADA(kimg=1, every=2), ADA(kimg=1, every=2)
    whole.p.fill_(0.5)
    whole.observe(torch.ones(4), 50)
    resumed.load_state_dict(whole.state_dict())
    resumed.observe(torch.tensor([1.0, 1.0, 1.0, -1.0]), 150)
    assert resumed.p.item() == pytest.approx(0.7)
    assert (resumed.signs, resumed.images, resumed.calls) == (0, 0, 0)


def test_the_heuristic_goes_on_with_steps_closer_together() -> None:
    augment, closer = ADA(kimg=1, every=4), ADA(kimg=1, every=2)
    for _ in range(3):
        augment.observe(torch.ones(4), 50)
    closer.load_state_dict(augment.state_dict())
    closer.observe(torch.ones(4), 50)
    assert (closer.p.item(), closer.calls.item()) == (pytest.approx(0.2), 0)


def observe_as(rank: int, store: str, results: "multiprocessing.Queue[float]") -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    augment = ADA(every=1, kimg=1)
    augment.observe(torch.full((4,), 1.0) if rank == 0 else torch.tensor([1.0, 1.0, 1.0, -1.0]), 100)
    results.put(augment.p.item())
    dist.destroy_process_group()


def test_processes_agree(tmp_path: Path) -> None:
    """Signs of 1 and 0.5 are 0.75 together: p rises in both, where alone the second would stay at 0."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=observe_as, args=(rank, str(tmp_path / "store"), results)) for rank in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [pytest.approx(0.1)] * 2
    for process in processes:
        process.join(60)


def test_half_of_the_images_are_mirrored() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3).repeat(2, 1, 1, 1)
    mirrored, kept = Mirror()(x, torch.tensor([[0.49], [0.5]]))
    assert mirrored.tolist() == [[[2, 1, 0], [5, 4, 3]]]
    assert torch.equal(kept, x[1])


def test_new_pixels_can_be_white() -> None:
    moved = Translate(1, fill=1.0)(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2))
    assert moved[0, 0].tolist() == [[1, 1], [1, 0]]
