import math

import pytest
import torch

from src.evaluation.metrics.discriminator_gap import discriminator_gap


def test_gap_by_hand() -> None:
    found = discriminator_gap(torch.tensor([[math.log(3)], [0.0]]), torch.tensor([[-math.log(3)]]))
    assert found == pytest.approx({"d_real": 0.625, "d_fake": 0.25, "d_gap": 0.375})
    assert discriminator_gap(torch.zeros(5), torch.zeros(7)) == {"d_real": 0.5, "d_fake": 0.5, "d_gap": 0.0}
