"""How evenly pieces go from one to another, by Hamming distance as in Roberts et al. 2018 (arXiv:1803.05428, section 5.3)."""

import numpy as np


def distances(paths: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The share of the symbols that differ from one end, [R, S], of paths of S pieces [R, S, T, V] and their ends [R, T, V]."""
    return (paths != ends[:, None]).mean(axis=(2, 3))


def monotone(paths: np.ndarray, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Of paths [R, S, T, V] from pieces a to pieces b, both [R, T, V]; S >= 2.

    A step is monotone if the distance to a does not fall and that to b does not rise. `monotone`: share of the paths all of
    whose steps are. `monotone_steps`: share of the steps that are. `changing_steps`: share of the steps to another piece; where
    it is low, a path stays and jumps, and is monotone for that.
    """
    good = (np.diff(distances(paths, a), axis=1) >= 0) & (np.diff(distances(paths, b), axis=1) <= 0)  # [R, S - 1]
    changing = (paths[:, 1:] != paths[:, :-1]).any(axis=(2, 3))
    return {
        "monotone": float(good.all(axis=1).mean()),
        "monotone_steps": float(good.mean()),
        "changing_steps": float(changing.mean()),
    }


def crossfade(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """Pieces [R, steps, T, V] that begin as b [R, T, V] does, and go on as a: at first all of a, at last all of b."""
    length = a.shape[1]
    cut = np.linspace(0, length, steps).round().astype(int)  # [S]
    of_b = np.arange(length) < cut[:, None]  # [S, T]
    return np.where(of_b[None, :, :, None], b[:, None], a[:, None])


def shuffled(paths: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Paths [R, S, T, V] whose inner pieces are in random order."""
    found = paths.copy()
    for path in found:
        path[1:-1] = path[1:-1][random.permutation(len(path) - 2)]
    return found
