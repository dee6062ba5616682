"""Whether pictures show what their captions say: R-precision, and hues. Functions of arrays."""

from collections.abc import Sequence

import numpy as np

from src.evaluation.metrics.retrieval import hits, places

# Degrees of hue, those of OpenMoji's palette to about 10; brown, black, white and grey have no hue of their own.
HUES = {"red": 5, "orange": 30, "yellow": 55, "green": 100, "blue": 205, "purple": 272, "pink": 342}


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


def has_hue(hues: np.ndarray, names: Sequence[str], among: Sequence[str] = tuple(HUES)) -> np.ndarray:
    """Whether the nearest hue of `among` is the named one, bool [N], of hues in degrees [N] and N names."""
    distance = np.abs((hues[:, None] - np.array([HUES[name] for name in among]) + 180) % 360 - 180)  # [N, A]
    return distance.argmin(axis=1) == np.array([list(among).index(name) for name in names])
