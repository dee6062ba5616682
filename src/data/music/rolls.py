"""Piano rolls: pieces as binary pictures of notes that sound and notes that begin, for networks that draw pictures."""

from typing import Any

import numpy as np

from src.config.errors import UserError
from src.data.dataset import Arrays, read_all
from src.data.music.notes import HOLD, REST, Symbols, sounding
from src.data.spec import Field, Spec

ON = 255  # of uint8 with two levels


def symbols_to_roll(symbols: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Pieces [..., T, V] to rolls uint8 [..., 2 V, T, P], 0 or ON.

    Channel 2 v says where voice v sounds, channel 2 v + 1 where one of its notes begins. P: the pitches of `names`, from the
    lowest to the highest. PAD and END are silence.
    """
    *many, steps, voices = symbols.shape
    scale = Symbols(names).pitches
    lowest, size = int(scale[scale >= 0].min()), int((scale >= 0).sum())
    flat = symbols.reshape(-1, steps, voices)  # [N, T, V]
    side_by_side = flat.transpose(1, 0, 2).reshape(steps, -1)  # [T, N V]
    heard = sounding(side_by_side, names).reshape(steps, len(flat), voices).transpose(1, 2, 0)  # [N, V, T]
    begun = scale[flat].transpose(0, 2, 1)
    roll = np.stack([heard, begun], axis=2)[..., None] == np.arange(lowest, lowest + size)  # [N, V, 2, T, P]
    return (roll * np.uint8(ON)).reshape(*many, 2 * voices, steps, size)


def roll_to_symbols(roll: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Rolls [..., 2 V, T, P] of any numbers to pieces int64 [..., T, V]: the inverse of `symbols_to_roll`.

    A value above the middle of 0 and ON is on, or above 0 where the roll has floats. Where a voice sounds with several pitches,
    the strongest one counts. A note begins where the roll says so, where the pitch changes and after silence. Silence begins
    with REST.
    """
    *many, channels, steps, size = roll.shape
    scale = Symbols(names).pitches
    numbers = np.flatnonzero(scale >= 0)[np.argsort(scale[scale >= 0])]  # symbol of each pitch, lowest first
    assert size == len(numbers), f"a roll of {size} pitches, but {len(numbers)} names"
    middle = 0 if np.issubdtype(roll.dtype, np.floating) else ON // 2
    voices = roll.reshape(-1, channels // 2, 2, steps, size)
    heard, begins = voices[:, :, 0], voices[:, :, 1]  # [N, V, T, P]
    strongest = heard.argmax(-1)  # [N, V, T]
    sounds = np.take_along_axis(heard, strongest[..., None], -1)[..., 0] > middle
    begun = np.take_along_axis(begins, strongest[..., None], -1)[..., 0] > middle
    pitch = np.where(sounds, strongest, -1)
    changed = np.ones(pitch.shape, bool)
    changed[..., 1:] = pitch[..., 1:] != pitch[..., :-1]
    symbols = np.where(sounds, numbers[strongest], names.index(REST))
    symbols = np.where(changed | (sounds & begun), symbols, names.index(HOLD))
    return symbols.transpose(0, 2, 1).reshape(*many, steps, channels // 2).astype(np.int64)


class Rolls:
    """Music of fixed length as piano rolls: `x` is uint8 [N, 2 V, T, P], see `symbols_to_roll`; `y` as in the music.

    music: a data set whose `x` is int64 [N, T, V] without PAD and END, such as Folk with bars.
    """

    def __init__(self, music: Any, name: str = "rolls") -> None:
        if getattr(music, "bars", None) == 0:
            raise UserError("data.bars=0: piano rolls have one length: choose data.bars=2 or another number of bars")
        self.music, self.name = music, name

    @property
    def spec(self) -> Spec:
        """Read from the music."""
        fields = self.music.spec.fields
        x = fields["x"]
        steps, voices = x.shape
        pitches = tuple(name for name in x.names if name not in (HOLD, REST))
        roll = Field("roll", (2 * voices, steps, len(pitches)), "uint8", names=pitches, rate=x.rate, levels=2)
        return Spec({"x": roll} | {name: field for name, field in fields.items() if name == "y"})

    def prepare(self) -> None:
        """Get or read the music; raises UserError with the remedy."""
        self.music.prepare()

    def hashes(self) -> dict[str, str]:
        """Those of the music."""
        return self.music.hashes()

    def notes(self) -> dict[str, int]:
        """The counts of the music."""
        return self.music.notes()

    def split(self, name: str) -> Arrays:
        """ "train", "validation" or "test"."""
        music = self.music.split(name)
        y = read_all(music, "y") if "y" in self.spec.fields else None
        return Arrays(x=symbols_to_roll(read_all(music, "x"), self.music.spec.x.names), y=y)
