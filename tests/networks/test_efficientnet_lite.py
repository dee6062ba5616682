import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.networks.efficientnet_lite import Block, EfficientNetLite0, convolution


def test_parameters_and_shapes() -> None:
    network = EfficientNetLite0().eval()
    assert sum(p.numel() for p in network.parameters()) == 4_652_008  # 4.7 M in the authors' table
    assert len(network.blocks) == 16
    features, logits = network(torch.zeros(2, 3, 224, 224))
    assert features.shape == (2, 1280)
    assert logits.shape == (2, 1000)
    assert network.stem(torch.zeros(1, 3, 224, 224)).shape == (1, 32, 112, 112)
    assert network.blocks(torch.zeros(1, 32, 112, 112)).shape == (1, 320, 7, 7)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 2, (0, 1)), (5, 2, (1, 2)), (3, 1, (1, 1)), (5, 1, (2, 2)), (1, 1, (0, 0))]
)
def test_padding_is_tensorflows(kernel: int, stride: int, padding: tuple[int, int]) -> None:
    """TensorFlow's "same": max((ceil(n / s) - 1) * s + k - n, 0) in all, the smaller half first."""
    layers, x = convolution(2, 3, kernel, stride).eval(), torch.randn(1, 2, 14, 14)
    total = max((-(-14 // stride) - 1) * stride + kernel - 14, 0)
    assert (total // 2, total - total // 2) == padding
    plain = F.conv2d(F.pad(x, padding * 2), layers[1].weight, stride=stride)
    assert torch.allclose(layers(x), F.relu6(plain / (1 + 1e-3) ** 0.5), atol=1e-6)
    assert layers(x).shape == (1, 3, 14 // stride, 14 // stride)


def test_blocks_add_their_input_where_shapes_allow() -> None:
    x = torch.randn(1, 4, 8, 8)
    for block, residual in ((Block(4, 4, 6, 3, 1), True), (Block(4, 4, 6, 3, 2), False), (Block(4, 8, 6, 3, 1), False)):
        block.eval()
        last = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)][-1]
        nn.init.zeros_(last.weight)
        out = block(x)
        assert torch.equal(out, x) if residual else not out.any()


def test_samples_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    network, x = EfficientNetLite0().eval(), torch.randn(3, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(network(x)[1][1:2], network(x[1:2])[1], atol=1e-5)


def test_stages_are_the_last_blocks_of_each_resolution() -> None:
    torch.manual_seed(0)
    network, x = EfficientNetLite0().eval(), torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        layers, features = network.stages(x)
        assert [tuple(layer.shape[1:]) for layer in layers] == [
            (16, 112, 112),
            (24, 56, 56),
            (40, 28, 28),
            (112, 14, 14),
            (320, 7, 7),
        ]
        assert torch.equal(layers[-1], network.blocks(network.stem(x)))
        assert torch.equal(features, network(x)[0])
