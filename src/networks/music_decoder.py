"""A decoder-only transformer for music of several voices: p(symbol of voice v at step t | all before it).

The voices of a step follow each other, the highest first, as in the interleaved chorales of Hadjeres et al. 2017, DeepBach
(arXiv:1612.01010, section 2.2) read from left to right.
"""

import torch
from torch import Tensor, nn

from src.data.spec import Spec
from src.networks.causal import Block, Cache, rotations
from src.networks.decoder import Decoder

PERIOD = 48  # steps: bars of 4/4 (16), of 3/4 and 6/8 (12) and of 2/4 (8) divide it
MELODY_DEPTH = 1  # blocks that read a melody
NO_MELODY = -1  # in place of the symbols of a melody


class MusicDecoder(Decoder):
    """Symbols of V voices, interleaved, to the logits of each symbol, given the symbols before it: index t * V + v.

    The input at an index is the symbol before it, plus embeddings of the voice v and of the step t modulo PERIOD, which tells
    the place within a bar. No weight depends on the number of steps.

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
        inputs = self.inputs(read, self.surroundings(len(tokens), tokens.shape[1], melody))
        rotation = rotations(torch.arange(tokens.shape[1], device=tokens.device), self.channels)
        return self.logits(self.contexts(inputs, rotation))

    @torch.no_grad()
    def cache(self, batch: int, length: int, melody: Tensor | None = None) -> Cache:  # type: ignore[override]
        """A cache for `length` = T * V symbols, which knows the melodies [B, T], see `forward`."""
        cache = self.empty_cache(batch, length)
        cache.shift = self.surroundings(batch, length, melody)
        return cache

    @torch.no_grad()
    def step(self, token: Tensor, cache: Cache) -> Tensor:
        """The last symbol so far [B, 1], at first `start`, to the logits [B, names] of the next one; adds to the cache."""
        assert cache.shift is not None
        place = cache.used
        rotation = rotations(torch.tensor([place], device=token.device), self.channels)
        return self.logits(self.step_on(self.inputs(token, cache.shift[:, place : place + 1]), rotation, cache))

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
