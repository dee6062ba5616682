"""DINOv2's vision transformer, so that its weights load without running downloaded code."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

HEAD_WIDTH = 64  # of the published ViT-S, B and L


class DINOv2(FeatureExtractorDinoV2):
    """torch-fidelity's extractor with weights from a file: its own constructor fetches code from GitHub and runs it.

    uint8 images [B, 3, H, W] of any size -> (class token [B, D],).
    """

    def __init__(self, name: str, state: Mapping[str, Tensor]) -> None:
        FeatureExtractorBase.__init__(self, name, ["dinov2"])
        self.feature_extractor_internal_dtype = torch.float32
        width, self.patches = state["cls_token"].shape[2], state["pos_embed"].shape[1] - 1
        depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
        self.model = VisionTransformer(width, depth, self.patches)
        self.model.load_state_dict({key: tensor for key, tensor in state.items() if key != "mask_token"})  # training only
        self.feature_size = width
        self.requires_grad_(False)
        self.eval()


class VisionTransformer(nn.Module):
    """Images [B, 3, 14 n, 14 n] -> normalised class token [B, D] (Dosovitskiy et al. 2021; Oquab et al. 2023)."""

    def __init__(self, width: int, depth: int, patches: int, patch: int = 14) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        grid = self.patch_embed["proj"](images)  # [B, 3, H, W] -> [B, D, n, n]
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), grid.flatten(2).mT], dim=1)  # [B, 1 + n n, D]
        x = x + self.positions(grid.shape[2])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]

    def positions(self, n: int) -> Tensor:
        """Position embeddings [1, 1 + n n, D]: learnt for 37 x 37 patches, interpolated to n x n."""
        side = round((self.pos_embed.shape[1] - 1) ** 0.5)
        if n == side:
            return self.pos_embed
        learnt = self.pos_embed[:, 1:].mT.unflatten(2, (side, side))  # [1, D, side, side]
        # The extra 0.1 is part of the published model: its features were computed with it.
        scaled = F.interpolate(learnt, scale_factor=(n + 0.1) / side, mode="bicubic")  # [1, D, n, n]
        return torch.cat([self.pos_embed[:, :1], scaled.flatten(2).mT], dim=1)


class Block(nn.Module):
    """Self-attention and a perceptron on tokens [B, T, D], both scaled by learnt factors (Touvron et al. 2021, LayerScale)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls1 = nn.ParameterDict({"gamma": torch.ones(width)})
        self.ls2 = nn.ParameterDict({"gamma": torch.ones(width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1["gamma"] * self.attend(self.norm1(x))
        return x + self.ls2["gamma"] * self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))

    def attend(self, x: Tensor) -> Tensor:
        heads = x.shape[2] // HEAD_WIDTH
        q, k, v = self.attn["qkv"](x).unflatten(2, (3, heads, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)  # each [B, heads, T, 64]
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.attn["proj"](mixed.transpose(1, 2).flatten(2))  # [B, heads, T, 64] -> [B, T, D]
