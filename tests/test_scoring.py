from types import SimpleNamespace

import torch
from torch import Tensor

from src.scoring import BATCH, logits


class Discriminator:
    """Answers with the mean of the image, plus the label where it is given one."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, x: Tensor, y: Tensor | None) -> Tensor:
        self.batches.append(len(x))
        return x.flatten(1).mean(dim=1) + (0 if y is None else y)


def test_logits_of_bytes_and_of_points_with_and_without_labels() -> None:
    model = SimpleNamespace(discriminator=Discriminator())
    images = torch.arange(256, dtype=torch.uint8).repeat(3)[: BATCH + 100].view(-1, 1, 1, 1)
    plain = images.flatten().float() / 127.5 - 1
    labels = torch.arange(len(images)) % 10
    assert torch.allclose(logits(model, images), plain, atol=1e-6)
    assert torch.allclose(logits(model, images, labels), plain + labels, atol=1e-6)
    assert model.discriminator.batches == [BATCH, 100] * 2
    points = torch.tensor([[0.5, -0.25], [3.0, 1.0]])
    assert logits(model, points).tolist() == [0.125, 2.0]
