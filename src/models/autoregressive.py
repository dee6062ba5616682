"""Autoregressive models: p(x) = prod_t p(x_t | x_<t), fitted by maximum likelihood (Bengio et al. 2003, eq. 1)."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from src.config.errors import UserError
from src.data.spec import Batch, Spec
from src.models.conditions import drop
from src.models.model import evaluating
from src.models.symbols import SymbolModel
from src.networks.decoder import Decoder
from src.networks.music_decoder import NO_MELODY
from src.networks.patch_decoder import PatchDecoder
from src.parallel.collectives import from_all_processes
from src.training.ema import EMA


class Autoregressive(SymbolModel):
    """Predicts each symbol of a sequence from the symbols before it; those of an image are its pixels, patch by patch.

    Data with a field "source" are pairs: the source is read first, and x is predicted from it. Data with a field "melody" are
    music of several voices: the melody, which is voice 0, is given or not, so that one model also harmonises melodies.

    network: called with `spec=` and `conditional=`, maps (symbols [B, T], y, source, source_length, melody) to logits
    [B, T, V], or (images, y) to parameters of the pixels' distributions; see src.networks.decoder.decoder.
    optimizer, ema, lr_schedule: see OneLoss.
    conditional: the class is the start symbol.
    melody_dropout: share of the training samples whose melody is not given; of these, voice 0 is learned too.
    """

    learner: Decoder | PatchDecoder

    def __init__(
        self,
        spec: Spec,
        seed: int,
        network: Callable[..., Decoder | PatchDecoder],
        optimizer: Callable[..., torch.optim.Optimizer],
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
        conditional: bool = False,
        melody_dropout: float = 0.5,
    ) -> None:
        if (spec.kind != "tokens" or len(spec.shape) not in (1, 2)) and (spec.kind, spec.x.dtype) != ("image", "uint8"):
            raise ValueError(
                f"it models sequences of tokens and images, not {spec.kind} of shape {spec.shape}: take data=text data.path=..."
            )
        if not 0 <= melody_dropout <= 1:
            raise ValueError(f"melody_dropout={melody_dropout}: must be from 0 to 1")
        super().__init__(spec, seed, optimizer, ema, lr_schedule)
        self.melody_dropout = melody_dropout
        self.set_network(network(spec=spec, conditional=conditional))

    def loss(self, batch: Batch) -> Tensor:
        """Nats of each sample divided by the mean number of symbols in the global batch, [B]: every symbol has one weight."""
        if "melody" in self.learner.conditions:
            uniform = self.draw(torch.rand, len(batch["x"]), 1, "melody")
            batch = batch | {"melody": drop(batch["melody"], NO_MELODY, self.melody_dropout, uniform)}
        nats, symbols = self.nats(self.learner, batch)
        return nats / from_all_processes(symbols.to(nats.dtype)).mean().clamp(min=1)

    def nats(self, network: Decoder | PatchDecoder, batch: Batch) -> tuple[Tensor, Tensor]:
        """-log p(x) = -sum_t log p(x_t | x_<t) in nats and its number of terms, both [B]; terms after `length` do not count.

        With a melody -log p(x | melody): the terms of voice 0 do not count.
        """
        nats, counted = self.symbol_nats(network, batch)
        return nats.sum(1), counted.sum(1)

    def symbol_nats(self, network: Decoder | PatchDecoder, batch: Batch) -> tuple[Tensor, Tensor]:
        """The terms of `nats`, 0 where they do not count, and whether they count, both [B, T]; of voices [B, T * V]."""
        x = batch["x"].flatten(1) if self.spec.kind == "tokens" else batch["x"]
        given = {name: batch[name] for name in network.conditions if name != "melody" or name in batch}
        nats = network.nats(network(x, **given), x)  # [B, T]
        place, voices = torch.arange(nats.shape[1], device=x.device), math.prod(self.spec.shape[1:]) if x.ndim == 2 else 1
        length = batch.get("length", torch.full_like(nats[:, 0], nats.shape[1], dtype=torch.int64))  # [B]
        counted = place // voices < length[:, None]  # [B, T]
        if "melody" in given:
            counted = counted & ((place % voices > 0) | (given["melody"][:, :1] == NO_MELODY))
        return torch.where(counted, nats, 0.0), counted

    # Capabilities

    @torch.no_grad()
    def nll(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See Likelihood; exact. Of a batch without "melody", all voices count, else all but voice 0."""
        with evaluating(self.network(weights)) as network:
            return self.nats(network, batch)

    @torch.no_grad()
    def nll_by_symbol(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See SymbolLikelihood; exact. Melodies: see `nll`."""
        with evaluating(self.network(weights)) as network:
            nats, counted = self.symbol_nats(network, batch)
        shape = batch["x"].shape if self.spec.kind == "tokens" else nats.shape
        return nats.view(shape), counted.view(shape)

    def unfold(
        self,
        seeds: Sequence[int],
        frames: int,
        cond: Batch | None = None,
        weights: str = "ema",
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Tensor:
        """See Unfolds: the pixels that are drawn so far, the others grey; for images. temperature ...: see `sample`."""
        if self.spec.kind != "image":
            raise UserError(f"{self.spec.kind} have no film: ask for samples")
        none = torch.empty(0, dtype=torch.int64)
        symbols = self.draw_symbols(none, seeds, cond, weights, temperature, top_k, top_p)
        counts = torch.linspace(0, symbols.shape[1], frames).round().long().tolist()
        return torch.stack([self.finish(symbols, count) for count in counts])
