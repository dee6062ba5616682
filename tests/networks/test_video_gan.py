from pathlib import Path

import pytest
import torch

from src.data.spec import Field, Spec
from src.networks.video_gan import VideoDiscriminator, VideoGenerator
from src.runs.export import to_onnx


def spec_of(*shape: int) -> Spec:
    return Spec({"x": Field("video", shape, "uint8", rate=10.0)})


@pytest.mark.parametrize("shape", [(16, 1, 64, 64), (5, 3, 32, 32), (2, 1, 28, 28)])
def test_shapes_follow_the_data(shape: tuple[int, ...]) -> None:
    generator, discriminator = VideoGenerator(spec_of(*shape), width=2), VideoDiscriminator(spec_of(*shape), 2, 2)
    x = generator(torch.randn(3, generator.z_dim))
    assert x.shape == (3, *shape)
    assert x.abs().max() <= 1
    assert discriminator(x).shape == (3,)


def test_motion_makes_frames_differ_and_content_makes_clips_differ() -> None:
    torch.manual_seed(0)
    generator = VideoGenerator(spec_of(4, 1, 16, 16), content=6, motion=3, hidden=8, width=4).eval()
    z = torch.randn(1, 9).repeat(3, 1)
    z[1, :6] = torch.randn(6)  # another content
    z[2, 6:] = torch.randn(3)  # another motion
    with torch.no_grad():
        a, b, c = generator(z)
        assert not torch.allclose(a[0], a[3])
        assert not torch.allclose(a, b)
        assert not torch.allclose(a, c)
        generator.path.weight.zero_(), generator.path.bias.zero_()
        still = generator(z[:1])[0]
    torch.testing.assert_close(still[0], still[3])  # nothing moves without a motion code


def test_every_frame_and_pixel_counts() -> None:
    torch.manual_seed(0)
    discriminator = VideoDiscriminator(spec_of(6, 1, 16, 16), 4, 4)
    x = torch.zeros(1, 6, 1, 16, 16, requires_grad=True)
    discriminator(x).sum().backward()
    assert (x.grad != 0).float().mean() > 0.95
    images = VideoDiscriminator(spec_of(6, 1, 16, 16), 4, 4)
    images.clips[-1].weight.data.zero_()  # the critic of images alone
    x = torch.zeros(1, 6, 1, 16, 16, requires_grad=True)
    images(x).sum().backward()
    assert [bool(frame.any()) for frame in x.grad[0]] == [True, False, True, True, False, True]


def test_the_export_equals_it(tmp_path: Path) -> None:
    generator = VideoGenerator(spec_of(2, 1, 8, 8), content=6, motion=3, hidden=4, width=2)
    to_onnx(generator, (torch.zeros(1, 9),), tmp_path / "network.onnx", ["z"], {})  # raises where outputs differ
    assert (tmp_path / "network.onnx").stat().st_size > 1000


def test_data_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"it takes clips \[T, C, H, W\], not image"):
        VideoGenerator(Spec.of("image", (1, 8, 8)))
    with pytest.raises(ValueError, match="square images"):
        VideoDiscriminator(spec_of(4, 1, 16, 20))
