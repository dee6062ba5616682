import torch

from src.data.pixels import from_uint8, to_uint8


def test_there_and_back_is_exact() -> None:
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    numbers = from_uint8(x)
    assert numbers.dtype == torch.float32
    assert (numbers.min(), numbers.max()) == (-1, 1)
    assert torch.equal(to_uint8(numbers), x)


def test_quantisation() -> None:
    """To the nearest, a half (127.5 at x = 0) to even, clamped outside of [-1, 1]."""
    x = torch.tensor([0.4, 0.6, 254.4, 254.6]) / 127.5 - 1
    assert to_uint8(x).tolist() == [0, 1, 254, 255]
    assert to_uint8(torch.zeros(1)).tolist() == [128]
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_arguments_are_left_alone() -> None:
    x = torch.tensor([0.25])
    to_uint8(x)
    assert x.item() == 0.25
