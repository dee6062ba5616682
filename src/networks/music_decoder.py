"""A decoder-only transformer for music of several voices: p(symbol of voice v at step t | all before it).

The voices of a step follow each other, the highest first, as in the interleaved chorales of Hadjeres et al. 2017, DeepBach
(arXiv:1612.01010, section 2.2) read from left to right.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from src.data.music.notes import HOLD
from src.data.spec import Spec
from src.networks.causal import Block, Cache, rotations
from src.networks.decoder import Decoder

PERIOD = 48  # steps: bars of 4/4 (16), of 3/4 and 6/8 (12) and of 2/4 (8) divide it
MELODY_DEPTH = 1  # blocks that read a melody
NO_MELODY = -1  # in place of the symbols of a melody


@dataclass
class MusicCache(Cache):
    """Also `sounding`, the symbol that holds in each voice, int64 [B, V]."""

    sounding: Tensor | None = None


class MusicDecoder(Decoder):
    """Symbols of V voices, interleaved, to the logits of each symbol, given the symbols before it: index t * V + v.

    The input at an index is the symbol before it, plus embeddings of the voice v, of the step t modulo PERIOD, which tells the
    place within a bar, and of the symbol that each voice holds, which attention would have to find behind many HOLD. No weight
    depends on the number of steps.

    Data with a field "melody" (voice 0, known from the beginning to the end): every symbol of step t also gets a vector of
    that step, from a transformer over the melody in which steps attend to all others; without a melody a learned one.

    Arguments: see Decoder.
    """

    def __init__(
        self,
        spec: Spec,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        conditional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(spec, width, depth, heads, conditional, dropout)
        self.voices = spec.shape[1]
        self.voice, self.time = (nn.Parameter(torch.randn(size, width) * width**-0.5) for size in (self.voices, PERIOD))
        self.hold = spec.x.names.index(HOLD)
        self.sounding = nn.Embedding(self.voices * self.vocabulary, width)
        nn.init.normal_(self.sounding.weight, std=width**-0.5)
        if melody := spec.fields.get("melody"):
            if melody.names != spec.x.names:
                raise ValueError("the symbols of melody are not those of x: take data in which they are the same")
            self.conditions = (*self.conditions, "melody")
            self.listening = nn.ModuleList(Block(width, heads, 2 * MELODY_DEPTH, dropout) for _ in range(MELODY_DEPTH))
            self.heard_norm = nn.LayerNorm(width)
            self.no_melody = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: Tensor, y: Tensor | None = None, melody: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Symbols [B, T * V] to logits [B, T * V, names].

        y [B] if conditional. melody: symbols of voice 0, [B, T], with NO_MELODY in all steps of samples without one; None for
        none at all.
        """
        read = torch.cat([self.start(len(tokens), y), tokens[:, :-1]], dim=1)  # [B, T * V]
        inputs = self.inputs(read, self.surroundings(len(tokens), tokens.shape[1], melody) + self.harmony(self.held(tokens)))
        rotation = rotations(torch.arange(tokens.shape[1], device=tokens.device), self.channels)
        return self.logits(self.contexts(inputs, rotation))

    @torch.no_grad()
    def cache(self, batch: int, length: int, melody: Tensor | None = None) -> Cache:  # type: ignore[override]
        """A cache for `length` = T * V symbols, which knows the melodies [B, T], see `forward`."""
        cache = MusicCache(**vars(self.empty_cache(batch, length)))
        cache.shift = self.surroundings(batch, length, melody)
        cache.sounding = torch.full((batch, self.voices), self.hold, device=self.voice.device)
        return cache

    @torch.no_grad()
    def step(self, token: Tensor, cache: Cache) -> Tensor:
        """The last symbol so far [B, 1], at first `start`, to the logits [B, names] of the next one; adds to the cache."""
        assert isinstance(cache, MusicCache)
        assert cache.shift is not None
        assert cache.sounding is not None
        place = cache.used
        if place:
            column = cache.sounding[:, (place - 1) % self.voices]
            column.copy_(torch.where(token[:, 0] == self.hold, column, token[:, 0]))
        shift = cache.shift[:, place : place + 1] + self.harmony(cache.sounding[:, None])
        rotation = rotations(torch.tensor([place], device=token.device), self.channels)
        return self.logits(self.step_on(self.inputs(token, shift), rotation, cache))

    def held(self, tokens: Tensor) -> Tensor:
        """The symbol that each voice holds before each symbol of [B, T * V], [B, T * V, V]; HOLD before the first one."""
        length, place = tokens.shape[1], torch.arange(tokens.shape[1], device=tokens.device)
        voice = torch.arange(self.voices, device=tokens.device)
        begins = (tokens != self.hold)[..., None] & (place[:, None] % self.voices == voice)  # [B, T * V, V]
        latest = torch.where(begins, place[:, None] + 1, 0).cummax(dim=1).values[:, :-1]
        latest = torch.cat([latest.new_zeros(len(tokens), min(1, length), self.voices), latest], dim=1)
        started = torch.cat([torch.full_like(tokens[:, :1], self.hold), tokens], dim=1)  # place p is at p + 1
        return started.gather(1, latest.flatten(1)).unflatten(1, latest.shape[1:])

    def harmony(self, held: Tensor) -> Tensor:
        """The sum of the embeddings of held symbols [B, L, V], each of its voice, [B, L, width]."""
        voice = torch.arange(self.voices, device=held.device) * self.vocabulary
        return self.sounding(held + voice).sum(2)

    def surroundings(self, batch: int, length: int, melody: Tensor | None) -> Tensor:
        """What is added to the inputs, [B, T * V, width] or [1, T * V, width]: voice, step, melody."""
        place = torch.arange(length, device=self.voice.device)
        added = (self.voice[place % self.voices] + self.time[place // self.voices % PERIOD])[None]
        if "melody" not in self.conditions:
            return added
        return added + self.heard(melody, batch, -(-length // self.voices)).repeat_interleave(self.voices, dim=1)[:, :length]

    def heard(self, melody: Tensor | None, batch: int, steps: int) -> Tensor:
        """The vector of each step of melodies [B, T], [B, T, width]."""
        none = self.no_melody.expand(batch, steps, -1)
        if melody is None:
            return none
        step = torch.arange(steps, device=melody.device)
        x, rotation = self.embedding(melody.clamp(min=0)) + self.time[step % PERIOD], rotations(step, self.channels)
        everywhere = torch.ones(1, 1, 1, steps, dtype=torch.bool, device=melody.device)
        for block in self.listening:
            x = block(x, rotation, mask=everywhere)
        return torch.where((melody == NO_MELODY)[:, :, None], none, self.heard_norm(x))
