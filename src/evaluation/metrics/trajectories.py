"""How digits move in clips of Moving MNIST: whether each keeps its identity, its speed and its direction, and bounces.

From the places of the digits that were found in each frame; nothing else of a clip is looked at.
"""

from typing import NamedTuple

import numpy as np

from src.data.moving_mnist import ROOM, SPEEDS, bounced

FAR = ROOM / 2  # pixels: no error of a frame is larger, and it is that of a digit which is not there
FOUND = 0.5  # share of the frames in which a digit must be found
STARTS = np.arange(0, ROOM + 1.0)  # pixels: places in the first frame that are tried
STEP = 0.125  # pixels per frame: between velocities that are tried
OUTSIDE = 1.0  # pixels beyond a wall, where a digit would be in the next frame: it must bounce
EVEN = 1.0  # pixels
NEAR = 2.0  # pixels between a digit and its mirrored path, with which it has bounced
PORTION = 250  # tracks at a time


class Tracks(NamedTuple):
    """N clips of two digits each, followed through T frames; where a digit is not found, places are NaN and classes -1.

    places: [N, 2, T, 2] (x, y) in pixels, of the upper left corner. classes: [N, 2, T].
    """

    places: np.ndarray
    classes: np.ndarray


def follow(places: np.ndarray, classes: np.ndarray) -> Tracks:
    """Finds in each frame, [N, T, 2, 2] and [N, T, 2], in any order and NaN and -1 where there is none, to tracks.

    Each frame's finds go to the two digits so that the sum of the distances from where each would be by its last velocity, with
    bounces, is smallest.
    """
    count, frames = places.shape[:2]
    tracks = Tracks(np.full((count, 2, frames, 2), np.nan), np.full((count, 2, frames), -1))
    last, velocity = np.full((count, 2, 2), np.nan), np.zeros((count, 2, 2))
    gap, rows = np.ones((count, 2, 1)), np.arange(count)[:, None]
    for t in range(frames):
        found = places[:, t]
        expected = bounced(last + velocity * gap)[0]
        cost = np.nan_to_num(np.linalg.norm(expected[:, :, None] - found[:, None], axis=3))  # [N, track, find]
        crossed = cost[:, 0, 1] + cost[:, 1, 0] < cost[:, 0, 0] + cost[:, 1, 1]
        chosen = np.where(crossed[:, None], [1, 0], [0, 1])
        now = found[rows, chosen]
        tracks.places[:, :, t], tracks.classes[:, :, t] = now, classes[:, t][rows, chosen]
        seen = ~np.isnan(now[..., :1])
        step = (now - last) / gap
        speed = np.linalg.norm(step, axis=2, keepdims=True)
        step *= np.minimum(1, SPEEDS[1] / np.maximum(speed, 1e-9))
        velocity = np.where(seen & ~np.isnan(step), step, velocity)
        last, gap = np.where(seen, now, last), np.where(seen, 1, gap + 1)
    return tracks


def trajectory_metrics(tracks: Tracks) -> dict[str, float]:
    """All metrics of tracks, by the keys of a record.

    digits: share of the frames in which both digits are found. trajectory: pixels from a digit to the nearest path that digits
    of the data could take (`nearest_path`), mean over the frames in which it is found; at most FAR in a frame, and FAR for a
    digit that is found in fewer than half of them. identity: share of the frames with the digit's most frequent class, 0 for a
    digit that is found in fewer than half of them. bounces: see `bounce_share`. speed: pixels per frame, mean over neighbouring
    frames in which a digit is found.
    """
    found = tracks.classes >= 0  # [N, 2, T]
    enough = found.mean(axis=2) >= FOUND
    error = np.full(enough.shape, FAR)
    if enough.any():
        error[enough] = path_error(tracks.places[enough])
    counts = (tracks.classes[..., None] == np.arange(tracks.classes.max() + 1)).sum(axis=2)  # [N, 2, classes]
    most = counts.max(axis=2, initial=0) / np.maximum(found.sum(axis=2), 1)
    steps = np.linalg.norm(np.diff(tracks.places, axis=2), axis=3)
    return {
        "trajectory": float(error.mean()),
        "identity": float(np.where(enough, most, 0).mean()),
        "bounces": bounce_share(tracks.places),
        "digits": float(found.all(axis=1).mean()),
        "speed": float(steps[~np.isnan(steps)].mean()) if (~np.isnan(steps)).any() else 0.0,
    }


def path_error(places: np.ndarray) -> np.ndarray:
    """Mean distance, at most FAR in a frame, of each track [M, T, 2] from its nearest path, [M]; NaN is left out."""
    distance = np.minimum(np.linalg.norm(places - nearest_path(places), axis=2), FAR)  # NaN stays
    return np.nanmean(distance, axis=1)


def nearest_path(places: np.ndarray) -> np.ndarray:
    """For each track [M, T, 2], the path that a digit of the data could take with the least mean squared distance, [M, T, 2].

    Such a path has a constant speed within SPEEDS, a constant direction, and mirrors at the walls. Both axes are independent
    but for the speed: for each axis all STARTS and velocities are tried, then all pairs of velocities whose speed is allowed.
    """
    frames = places.shape[1]
    velocities = np.arange(-SPEEDS[1], SPEEDS[1] + STEP, STEP)
    lines = STARTS[:, None, None] + velocities[None, :, None] * np.arange(frames)  # [S, V, T]
    paths = bounced(lines)[0].reshape(-1, frames)  # [S V, T]
    speeds = np.linalg.norm(np.stack(np.meshgrid(velocities, velocities, indexing="ij")), axis=0)
    refused = np.where((speeds < SPEEDS[0]) | (speeds > SPEEDS[1]), np.inf, 0)
    found = np.empty(places.shape)
    for start in range(0, len(places), PORTION):
        part = places[start : start + PORTION]
        least, chosen = [], []
        for axis in range(2):
            known = ~np.isnan(part[..., axis])
            x = np.where(known, part[..., axis], 0)
            squares = (x**2).sum(axis=1)[:, None] - 2 * x @ paths.T + known.astype(float) @ (paths**2).T  # [M, S V]
            squares = squares.reshape(len(part), len(STARTS), len(velocities))
            chosen.append(squares.argmin(axis=1))  # [M, V]
            least.append(squares.min(axis=1))
        total = least[0][:, :, None] + least[1][:, None, :] + refused
        pair = np.unravel_index(total.reshape(len(part), -1).argmin(axis=1), refused.shape)
        for axis in range(2):
            begin = chosen[axis][np.arange(len(part)), pair[axis]]
            found[start : start + PORTION, :, axis] = paths[begin * len(velocities) + pair[axis]]
    return found


def bounce_share(places: np.ndarray) -> float:
    """Of digits that move evenly and would be more than OUTSIDE pixels beyond a wall in the next frame, the share that is then
    within NEAR pixels of the mirrored path; 0 if there is none. Each axis by itself.

    A digit moves evenly if its last two steps differ by at most EVEN pixels: after a bounce within a step they do not.
    places: [N, 2, T, 2], NaN where a digit is not found.
    """
    steps = np.diff(places, axis=2)
    step, then = steps[:, :, 1:-1], places[:, :, 3:]
    ahead = places[:, :, 2:-1] + step
    even = np.abs(step - steps[:, :, :-2]) <= EVEN
    contact = even & ((ahead < -OUTSIDE) | (ahead > ROOM + OUTSIDE)) & ~np.isnan(then)
    kept = np.abs(then - bounced(ahead)[0]) <= NEAR
    return float(kept[contact].mean()) if contact.any() else 0.0
