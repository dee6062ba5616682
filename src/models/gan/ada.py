"""Adaptive discriminator augmentation: random operations on the discriminator's input, with an adaptive probability."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from src.models.augment import Augmentation, check_policy
from src.parallel.collectives import mean_over_processes

# (draws, function of numbers [B, draws] in [0, 1) and the side in pixels, which returns matrices [B, n, n]). One more number
# decides whether the operation happens.
Operation = tuple[int, Callable[[Tensor, int], Tensor]]


class ADA(Augmentation):
    """Adaptive discriminator augmentation (Karras et al. 2020b, arXiv:2006.06676, section 3 and appendix B).

    Each operation happens to each image with probability p. r_t = E[sign(D(real))] (eq. 1) measures overfitting of the
    discriminator: p rises while r_t > target, otherwise it falls.

    Deviations from the paper: images are resampled bilinearly and mirrored at their borders, without wavelet low-pass filters,
    so images that become smaller may alias. Flips, quarter turns and shifts by whole pixels are exact. The filtering and
    corruption operations, which the paper's final pipeline does not use, are left out.

    policy: operations, or groups of them; all groups are the paper's "bgc". They are applied in the paper's order. Leave out
        "flip", "rotate90", "rotate" or "luma_flip" if it changes what an image shows, as for digits.
        blit: flip, rotate90, translate (by whole pixels, up to an eighth of the side);
        geometry: scale, rotate (before and after stretching), stretch, shift (by any fraction of the side);
        color: brightness, contrast, luma_flip, hue, saturation (the last two leave grey images as they are).
    target: value of r_t that p is adapted for.
    kimg: thousands of real images in which p goes from 0 to 1.
    every: updates of the discriminator between two steps of p.
    """

    p: Tensor  # float32, from 0 to 1
    signs: Tensor  # since the last step of p: sum of the updates' mean signs
    images: Tensor  # since then: number of real images
    calls: Tensor  # since then: number of updates

    def __init__(
        self,
        policy: Sequence[str] = ("blit", "geometry", "color"),
        target: float = 0.6,
        kimg: float = 500,
        every: int = 4,
    ) -> None:
        super().__init__()
        check_policy(policy, {**GROUPS, **GEOMETRY, **COLOR})
        names = {operation for name in policy for operation in GROUPS.get(name, [name])}
        self.geometry = [GEOMETRY[name] for name in ORDER if name in names]
        self.color = [operation for name, operation in reversed(COLOR.items()) if name in names]
        self.sizes = [1 + draws for draws, _ in self.geometry + self.color]  # the first decides whether it happens
        self.draws, self.target, self.kimg, self.every = sum(self.sizes), target, kimg, every
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("images", torch.zeros((), dtype=torch.int64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, uniform: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] and numbers [B, draws] in [0, 1) to the same shape; colours are not clipped."""
        with torch.autocast(x.device.type, enabled=False):  # mixed precision would round coordinates to pixels
            x, numbers = x.to(torch.promote_types(x.dtype, torch.float32)), uniform.split(self.sizes, dim=1)
            if self.geometry:
                x = resample(x, self.product(self.geometry, numbers[: len(self.geometry)], x.shape[2], 3))
            if self.color:
                x = recolor(x, self.product(self.color, numbers[len(self.geometry) :], x.shape[2], 4))
        return x

    def product(self, operations: Sequence[Operation], numbers: Sequence[Tensor], side: int, size: int) -> Tensor:
        """The product [B, size, size], from left to right, of the matrices of the operations that happen."""
        total = identity = torch.eye(size, device=self.p.device)
        for (_, matrix), uniform in zip(operations, numbers, strict=True):
            # There are two rotations: at least one happens with probability p.
            probability = 1 - (1 - self.p).sqrt() if matrix is rotate else self.p
            happens = uniform[:, 0, None, None] < probability  # [B, 1, 1]
            total = total @ torch.where(happens, matrix(uniform[:, 1:], side), identity)
        return total

    @torch.no_grad()
    def observe(self, real_logits: Tensor, images: int) -> None:
        # Averaged over ranks at every call, not only at steps of p: a checkpoint has one rank's buffers, so all must be equal.
        self.signs += mean_over_processes(real_logits.float().sign().mean())
        self.images += images
        self.calls += 1
        if self.calls >= self.every:  # more if a resumed training has a lower `every`
            self.p += (self.signs / self.calls - self.target).sign() * self.images / (1000 * self.kimg)
            self.p.clamp_(0, 1)
            for total in (self.signs, self.images, self.calls):
                total.zero_()

    def scalars(self) -> dict[str, float]:
        return {"augment/p": self.p.item()}


def resample(x: Tensor, look: Tensor) -> Tensor:
    """Resample images [B, C, H, W] bilinearly. look: matrices [B, 3, 3] from an output pixel (x, y, 1) to its source position.

    Coordinates are in pixels from the centre, x to the right and y down. Outside, images are mirrored at their outermost
    pixels. Not `grid_sample`, whose gradient on a GPU is not deterministic.
    """
    height, width = x.shape[2:]
    y = torch.arange(height, device=x.device) - (height - 1) / 2
    at = torch.cartesian_prod(y, torch.arange(width, device=x.device) - (width - 1) / 2).T  # [2, H * W], y and x
    columns, rows = (look[:, :2] @ torch.stack([at[1], at[0], torch.ones_like(at[0])])).unbind(1)  # [B, H * W]
    view = torch.zeros_like(x).flatten(2)  # [B, C, H * W]
    for row, row_weight in neighbours(rows + (height - 1) / 2, height):
        for column, column_weight in neighbours(columns + (width - 1) / 2, width):
            index = (row * width + column)[:, None].expand(-1, x.shape[1], -1)  # [B, C, H * W]
            view = view + (row_weight * column_weight)[:, None] * x.flatten(2).gather(2, index)
    return view.unflatten(2, (height, width))


def neighbours(position: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """(index, weight) of the two pixels beside each position; positions outside 0..size - 1 are mirrored into it."""
    last = size - 1
    position = last - (position % (2 * last) - last).abs()
    low = position.floor()
    return [(low.long(), 1 - (position - low)), ((low.long() + 1).clamp(max=last), position - low)]


def recolor(x: Tensor, matrix: Tensor) -> Tensor:
    """Matrices [B, 4, 4] applied to the colours (r, g, b, 1) of images [B, 3, H, W], or to greys [B, 1, H, W] as r = g = b."""
    factor, summand = matrix[:, :3, :3], matrix[:, :3, 3:]  # [B, 3, 3], [B, 3, 1]
    if x.shape[1] == 1:  # the new grey is the mean of the new r, g and b
        factor, summand = factor.sum(2, keepdim=True).mean(1, keepdim=True), summand.mean(1, keepdim=True)  # [B, 1, 1] both
    return (factor @ x.flatten(2) + summand).view_as(x)


def linear(part: Tensor) -> Tensor:
    """The map x -> part x, part [B, n, n], as a matrix [B, n + 1, n + 1] on (x, 1)."""
    matrix = torch.eye(part.shape[1] + 1, device=part.device).repeat(len(part), 1, 1)
    matrix[:, :-1, :-1] = part
    return matrix


def offset(by: Tensor) -> Tensor:
    """The map x -> x + by, by [B, n], as a matrix [B, n + 1, n + 1] on (x, 1)."""
    matrix = torch.eye(by.shape[1] + 1, device=by.device).repeat(len(by), 1, 1)
    matrix[:, :-1, -1] = by
    return matrix


def normal(uniform: Tensor) -> Tensor:
    """N(0, 1) from numbers in [0, 1). Clamped, because they are multiples of 2^-24 (float32) and can be zero."""
    return torch.special.ndtri(uniform.clamp(min=2.0**-25))


# Geometry: matrices [B, 3, 3] from an output pixel (x, y, 1) to its source. To move an image right, the source is to the left.


def scaling(x: Tensor, y: Tensor) -> Tensor:
    return linear(torch.diag_embed(torch.stack([x, y], dim=1)))


def rotation(cosine: Tensor, sine: Tensor) -> Tensor:
    return linear(torch.stack([cosine, -sine, sine, cosine], dim=1).unflatten(1, (2, 2)))


def flip(u: Tensor, side: int) -> Tensor:
    mirror = 1 - 2 * (2 * u[:, 0]).floor()  # 1 or -1
    return scaling(mirror, torch.ones_like(mirror))


def rotate90(u: Tensor, side: int) -> Tensor:
    turns = (4 * u[:, 0]).long()  # 0..3
    cosines = torch.tensor([1.0, 0.0, -1.0, 0.0], device=u.device)  # exact; the sine is the cosine of one turn before
    return rotation(cosines[turns], cosines[turns - 1])


def translate(u: Tensor, side: int) -> Tensor:
    return offset(-((2 * u - 1) * side / 8).round())


def scale(u: Tensor, side: int) -> Tensor:
    factor = torch.exp2(0.2 * normal(u[:, 0]))
    return scaling(1 / factor, 1 / factor)


def rotate(u: Tensor, side: int) -> Tensor:
    angle = (2 * u[:, 0] - 1) * math.pi
    return rotation(angle.cos(), angle.sin())


def stretch(u: Tensor, side: int) -> Tensor:
    factor = torch.exp2(0.2 * normal(u[:, 0]))
    return scaling(1 / factor, factor)


def shift(u: Tensor, side: int) -> Tensor:
    return offset(-normal(u) * side / 8)


# Colour: matrices [B, 4, 4] on (r, g, b, 1).


def brightness(u: Tensor, side: int) -> Tensor:
    return offset(0.2 * normal(u).expand(-1, 3))


def contrast(u: Tensor, side: int) -> Tensor:
    return linear(torch.exp2(0.5 * normal(u))[:, :, None] * torch.eye(3, device=u.device))


def luma_flip(u: Tensor, side: int) -> Tensor:
    return linear(torch.eye(3, device=u.device) - 2 * (2 * u).floor()[:, :, None] * luma(u))


def hue(u: Tensor, side: int) -> Tensor:
    """Rotation about the grey axis v: cos I + sin [v]x + (1 - cos) v v^T (Rodrigues)."""
    angle = ((2 * u - 1) * math.pi)[:, :, None]  # [B, 1, 1]
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=u.device) / math.sqrt(3)
    identity = torch.eye(3, device=u.device)
    return linear(angle.cos() * identity + angle.sin() * cross + (1 - angle.cos()) * luma(u))


def saturation(u: Tensor, side: int) -> Tensor:
    factor = torch.exp2(normal(u))[:, :, None]  # [B, 1, 1]
    return linear(luma(u) + factor * (torch.eye(3, device=u.device) - luma(u)))


def luma(u: Tensor) -> Tensor:
    """The projection v v^T onto the grey axis v = (1, 1, 1) / sqrt(3), [3, 3]."""
    return torch.full((3, 3), 1 / 3, device=u.device)


GEOMETRY: dict[str, Operation] = {
    "flip": (1, flip),
    "rotate90": (1, rotate90),
    "translate": (2, translate),
    "scale": (1, scale),
    "rotate": (1, rotate),
    "stretch": (1, stretch),
    "shift": (2, shift),
}
COLOR: dict[str, Operation] = {
    "brightness": (1, brightness),
    "contrast": (1, contrast),
    "luma_flip": (1, luma_flip),
    "hue": (1, hue),
    "saturation": (1, saturation),
}
ORDER = ("flip", "rotate90", "translate", "scale", "rotate", "stretch", "rotate", "shift")
GROUPS = {"blit": ORDER[:3], "geometry": ORDER[3:], "color": tuple(COLOR)}
