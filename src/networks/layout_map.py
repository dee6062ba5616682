"""Layouts as maps: what each pixel belongs to, and where in its box it lies."""

import math

import torch
from torch import Tensor, nn

from src.data.spec import Spec

WAVES = 2  # of the place in a box: sine and cosine of this many frequencies in each direction


class LayoutMap(nn.Module):
    """Boxes to one vector for each pixel: a small network of the embedding of its object's class and of its place in the box.

    Where boxes overlap, the last one counts; a box without width is none. Pixels outside all boxes have an embedding of their
    own. So an empty layout is the same vector everywhere.

    spec: its field `layout` names the classes; see Scenes. width: channels of the map.
    """

    def __init__(self, spec: Spec, width: int = 16) -> None:
        super().__init__()
        self.classes, self.width = len(spec.fields["layout"].names), width
        self.embedding = nn.Embedding(self.classes + 1, width)  # the last one is the ground
        self.place = nn.Linear(4 * WAVES, width)
        self.layers = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, layout: Tensor, height: int, width: int) -> Tensor:
        """Layouts [B, M, 5] (class, x, y, width, height), shares of the picture, to [B, W, height, width]."""
        kinds, x, y, w, h = layout.unbind(2)  # [B, M] each
        kinds = kinds.long().clamp(0, self.classes - 1)  # an exported network is given any numbers
        across, down = ((torch.arange(n, device=layout.device) + 0.5) / n for n in (width, height))
        u = (across - x[:, :, None]) / w[:, :, None].clamp(min=1e-6)  # [B, M, width], 0 to 1 within the box
        v = (down - y[:, :, None]) / h[:, :, None].clamp(min=1e-6)  # [B, M, height]
        inside = ((v >= 0) & (v < 1))[:, :, :, None] & ((u >= 0) & (u < 1))[:, :, None]  # [B, M, height, width]
        inside = inside & (w > 0)[:, :, None, None]
        kind = torch.full_like(inside[:, 0], self.classes, dtype=torch.int64)  # [B, height, width]
        place = torch.zeros_like(inside[:, 0], dtype=layout.dtype)[..., None].expand(-1, -1, -1, 2)
        for m in range(layout.shape[1]):
            own = inside[:, m]
            kind = torch.where(own, kinds[:, m, None, None], kind)
            uv = torch.stack(torch.broadcast_tensors(u[:, m, None], v[:, m, :, None]), dim=-1)  # [B, height, width, 2]
            place = torch.where(own[..., None], uv, place)
        angle = place[..., None] * math.pi * torch.arange(1, WAVES + 1, device=layout.device)  # [B, height, width, 2, WAVES]
        waves = torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(3)  # [B, height, width, 4 WAVES]
        h0 = self.embedding(kind) * (1 + self.place(waves.to(self.place.weight)))  # [B, height, width, W]
        return self.layers(h0).permute(0, 3, 1, 2)
