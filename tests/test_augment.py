import torch

from src.augment import Translate


def test_translate_by_hand() -> None:
    """One white pixel in the middle goes where the numbers say: 0 up or left by one, 1/2 stays, near 1 down or right."""
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
