"""Pictures in the style of one picture: Johnson et al. 2016, arXiv:1603.08155, Perceptual Losses for Style Transfer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from src.config.errors import UserError
from src.data.decoded import to_array
from src.data.pixels import from_uint8
from src.data.spec import Batch, Spec
from src.models.model import OneLoss
from src.models.translation import Translation
from src.training.ema import EMA

Maps = Callable[[Tensor], list[Tensor]]  # pictures [B, 3, H, W] in [-1, 1] to feature maps [B, C_l, H_l, W_l] of several layers


class Style(OneLoss, Translation):
    """A network f that draws pictures x in the style of the picture s, trained with features phi_l of a classifier (section 3).

    L = content |phi_c(f(x)) - phi_c(x)|^2 + style sum_l |G_l(f(x)) - G_l(s)|_F^2 + smooth TV(f(x)),
    with the Gram matrices G_l = phi_l phi_l^T / (H_l W_l) (eq. 3 and 4), and the squared differences of neighbouring pixels TV.
    In the paper each term is divided by its number of values; here by the same term of its target alone, so that the weights
    mean the same in all layers: |G_l(s)|_F^2, and |phi_c(x)|^2.

    network: called with `spec=`; maps pictures x to pictures. features: called without arguments when the training begins.
    picture: path of s; its centre square is resized to the side `side`. It is part of a checkpoint.
    content_layer: c, counted in the layers of `features`.
    The other arguments: see OneLoss. The condition of a sample is {"source": x}.
    """

    picture: Tensor

    def __init__(
        self,
        spec: Spec,
        seed: int,
        network: Callable[..., nn.Module],
        features: Callable[[], Maps],
        picture: str,
        optimizer: Callable[..., Optimizer],
        side: int = 128,
        content: float = 1.0,
        style: float = 1.0,
        smooth: float = 0.1,
        content_layer: int = 2,
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__(spec, seed, optimizer, ema, lr_schedule)
        if spec.kind != "image":
            raise ValueError(f"this rule is for images and the data are {spec.kind}: take image data")
        self.set_network(network(spec=spec))
        self.path, self._features = Path(picture), features
        self.content, self.style, self.smooth, self.content_layer = content, style, smooth, content_layer
        self.register_buffer("picture", torch.zeros(3, side, side, dtype=torch.uint8))
        self._maps: Maps | None = None
        self._grams: list[Tensor] = []  # of s
        self._terms: dict[str, Tensor] = {}

    def check_parts(self) -> None:
        """See Model: read the picture and the weights of the features."""
        self.prepare()

    def prepare(self) -> Maps:
        """What the loss needs: features, and the Gram matrices of s, which is read unless a checkpoint has brought it."""
        if not self.picture.any():
            try:
                pixels = to_array(self.path.read_bytes(), self.picture.shape[1], 3)
            except Exception as error:  # Pillow raises nearly anything on damaged bytes
                raise UserError(f"model.picture={self.path}: cannot read it ({error}): name an intact picture") from error
            self.picture.copy_(torch.from_numpy(pixels.copy()))
        if self._maps is None:
            self._maps = self._features()
        return self._maps

    def loss(self, batch: Batch) -> Tensor:
        """See OneLoss."""
        self._terms = self.terms(batch["x"], self.learner(batch["x"]))
        return self.weighted(self._terms)

    def weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss [B] of its terms."""
        return self.content * terms["content"] + self.style * terms["style"] + self.smooth * terms["smooth"]

    def terms(self, x: Tensor, drawn: Tensor) -> dict[str, Tensor]:
        """The terms of the loss, [B] each and without their weights, of pictures x that are drawn so; both [B, *shape]."""
        maps = self.prepare()
        with torch.no_grad():
            wanted = maps(as_colour(x))[self.content_layer]
            if not self._grams:
                self._grams = [gram(found) for found in maps(from_uint8(self.picture)[None].to(x))]
        found = maps(as_colour(drawn))
        styles = [relative(gram(one), target) for one, target in zip(found, self._grams, strict=True)]
        return {
            "content": relative(found[self.content_layer], wanted),
            "style": torch.stack(styles).sum(0),
            "smooth": sum(drawn.diff(dim=dim).square().mean((1, 2, 3)) for dim in (2, 3)),  # type: ignore[dict-item]
        }

    def scalars(self) -> dict[str, float]:
        """The loss of the last update and its terms, without their weights."""
        return super().scalars() | {f"loss/{name}": value.detach().mean().item() for name, value in self._terms.items()}

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """See Samples: white pictures, {"source": [N, C, H, W]}."""
        return {"source": torch.ones(len(seeds), *self.spec.shape)}

    def conditions_from(self, batch: Batch, seeds: Sequence[int]) -> Batch:
        """See ConditionsFromData: the pictures."""
        return {"source": batch["x"]}

    def sample(self, seeds: Sequence[int], cond: Batch | None = None, weights: str = "ema", side: int | None = None) -> Tensor:
        """See Translation. side: of the pictures in `cond`, and of what is made of them, in pixels; None: the data's."""
        multiple = getattr(self.network(weights), "multiple", 1)
        if side is not None and side % multiple:
            raise UserError(f"side={side}: this network takes multiples of {multiple}: take {-(-side // multiple) * multiple}")
        return super().sample(seeds, cond, weights)


def gram(maps: Tensor) -> Tensor:
    """phi phi^T / (H W): [B, C, H, W] to [B, C, C]."""
    flat = maps.flatten(2)
    return flat @ flat.mT / flat.shape[2]


def relative(found: Tensor, wanted: Tensor) -> Tensor:
    """|found - wanted|^2 / |wanted|^2 of each sample, [B, ...] and [B or 1, ...] to [B]."""
    scale = wanted.square().flatten(1).sum(1).clamp(min=torch.finfo(wanted.dtype).tiny)
    return (found - wanted).square().flatten(1).sum(1) / scale


def as_colour(x: Tensor) -> Tensor:
    """Grey pictures [B, 1, H, W] as [B, 3, H, W]; others as they are."""
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x


class EfficientNetMaps:
    """Maps of EfficientNet-Lite0 with its pinned weights, after the blocks `depths`, counted from 0.

    Blocks 0, 2, 4 and 10 are the last with 1/2, 1/4, 1/8 and 1/16 of the side. The paper takes four layers of VGG-16.
    scale: by which pictures are enlarged first: the network was trained on photographs of 224 x 224.
    weights: path of the weights' file; None for the download.
    """

    def __init__(self, depths: Sequence[int] = (0, 2, 4, 10), scale: float = 2.0, weights: str | None = None) -> None:
        from src.evaluation.extractors.pretrained import load_efficientnet  # lazy import: samples are drawn without it

        self.network: Any = load_efficientnet(weights).module.network
        self.depths, self.scale = depths, scale

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Pictures [B, 3, H, W] in [-1, 1] to maps [B, C_l, H_l, W_l], one for each layer."""
        self.network.to(x.device, x.dtype)
        x = F.interpolate(x, scale_factor=self.scale, mode="bilinear") if self.scale != 1 else x
        h, found = self.network.stem((x * 127.5 + 0.5) / 128), []  # as in training: (pixel - 127) / 128
        for number, block in enumerate(self.network.blocks[: max(self.depths) + 1]):
            h = block(h)
            if number in self.depths:
                found.append(h)
        return found
