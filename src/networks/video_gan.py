"""Generator and discriminator of clips, after MoCoGAN (Tulyakov et al. 2018, arXiv:1707.04993).

From MoCoGAN: a content code that all frames share, a motion code for each frame, one generator of images that draws each frame
from both, and two critics, of images and of clips. Motion codes are waves whose sizes, rates and phases depend on the
clip, as in StyleGAN-V (Skorokhodov et al. 2022, arXiv:2112.14683): MoCoGAN's recurrent network brought all clips to one path,
whatever their latents. The critics' logits are summed.
"""

import math

import torch
from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.sizes import sides

SHORTEST, LONGEST = 8.0, 64.0  # frames, periods of the motion codes before training
SEEN = 4  # frames of a clip that the critic of images sees


class VideoGenerator(nn.Module):
    """Latents to clips: z holds content and motion, waves in time are the code of each frame, DCGAN's layers draw the frames.

    content, motion: sizes of the two parts of the latent. hidden: waves, the size of a frame's motion code.
    width: channels of the last hidden layer; they double with each halving of the side.
    """

    sample_batch = 16  # clips, each of many images: see LatentModel
    rates: Tensor  # of the waves, in radians per frame

    def __init__(self, spec: Spec, content: int = 64, motion: int = 32, hidden: int = 64, width: int = 16) -> None:
        super().__init__()
        self.frames, (self.start, *_, last) = spec.shape[0], frame_sides(spec)
        self.content, self.motion, self.z_dim, self.classes = content, motion, content + motion, 0
        self.path = nn.Linear(motion, 3 * hidden)
        nn.init.normal_(self.path.weight, std=1 / math.sqrt(motion))  # sizes, rates and phases of about 1
        periods = torch.logspace(math.log10(SHORTEST), math.log10(LONGEST), hidden)  # in frames
        self.register_buffer("rates", 2 * math.pi / periods, persistent=False)
        inputs = width * last // self.start // 2
        self.project = nn.Linear(content + hidden, inputs * self.start**2, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        while inputs > width:
            layers.append(nn.ConvTranspose2d(inputs, inputs // 2, 4, stride=2, padding=1, bias=False))
            inputs //= 2
            layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, spec.shape[1], 4, stride=2, padding=1), nn.Tanh())

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z [B, z_dim] from N(0, I) to clips [B, T, C, H, W] in [-1, 1]; y is ignored."""
        content, motion = z.split([self.content, self.motion], dim=1)
        size, rate, phase = self.path(motion)[:, None].chunk(3, dim=2)  # [B, 1, hidden] each
        time = torch.arange(self.frames, dtype=z.dtype, device=z.device)[:, None]  # [T, 1]
        codes = size * torch.sin(self.rates * torch.exp2(rate) * time + math.pi * phase)  # [B, T, hidden]
        both = torch.cat([content[:, None].expand(-1, self.frames, -1), codes], dim=2)  # [B, T, .]
        x = self.project(both.flatten(0, 1)).unflatten(1, (-1, self.start, self.start))  # [B T, C, start, start]
        return self.layers(x).unflatten(0, (-1, self.frames))


class VideoDiscriminator(nn.Module):
    """Clips to one logit each: the sum of a critic of SEEN frames, evenly spaced, and of a critic of the whole clip.

    width: channels of the first layer of the critic of images. clip_width: likewise, of the critic of clips.
    """

    def __init__(self, spec: Spec, width: int = 16, clip_width: int = 16) -> None:
        super().__init__()
        frames, channels = spec.shape[:2]
        smallest, *larger = frame_sides(spec)
        self.seen = torch.linspace(0, frames - 1, min(SEEN, frames)).round().long().tolist()  # frames of the critic of images
        images: list[nn.Module] = []
        clips: list[nn.Module] = []
        inputs = clip_inputs = channels
        for _ in larger:  # each layer halves the side, and of clips the frames
            images += [nn.Conv2d(inputs, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
            clips += [
                nn.Conv3d(clip_inputs, clip_width, (3, 4, 4), stride=2, padding=1),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            inputs, clip_inputs, frames = width, clip_width, -(-frames // 2)
            width, clip_width = 2 * width, 2 * clip_width
        self.images = nn.Sequential(*images, nn.Flatten(), nn.Linear(inputs * smallest**2, 1))
        self.clips = nn.Sequential(*clips, nn.Flatten(), nn.Linear(clip_inputs * frames * smallest**2, 1))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Clips [B, T, C, H, W] in [-1, 1] to logits [B]; y is ignored."""
        seen = x[:, self.seen]  # [B, SEEN, C, H, W]
        images = self.images(seen.flatten(0, 1)).view(-1, seen.shape[1]).mean(dim=1)
        return images + self.clips(x.transpose(1, 2)).squeeze(1)


def frame_sides(spec: Spec) -> list[int]:
    """Sides of the feature maps of a frame, see `sides`; ValueError for data that are no clips of square frames."""
    if spec.kind != "video" or len(spec.shape) != 4:
        raise ValueError(f"it takes clips [T, C, H, W], not {spec.kind} {list(spec.shape)}: take data of video")
    return sides(Spec.of("image", spec.shape[1:]))
