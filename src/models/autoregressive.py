"""Autoregressive models: p(x) = prod_t p(x_t | x_<t), fitted by maximum likelihood (Bengio et al. 2003, eq. 1)."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.config.errors import UserError
from src.data.spec import Batch, Spec
from src.data.vocabulary import END
from src.models.conditions import conditions_of
from src.models.constraints import Constraint, Endings, check_prompt, combined
from src.models.model import OneLoss, evaluating
from src.networks.decoder import Decoder
from src.networks.patch_decoder import PatchDecoder
from src.parallel.collectives import from_all_processes
from src.training import rng
from src.training.ema import EMA

SAMPLE_BATCH = 64  # sampling always runs batches of this size: the last bits of a matrix product depend on its shape


class SymbolModel(OneLoss):
    """Draws samples symbol by symbol from `decoder_of(weights)`, of which `conditions` names the arguments besides symbols."""

    def decoder_of(self, weights: str = "ema") -> Decoder | PatchDecoder:
        """The network that predicts symbols: `network`, or a part of it in a subclass."""
        return self.network(weights)  # type: ignore[return-value]

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """See `conditions_of`; sources are empty texts."""
        found = conditions_of(seeds, self.decoder_of("raw").classes)
        if "source" in self.decoder_of("raw").conditions:
            names = self.spec.x.names
            length = torch.full((len(seeds),), int(END in names))
            found |= {"source": length[:, None] * (names.index(END) if END in names else 0), "source_length": length}
        return found

    def sample(
        self,
        seeds: Sequence[int],
        cond: Batch | None = None,
        weights: str = "ema",
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        constraints: Sequence[Constraint] = (),
    ) -> Tensor:
        """See Samples: int64 [N, T], or images [N, C, H, W].

        cond: "y" [N], "source" [N, S] and "source_length" [N]; what is missing has its default. temperature, top_k, top_p: see
        `probabilities`. constraints: on the symbols of text; its end and padding follow from the vocabulary.
        """
        none = torch.empty(0, dtype=torch.int64)
        return self.finish(self.draw_symbols(none, seeds, cond, weights, temperature, top_k, top_p, constraints))

    def continue_from(
        self,
        prompt: Tensor,
        seeds: Sequence[int],
        cond: Batch | None = None,
        weights: str = "ema",
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        constraints: Sequence[Constraint] = (),
    ) -> Tensor:
        """See Continues: int64 [N, T], of tokens. Symbol t is drawn with the t-th number of its seed for any prompt [P].

        cond, temperature ...: see `sample`.
        """
        if self.spec.kind == "image":
            raise UserError("an image has no prompt of symbols: ask for samples")
        check_prompt(prompt, self.spec, constraints)
        return self.draw_symbols(prompt, seeds, cond, weights, temperature, top_k, top_p, constraints)

    def finish(self, symbols: Tensor, drawn: int | None = None) -> Tensor:
        """Symbols [N, T] as they are, or as images [N, C, H, W], in which only the first `drawn` pixels are not grey."""
        network = self.decoder_of("raw")
        if not isinstance(network, PatchDecoder):
            return symbols
        pixels = network.values(symbols)
        if drawn is not None:
            pixels[:, drawn:] = 0
        return network.to_images(pixels).float().cpu()

    @torch.no_grad()
    def draw_symbols(
        self,
        prompt: Tensor,
        seeds: Sequence[int],
        cond: Batch | None,
        weights: str,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        constraints: Sequence[Constraint] = (),
    ) -> Tensor:
        """Symbols int64 [N, T] on the CPU that begin with the prompt [P], one row per seed."""
        check_settings(temperature, top_k, top_p)
        network = self.decoder_of(weights)
        cond = self.full_conditions(seeds, cond)
        uniform = uniforms(seeds, math.prod(self.spec.shape))  # [N, T]
        choose = partial(probabilities, temperature=temperature, top_k=top_k, top_p=top_p)
        samples = []
        with evaluating(network):
            for start in range(0, len(uniform), SAMPLE_BATCH):
                rows = slice(start, start + SAMPLE_BATCH)
                given = {name: part[rows] for name, part in cond.items()}
                samples.append(self.draw_batch(network, prompt, uniform[rows], given, choose, constraints))
        return torch.cat(samples) if samples else torch.empty(uniform.shape, dtype=torch.int64)

    def draw_batch(
        self,
        network: Decoder | PatchDecoder,
        prompt: Tensor,
        uniform: Tensor,
        cond: Batch,
        choose: Callable[[Tensor], Tensor],
        constraints: Sequence[Constraint],
    ) -> Tensor:
        """Symbols int64 [N, T] for N <= SAMPLE_BATCH rows of numbers from U(0, 1). choose: logits to probabilities."""
        size, length = uniform.shape
        endings = Endings(self.spec) if self.spec.x.names else None
        device = next(network.parameters()).device
        cond = {
            name: F.pad(part, (0,) * (2 * part.ndim - 1) + (SAMPLE_BATCH - size,)).to(device) for name, part in cond.items()
        }
        u = F.pad(uniform, (0, 0, 0, SAMPLE_BATCH - size))
        x = torch.full(u.shape, endings.pad if endings and endings.pad is not None else 0)  # [B, T]
        x[:, : len(prompt)] = prompt
        symbol = network.start(SAMPLE_BATCH, cond.pop("y", None))
        cache = network.cache(SAMPLE_BATCH, length, **cond)
        for t in range(length):
            logits = network.step(symbol, cache).cpu()  # type: ignore[arg-type]  # [B, V]
            if t >= len(prompt):
                if endings:
                    logits = logits.masked_fill(~combined(constraints, endings, x[:, :t]), -torch.inf)
                x[:, t] = draw(choose(logits), u[:, t])
                if endings and endings.ended(x[:size, : t + 1]).all():
                    break
            symbol = x[:, t : t + 1].to(device)
        return x[:size]

    def full_conditions(self, seeds: Sequence[int], cond: Batch | None) -> Batch:
        """The conditions of these seeds by field, with defaults for those that are missing; UserError for unknown ones.

        Sources have the data's width: the last bits of a sample depend on it.
        """
        cond = self.conditions(seeds) | (cond or {})
        if unknown := sorted(cond.keys() - set(self.decoder_of("raw").conditions)):
            raise UserError(f"this model knows no conditions: leave out {', '.join(unknown)}")
        if "source" in cond:
            width, longest = self.spec.fields["source"].shape[0], int(cond["source_length"].max()) if len(seeds) else 0
            if longest > width:
                raise UserError(f"the source has {longest} symbols and those of the data {width}: shorten it")
            cond["source"] = F.pad(cond["source"], (0, width - cond["source"].shape[1]))  # also cuts padding
        return cond


class Autoregressive(SymbolModel):
    """Predicts each symbol of a sequence from the symbols before it; those of an image are its pixels, patch by patch.

    Data with a field "source" are pairs: the source is read first, and x is predicted from it.

    network: called with `spec=` and `conditional=`, maps (symbols [B, T], y, source, source_length) to logits [B, T, V], or
    (images, y) to parameters of the pixels' distributions; see src.networks.decoder.decoder.
    optimizer, ema, lr_schedule: see OneLoss.
    conditional: the class is the start symbol.
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
    ) -> None:
        if (spec.kind, len(spec.shape)) != ("tokens", 1) and (spec.kind, spec.x.dtype) != ("image", "uint8"):
            raise ValueError(
                f"it models sequences of tokens and images, not {spec.kind} of shape {spec.shape}: take data=text data.path=..."
            )
        super().__init__(spec, seed, optimizer, ema, lr_schedule)
        self.set_network(network(spec=spec, conditional=conditional))

    def loss(self, batch: Batch) -> Tensor:
        """Nats of each sample divided by the mean number of symbols in the global batch, [B]: every symbol has one weight."""
        nats, symbols = self.nats(self.learner, batch)
        return nats / from_all_processes(symbols.to(nats.dtype)).mean().clamp(min=1)

    def nats(self, network: Decoder | PatchDecoder, batch: Batch) -> tuple[Tensor, Tensor]:
        """-log p(x) = -sum_t log p(x_t | x_<t) in nats and its number of terms, both [B]; terms after `length` do not count."""
        nats, counted = self.symbol_nats(network, batch)
        return nats.sum(1), counted.sum(1)

    def symbol_nats(self, network: Decoder | PatchDecoder, batch: Batch) -> tuple[Tensor, Tensor]:
        """The terms of `nats`, 0 where they do not count, and whether they count, both [B, T]."""
        x = batch["x"]
        given = {name: batch[name] for name in network.conditions}
        nats = network.nats(network(x, **given), x)  # [B, T]
        length = batch.get("length", torch.full_like(nats[:, 0], nats.shape[1], dtype=torch.int64))  # [B]
        counted = torch.arange(nats.shape[1], device=x.device) < length[:, None]  # [B, T]
        return torch.where(counted, nats, 0.0), counted

    # Capabilities

    @torch.no_grad()
    def nll(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See Likelihood; exact."""
        with evaluating(self.network(weights)) as network:
            return self.nats(network, batch)

    @torch.no_grad()
    def nll_by_symbol(self, batch: Batch, weights: str = "ema") -> tuple[Tensor, Tensor]:
        """See SymbolLikelihood; exact."""
        with evaluating(self.network(weights)) as network:
            return self.symbol_nats(network, batch)

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


def uniforms(seeds: Sequence[int], length: int) -> Tensor:
    """Numbers from U(0, 1), float64 [N, T], where row i depends on `seeds[i]` alone."""
    random = torch.Generator()
    keyed = (random.manual_seed(rng.key(seed, "symbols")) for seed in seeds)
    rows = [torch.rand(length, dtype=torch.float64, generator=generator) for generator in keyed]
    return torch.stack(rows) if rows else torch.empty(0, length, dtype=torch.float64)


def probabilities(logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """softmax(logits / temperature), [B, V] in float64, optionally without the less probable symbols.

    top_k: only the k most probable symbols (Fan et al. 2018, arXiv:1805.04833). top_p: of these, only the fewest that together
    have a probability of at least p (Holtzman et al. 2020, arXiv:1904.09751, eq. 2). What remains is scaled to a sum of 1.
    """
    logits = logits.double() / temperature
    if top_k is not None and top_k < logits.shape[1]:
        least = logits.topk(top_k, dim=1).values[:, -1:]  # [B, 1]
        logits = logits.masked_fill(logits < least, -torch.inf)
    p = logits.softmax(dim=1)
    if top_p is not None:
        ordered, order = p.sort(dim=1, descending=True, stable=True)
        kept = ordered.cumsum(dim=1) - ordered < top_p  # before this symbol the sum falls short of p
        p = p * torch.zeros_like(kept).scatter(1, order, kept)
    return p / p.sum(dim=1, keepdim=True)


def draw(p: Tensor, u: Tensor) -> Tensor:
    """Symbols [B] with probabilities p [B, V] by their inverse distribution function at u [B] from U(0, 1)."""
    cumulative = p.cumsum(dim=1)
    # The last cumulative value is 1 only up to rounding. u times it is always below it, because u is below 1.
    return torch.searchsorted(cumulative, u[:, None] * cumulative[:, -1:], right=True).squeeze(1)


def check_settings(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise UserError for settings of `probabilities` that leave nothing to draw."""
    if not temperature > 0:
        raise UserError(f"temperature={temperature}: must be above 0; top_k=1 takes the most probable symbol")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k={top_k}: must be 1 or more, or null for all symbols")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p={top_p}: must be above 0 and at most 1, or null for all symbols")
