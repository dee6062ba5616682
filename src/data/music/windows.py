"""Pieces as arrays of symbols: whole ones with their ends, or windows of whole bars."""

from collections.abc import Sequence

import numpy as np

from src.data.music.notes import HOLD, Symbols, bar_steps
from src.data.music.pieces import Piece
from src.data.vocabulary import END, PAD


def whole(pieces: Sequence[Piece], symbols: Symbols, length: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 [N, length + 1, 1]: each piece of one voice, then END, then PAD; and its steps with that of END, int64 [N]."""
    x = np.full((len(pieces), length + 1, 1), symbols.names.index(PAD), np.int64)
    for row, piece in zip(x, pieces, strict=True):
        row[: piece.steps] = symbols.encode(piece.notes, piece.steps)
        row[piece.steps] = symbols.names.index(END)
    return x, np.array([piece.steps + 1 for piece in pieces], np.int64)


def windows(piece: Piece, symbols: Symbols, bars: int, voices: int, stride: int) -> np.ndarray:
    """int64 [N, bars * bar_steps(metre), voices]: one window at each `stride`-th bar line. Those without notes are left out.

    A note that began before the window begins again at its first step.
    """
    size = bar_steps(piece.metre)
    if piece.steps < bars * size:
        return np.empty((0, bars * size, voices), np.int64)
    encoded = symbols.encode(piece.notes, piece.steps, voices)  # [T, V]
    view = np.lib.stride_tricks.sliding_window_view(encoded, bars * size, axis=0)[:: stride * size]  # [N, V, T]
    found = view.transpose(0, 2, 1).copy()
    hold = symbols.names.index(HOLD)
    begun = np.where(encoded != hold, np.arange(len(encoded))[:, None], 0)
    last = np.take_along_axis(encoded, np.maximum.accumulate(begun, axis=0), axis=0)  # [T, V]: what goes on at each step
    found[:, 0] = last[: len(found) * stride * size : stride * size]
    return found[(symbols.pitches[found] >= 0).any(axis=(1, 2))]


def shifted(x: np.ndarray, symbols: Symbols, semitones: int) -> np.ndarray:
    """Symbols transposed by semitones; ValueError for pitches that the vocabulary lacks."""
    pitches = symbols.pitches[x] + semitones
    known = symbols.pitches[symbols.pitches >= 0]
    is_pitch = symbols.pitches[x] >= 0
    if is_pitch.any() and not known.min() <= pitches[is_pitch].min() <= pitches[is_pitch].max() <= known.max():
        raise ValueError(f"{semitones:+d} semitones lead out of the vocabulary")
    return np.where(is_pitch, x + semitones, x)
