"""Music without parallel fifths and octaves: a mask on the symbols of models that draw voice by voice."""

import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.music.notes import HOLD, Symbols
from src.data.spec import Spec

PERFECT = (0, 7)  # semitones modulo 12: unisons and octaves, fifths


class NoParallels:
    """No two voices move in the same direction from one perfect interval to the same one, octaves disregarded.

    These are the parallels that `src.evaluation.metrics.music.voice_leading` counts. A voice is asked when those above it have
    moved; to hold its note is always allowed. spec: of data with several voices.
    """

    name = "parallels=false"

    def __init__(self, spec: Spec) -> None:
        self.voices = spec.shape[1]
        if self.voices < 2:
            raise UserError(f"{self.name}: this model's music has one voice and no parallels: leave parallels= out")
        self.hold = spec.x.names.index(HOLD)
        self.pitches = torch.from_numpy(Symbols(spec.x.names).pitches)  # [number of symbols], -1 for no pitch

    def allowed(self, prefix: Tensor) -> Tensor:
        """See `src.models.constraints.Constraint`; the prefix [B, t] has the voices of each step one after another."""
        step, voice = divmod(prefix.shape[1], self.voices)
        found = torch.ones(len(prefix), len(self.pitches), dtype=torch.bool)
        if not step or not voice:
            return found
        before = self.sounding(prefix[:, : step * self.voices])  # [B, V]
        own, wanted = before[:, voice, None], self.pitches[None]  # [B, 1], [1, number of symbols]
        own_move = torch.sign(wanted - own)
        for other in range(voice):
            symbol, old = prefix[:, step * self.voices + other, None], before[:, other, None]
            new = torch.where(symbol == self.hold, old, self.pitches[symbol])  # [B, 1]
            move = torch.sign(new - old)
            sound = (old >= 0) & (new >= 0) & (own >= 0) & (wanted >= 0)
            intervals = (old - own).abs() % 12, (new - wanted).abs() % 12
            perfect = torch.isin(intervals[0], torch.tensor(PERFECT)) & (intervals[0] == intervals[1])
            found &= ~(sound & perfect & (move != 0) & (move == own_move))
        return found

    def sounding(self, prefix: Tensor) -> Tensor:
        """The pitch that each voice sounds after whole steps [B, T * V], [B, V]; -1 for silence."""
        x = prefix.unflatten(1, (-1, self.voices))  # [B, T, V]
        steps = torch.arange(x.shape[1])[None, :, None]
        begun = torch.where(x != self.hold, steps, -1).amax(dim=1)  # [B, V]
        symbol = x.gather(1, begun.clamp(min=0)[:, None])[:, 0]
        return torch.where(begun >= 0, self.pitches[symbol], -1)
