"""Pictures from captions: flow matching with attention to words and classifier-free guidance, and a GAN (Tao et al. 2022)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from src.data.spec import Batch, Spec
from src.data.vocabulary import PAD
from src.models.conditions import FromCaptions, caption_field, hide_words
from src.models.flow import Flow
from src.models.gan.gan import GAN


class TextToImage(FromCaptions, Flow):
    """Flow matching, see Flow, where the network reads the caption of the picture.

    network: as of ODEModel; y are captions, tokens [B, T]. See the argument `text` of UNet.
    condition_dropout: share of the training samples with the empty caption, the learned null, which guidance needs.
    word_dropout: probability of reading a word as UNKNOWN in training.
    settings: see Flow. Pairs by optimal transport are of no use: captions differ, so that nothing could be exchanged.
    """

    def __init__(self, spec: Spec, seed: int, word_dropout: float = 0.0, **settings: Any) -> None:
        names = caption_field(spec).names
        super().__init__(spec, seed, conditional=True, **settings)
        self.word_dropout = word_dropout
        assert self.classes == len(names), "the network must read captions"

    @property
    def null(self) -> int:
        """PAD: the empty caption."""
        return caption_field(self.spec).names.index(PAD)

    def training_pair(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Dequantised data [B, *shape] and captions [B, T] of which some are empty, some words UNKNOWN."""
        draw = partial(self.draw, torch.rand, stream="words")
        caption = hide_words(batch["caption"], caption_field(self.spec), self.word_dropout, draw)
        return super().training_pair(batch | {"caption": caption})

    def example_inputs(self) -> dict[str, Tensor]:
        """See Exports."""
        return {"x_t": torch.zeros(2, *self.spec.shape), "t": torch.full((2,), 0.5), **self.conditions(range(2))}


class TextToImageGAN(FromCaptions, GAN):
    """A GAN, see GAN, whose networks' y are captions, tokens [B, T]. Each network has its own encoder of captions.

    word_dropout: probability of reading a word as UNKNOWN in training. settings: see GAN.
    """

    def __init__(self, spec: Spec, seed: int, word_dropout: float = 0.0, **settings: Any) -> None:
        caption_field(spec)
        super().__init__(spec, seed, **settings)
        self.word_dropout = word_dropout

    def check_parts(self) -> None:
        """See Model: nothing to check, networks that read captions are given."""

    def update(self, batches: Sequence[Batch], g_optimizer: Any, d_optimizer: Any) -> None:
        """See GAN."""
        field, seen = caption_field(self.spec), []
        for k, batch in enumerate(batches):
            draw = partial(self.draw, torch.rand, stream=f"words/{k}")
            seen.append(batch | {"caption": hide_words(batch["caption"], field, self.word_dropout, draw)})
        super().update(seen, g_optimizer, d_optimizer)

    def example_inputs(self) -> dict[str, Tensor]:
        """See Exports."""
        return {"z": torch.zeros(2, self.z_dim), **self.conditions(range(2))}
