"""Models that draw samples symbol by symbol: text, music, pixels."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from src.config.errors import UserError
from src.data.spec import Batch
from src.data.vocabulary import END
from src.models.conditions import conditions_of
from src.models.constraints import Constraint, Endings, check_prompt, combined
from src.models.model import OneLoss, evaluating
from src.networks.decoder import Decoder
from src.networks.music_decoder import NO_MELODY
from src.networks.patch_decoder import PatchDecoder
from src.training import rng

SAMPLE_BATCH = 64  # sampling always runs batches of this size: the last bits of a matrix product depend on its shape


class SymbolModel(OneLoss):
    """Draws samples symbol by symbol from `decoder_of(weights)`, of which `conditions` names the arguments besides symbols.

    Symbols of several voices [T, V] are drawn and predicted step by step, the highest voice first: [T * V].
    """

    def decoder_of(self, weights: str = "ema") -> Decoder | PatchDecoder:
        """The network that predicts symbols: `network`, or a part of it in a subclass."""
        return self.network(weights)  # type: ignore[return-value]

    def conditions(self, seeds: Sequence[int]) -> Batch:
        """See `conditions_of`; sources are empty texts, and melodies none."""
        found = conditions_of(seeds, self.decoder_of("raw").classes)
        if "source" in self.decoder_of("raw").conditions:
            names = self.spec.x.names
            length = torch.full((len(seeds),), int(END in names))
            found |= {"source": length[:, None] * (names.index(END) if END in names else 0), "source_length": length}
        if "melody" in self.decoder_of("raw").conditions:
            found["melody"] = torch.full((len(seeds), self.spec.shape[0]), NO_MELODY)
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
        """See Samples: int64 [N, T] or, of several voices, [N, T, V], or images [N, C, H, W].

        cond: "y" [N], "source" [N, S] and "source_length" [N], "melody" [N, T], which is then voice 0; what is missing has its
        default. temperature, top_k, top_p: see `probabilities`. constraints: on the symbols; the end and padding of text follow
        from the vocabulary.
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
        """See Continues: int64 [N, *shape], of tokens. Symbol t is drawn with the t-th number of its seed for any prompt [P].

        prompt: [P] or, of several voices, [P, V]. cond, temperature ...: see `sample`.
        """
        if self.spec.kind == "image":
            raise UserError("an image has no prompt of symbols: ask for samples")
        if prompt.shape[1:] != self.spec.shape[1:]:
            raise UserError(
                f"the prompt is {list(prompt.shape)} and samples are {list(self.spec.shape)}: give it the same voices"
            )
        check_prompt(prompt, self.spec, constraints)
        symbols = self.draw_symbols(prompt.flatten(), seeds, cond, weights, temperature, top_k, top_p, constraints)
        return self.finish(symbols)

    def finish(self, symbols: Tensor, drawn: int | None = None) -> Tensor:
        """Symbols [N, T] in the shape of the data, or as images [N, C, H, W]: all but the first `drawn` pixels are grey."""
        network = self.decoder_of("raw")
        if not isinstance(network, PatchDecoder):
            return symbols.unflatten(1, self.spec.shape)
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
        """Symbols int64 [N, T] on the CPU that begin with the prompt [P], one row per seed; of voices [N, T * V]."""
        check_settings(temperature, top_k, top_p)
        network = self.decoder_of(weights)
        cond = self.full_conditions(seeds, cond)
        uniform = uniforms(seeds, math.prod(self.spec.shape))  # [N, T]
        known = self.known_symbols(prompt, cond, len(seeds))
        choose = partial(probabilities, temperature=temperature, top_k=top_k, top_p=top_p)
        samples = []
        with evaluating(network):
            for start in range(0, len(uniform), SAMPLE_BATCH):
                rows = slice(start, start + SAMPLE_BATCH)
                given = {name: part[rows] for name, part in cond.items()}
                samples.append(self.draw_batch(network, known[rows], uniform[rows], given, choose, constraints))
        return torch.cat(samples) if samples else torch.empty(uniform.shape, dtype=torch.int64)

    def known_symbols(self, prompt: Tensor, cond: Batch, samples: int) -> Tensor:
        """The symbols that are not drawn, of the prompt [P] and of melodies (voice 0), int64 [N, T]; -1 for the others."""
        known = torch.full((samples, math.prod(self.spec.shape)), -1)
        if "melody" in cond:
            known[:, :: self.spec.shape[1]] = cond["melody"]
            begun = known[:, : len(prompt)]
            if ((begun >= 0) & (begun != prompt)).any():
                raise UserError("the prompt and the melody differ: give one of them, or a prompt that has the melody")
        known[:, : len(prompt)] = prompt
        return known

    def draw_batch(
        self,
        network: Decoder | PatchDecoder,
        known: Tensor,
        uniform: Tensor,
        cond: Batch,
        choose: Callable[[Tensor], Tensor],
        constraints: Sequence[Constraint],
    ) -> Tensor:
        """Symbols int64 [N, T] for N <= SAMPLE_BATCH rows of known symbols and of numbers from U(0, 1), both [N, T].

        choose: logits to probabilities.
        """
        size, length = uniform.shape
        endings = Endings(self.spec) if self.spec.x.names else None
        device = next(network.parameters()).device
        cond = {
            name: F.pad(part, (0,) * (2 * part.ndim - 1) + (SAMPLE_BATCH - size,)).to(device) for name, part in cond.items()
        }
        u = F.pad(uniform, (0, 0, 0, SAMPLE_BATCH - size))
        known = torch.cat([known, known[:1].expand(SAMPLE_BATCH - size, -1)])
        x = torch.full(u.shape, endings.pad if endings and endings.pad is not None else 0)  # [B, T]
        symbol = network.start(SAMPLE_BATCH, cond.pop("y", None))
        cache = network.cache(SAMPLE_BATCH, length, **cond)
        for t in range(length):
            logits = network.step(symbol, cache).cpu()  # type: ignore[arg-type]  # [B, V]
            x[:, t] = known[:, t]
            if (known[:, t] < 0).any():
                if endings:
                    logits = logits.masked_fill(~combined(constraints, endings, x[:, :t]), -torch.inf)
                x[:, t] = torch.where(known[:, t] < 0, draw(choose(logits), u[:, t]), known[:, t])
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
        if "melody" in cond:
            self.check_melody(cond["melody"])
        return cond

    def check_melody(self, melody: Tensor) -> None:
        """Raise UserError unless melodies [N, T] are as long as samples and of their symbols."""
        steps, symbols = self.spec.shape[0], len(self.spec.x.names)
        if melody.ndim != 2 or melody.shape[1] != steps:
            raise UserError(
                f"the melody is {list(melody.shape[1:])} and samples have {steps} steps: cut it, or fill it with rests"
            )
        if len(melody) and not NO_MELODY <= int(melody.min()) <= int(melody.max()) < symbols:
            raise UserError(f"the melody has symbols outside 0 .. {symbols - 1}: encode it with the symbols of the data")


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
