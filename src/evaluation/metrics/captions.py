"""Whether pictures show what their captions say: R-precision, and hues. Functions of arrays."""

from collections.abc import Sequence

import numpy as np

from src.evaluation.metrics.retrieval import hits, places

# Where a hue begins and ends, in degrees. Brown, black, white and grey have no hue of their own.
HUES = {
    "red": (350, 20),
    "orange": (20, 43),
    "yellow": (43, 64),
    "green": (64, 165),
    "blue": (165, 250),
    "purple": (250, 310),
    "pink": (310, 350),
}


def r_precision(scores: np.ndarray, others: np.ndarray) -> float:
    """Share of pictures whose own caption is more similar than `others` captions (Xu et al. 2018, arXiv:1711.10485, section 4).

    scores: float [N, C] of picture n and caption c; caption n is that of picture n. others: int [N, K] captions for each
    picture. Of n equal scores, a right one counts 1 / n.
    """
    own = np.arange(len(others))[:, None]
    candidates = np.take_along_axis(scores, np.concatenate([own, others], axis=1), axis=1)  # [N, 1 + K]
    relevant = np.arange(candidates.shape[1])[None] == np.zeros_like(own)
    return float(hits(places(candidates, relevant), 1).mean())


def mean_hues(x: np.ndarray) -> np.ndarray:
    """The hue of the mean colour of pictures uint8 [N, 3, H, W], float [N] in degrees from 0 to 360.

    This is the mean of the pixels' hues, weighted by their chroma: white, black and grey do not count.
    """
    red, green, blue = x.reshape(*x.shape[:2], -1).mean(axis=2, dtype=np.float64).T
    return np.degrees(np.arctan2(np.sqrt(3) / 2 * (green - blue), red - (green + blue) / 2)) % 360


def named_hue(words: Sequence[str]) -> str | None:
    """The one word of HUES in a caption; None if there is none, or several."""
    found = {word for word in words if word in HUES}
    return found.pop() if len(found) == 1 else None


def has_hue(hues: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Whether hues in degrees [N] are within those of their N names, bool [N]."""
    first, last = np.array([HUES[name] for name in names]).T
    return (hues - first) % 360 < (last - first) % 360
