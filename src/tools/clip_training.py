"""Train the encoder of clips whose features the distances of video use; the command is src/tools/encoder.py.

It learns on Moving MNIST where the digits are and which they are, in each frame by itself; and of whole clips how their digits
move, which they are, and what is wrong with spoiled ones.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from src.data.moving_mnist import DIGIT, ROOM, SPEEDS, Clips, draw
from src.data.pixels import from_uint8
from src.evaluation.extractors.clips import ClipFeatures
from src.networks.clip_encoder import CELL, CLASSES, KINDS, SIDE, ClipEncoder
from src.training import rng

REAL, FROZEN, SHUFFLED, WANDERING, CHANGING, LEAVING = range(KINDS)
UNSPOILED = 0.4  # share of a batch
SOFT = 0.3  # share of clips that are blurred and dimmed: those of models may be
OF_MOTION = REAL, FROZEN, WANDERING, CHANGING  # kinds whose motion is asked for


class Answers(NamedTuple):
    """What is asked for of N clips of T frames.

    kinds: [N]. places: [N, T, 2, 2], as in Truth. classes: [N, T, 2].
    """

    kinds: Tensor
    places: Tensor
    classes: Tensor


def examples(clips: Clips, indices: np.ndarray, random: np.random.Generator) -> tuple[Tensor, Answers]:
    """Clips of these indices, most of them spoiled, uint8 [N, T, 64, 64], and the answers."""
    truth, count, frames = clips.truth(indices), len(indices), clips.frames
    odds = np.full(KINDS, (1 - UNSPOILED) / (KINDS - 1))
    odds[REAL] = UNSPOILED
    kinds = random.choice(KINDS, count, p=odds)
    places, rows = truth.places.copy(), np.broadcast_to(truth.rows[:, None], (count, frames, 2)).copy()
    steps = np.linalg.norm(truth.velocities, axis=3, keepdims=True)
    for number, kind in enumerate(kinds):
        if kind == FROZEN:
            places[number] = places[number, random.integers(frames)]
        elif kind == SHUFFLED:
            places[number] = places[number, random.permutation(frames)]
        elif kind == WANDERING:  # a new direction in each frame
            angle = random.uniform(0, 2 * np.pi, (frames, 2))
            walk = steps[number] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
            places[number] = np.clip(places[number, 0] + walk.cumsum(axis=0), 0, ROOM)
        elif kind == CHANGING:  # other digits from some frame on
            rows[number, random.integers(4, frames - 3) :] = random.integers(len(clips.images), size=2)
        elif kind == LEAVING:  # through a wall, and back in through the other
            line = places[number, 0] + np.arange(frames)[:, None, None] * truth.velocities[number, 0]
            places[number] = np.mod(line, ROOM)
    flat = draw(clips.images[rows.reshape(-1, 2)], places.reshape(-1, 1, 2, 2))  # [N T, 1, 64, 64]
    classes = torch.from_numpy(clips.labels[rows])
    answers = Answers(torch.from_numpy(kinds), torch.from_numpy(places).float(), classes)
    return torch.from_numpy(flat.reshape(count, frames, SIDE, SIDE)), answers


def train_clip_encoder(clips: Clips, seed: int = 0, steps: int = 800, batch_size: int = 16) -> ClipEncoder:
    """An encoder in evaluation mode. Adam with cosine decay to zero. The same kind of machine with one thread gives bitwise
    equal weights.
    """
    with torch.random.fork_rng(devices=[]):
        rng.seed_layers(seed, 0)
        model = ClipEncoder()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        for step in range(steps):
            random = np.random.default_rng(rng.key(seed, "clips", step))
            x, answers = examples(clips, random.integers(len(clips), size=batch_size), random)
            soft = torch.from_numpy(random.random(batch_size) < SOFT)
            dimmed = torch.from_numpy(random.uniform(0.5, 1, batch_size)).float()
            loss = loss_of(model, softened(x, soft, dimmed), answers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if (step + 1) % 50 == 0:
                print(f"step {step + 1} of {steps}: loss {loss.item():.4f}", flush=True)
    return model.eval()


def softened(x: Tensor, soft: Tensor, dimmed: Tensor) -> Tensor:
    """Clips uint8 [N, T, 64, 64] to model input [N, T, 64, 64], some of them (`soft`, [N]) blurred and dimmed."""
    found = x.float()
    blurred = F.avg_pool2d(found[soft], 3, stride=1, padding=1)
    found[soft] = blurred * dimmed[soft, None, None, None]
    return from_uint8(found)


def loss_of(model: ClipEncoder, x: Tensor, answers: Answers) -> Tensor:
    """The sum of the losses of all questions, of clips [N, T, 64, 64] in [-1, 1]."""
    maps = model.maps(x.flatten(0, 1)[:, None])
    found, features = model.find(maps), model.features(maps.unflatten(0, x.shape[:2]))
    centres = (answers.places.flatten(0, 1) + DIGIT / 2) / CELL  # [N T, 2, 2], in cells
    cell = centres.floor().long()
    rows = torch.arange(len(cell))[:, None].expand(-1, 2)
    at = rows, slice(None), cell[..., 1], cell[..., 0]  # of each digit, [N T, 2, .]
    there = torch.zeros_like(found.presence)
    there[rows, 0, cell[..., 1], cell[..., 0]] = 1
    losses = [
        20 * F.binary_cross_entropy_with_logits(found.presence, there),
        5 * F.l1_loss(found.offset[at], centres - cell - 0.5),
        F.cross_entropy(found.classes[at].flatten(0, 1), answers.classes.flatten()),
        F.cross_entropy(model.kind(features), answers.kinds),
    ]
    known = torch.isin(answers.kinds, torch.tensor(OF_MOTION))
    losses.append(5 * F.l1_loss(model.motion(features)[known], motion(answers.places)[known]))
    present = F.one_hot(answers.classes.flatten(1), CLASSES).amax(dim=1).float()
    losses.append(2 * F.binary_cross_entropy_with_logits(model.digits(features), present))
    return torch.stack(losses).sum()


def motion(places: Tensor) -> Tensor:
    """What describes the motion of clips, [N, MOTION], in the highest speed: mean steps right, left, down and up, and the
    speeds of the slower and of the faster digit. places: [N, T, 2, 2].
    """
    steps = places.diff(dim=1) / SPEEDS[1]
    mean = [part.clamp(min=0).mean(dim=(1, 2)) for part in (steps, -steps)]  # [N, 2] each
    return torch.cat([*mean, steps.norm(dim=3).mean(dim=1).sort(dim=1).values], dim=1)


@torch.no_grad()
def share_told(features: ClipFeatures, clips: Clips, count: int = 500) -> tuple[float, float]:
    """Of unseen clips: share of frames in which both digits are found, and share of kinds that are told."""
    random = np.random.default_rng(0)
    x, answers = examples(clips, np.arange(count), random)
    told = features.encoder.kind(features(x[:, :, None])).argmax(dim=1) == answers.kinds
    both = (features.digits(x[:, :, None]).classes >= 0).all(axis=2)
    return float(both.mean()), float(told.float().mean())
