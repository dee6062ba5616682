"""The measurement of video and of its controls: what does not depend on the model is computed once, and cached.

Everything is measured on arrays of frames, never on encoded files.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.data.dataset import Dataset
from src.data.moving_mnist import MovingMNIST
from src.evaluation.cache import cached, cached_controls, digest
from src.evaluation.extractors.clips import ClipFeatures
from src.evaluation.extractors.extractor import Extractor
from src.evaluation.metrics.distances import frechet_distance, spread, statistics
from src.evaluation.metrics.neighbours import closeness, copies, radii
from src.evaluation.metrics.trajectories import follow, trajectory_metrics
from src.evaluation.scoring import subset
from src.evaluation.video_columns import FD, FD_FRAME

REVISION = 1  # increase it when a metric or a control changes its meaning: older caches are then not used
TRAINING_CLIPS = 2000  # at most: the reference of the distances


class Reference:
    """Real clips, and what is measured with them: metrics of samples, and the controls.

    extractor: of single frames. split: of the unseen clips. samples: of the model; fewer if the split has fewer.
    """

    def __init__(self, dataset: Dataset, extractor: Extractor, split: str, samples: int, cache: Path) -> None:
        self.dataset, self.extractor, self.split, self.cache = dataset, extractor, split, cache
        self.features = ClipFeatures()
        self.rows = subset(len(dataset.split(split)), samples, 0, "unseen")
        self.samples = len(self.rows)

    @cached_property
    def train(self) -> np.ndarray:
        """Training clips uint8 [M, T, C, H, W]."""
        split = self.dataset.split("train")
        return split.batch(subset(len(split), TRAINING_CLIPS, 0, "training clips"))["x"]

    @cached_property
    def unseen(self) -> np.ndarray:
        return self.dataset.split(self.split).batch(self.rows)["x"]

    @cached_property
    def described(self) -> dict[str, Any]:
        """All that the numbers depend on but the model, in plain JSON: the protocol of a record."""
        return {
            "suite": "video",
            "revision": REVISION,
            "data": self.dataset.name,
            "hashes": self.dataset.hashes(),
            "split": self.split,
            "clips_sha256": {"train": digest(self.train), self.split: digest(self.unseen)},
            "samples": self.samples,
            "training_clips": len(self.train),
            "frames": "one of each clip, all places in turn",
            "rate": self.dataset.spec.x.rate,
            "features": f"{self.features.name} (SHA-256 {self.features.weights_sha256})",
            "extractor": f"{self.extractor.name} (SHA-256 {self.extractor.weights_sha256})",
        }

    @cached_property
    def training(self) -> dict[str, Tensor]:
        """Features of training clips and of their frames, from the cache if they are there."""

        def compute() -> dict[str, np.ndarray]:
            clips = self.features(self.train)
            return {
                "clips": clips.numpy(),
                "frames": self.frame_features(self.train).numpy(),
                "spacing": radii(clips / spread(clips), k=1).numpy(),
            }

        described = {"part": "training", **{name: self.described[name] for name in ("clips_sha256", "features", "extractor")}}
        return {name: torch.from_numpy(part) for name, part in cached(self.cache, described, compute).items()}

    @cached_property
    def scale(self) -> Tensor:
        """Standard deviations of the features of training clips: distances are measured in them."""
        return spread(self.training["clips"])

    def frame_features(self, clips: np.ndarray) -> Tensor:
        """Features of one frame of each clip, [N, D]: frame i modulo T of clip i."""
        frames = clips[np.arange(len(clips)), np.arange(len(clips)) % clips.shape[1]]
        return self.extractor(torch.from_numpy(frames)).features

    def distance(self, features: Tensor) -> float:
        """Fréchet distance of features of clips [N, D] to those of training clips; biased upwards for few clips."""
        return frechet_distance(statistics(features / self.scale), self.statistics["clips"])

    @cached_property
    def statistics(self) -> dict[str, Any]:
        return {"clips": statistics(self.training["clips"] / self.scale), "frames": statistics(self.training["frames"])}

    @cached_property
    def held_out(self) -> Tensor:
        """How close unseen clips are to training clips, [N]."""
        return self.closeness(self.features(self.unseen))

    def closeness(self, features: Tensor) -> Tensor:
        return closeness(features / self.scale, self.training["clips"] / self.scale, self.training["spacing"])

    def measure(self, clips: np.ndarray) -> dict[str, float]:
        """All metrics of clips uint8 [N, T, C, H, W]; those of digits only for moving_mnist."""
        features = self.features(clips)
        found = {
            f"{FD}_{self.features.name}": self.distance(features),
            self.extractor.key(FD_FRAME): frechet_distance(statistics(self.frame_features(clips)), self.statistics["frames"]),
        }
        if self.dataset.name == MovingMNIST.name:
            found |= trajectory_metrics(follow(*self.features.digits(clips)))
        return {
            **found,
            "motion": float(np.mean([np.abs(np.diff(clip.astype(np.int16), axis=0)).mean() for clip in clips])),
            "copies": copies(self.closeness(features), self.held_out),
        }

    def controls(self) -> dict[str, dict[str, Any]]:
        """The metrics of each control, from the cache if they are there."""
        return cached_controls(self.cache, self.described, self.measure_controls)

    def measure_controls(self) -> dict[str, dict[str, Any]]:
        print(f"measuring real clips of {self.dataset.name} and their controls first, once for all runs", flush=True)
        random = np.random.default_rng(0)
        copied = self.train[random.integers(len(self.train), size=self.samples)]
        spoiled: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "real": lambda clips: clips,
            "frozen": frozen,
            "shuffled": lambda clips: shuffled(clips, random),
            "reversed": lambda clips: clips[:, ::-1].copy(),
        }
        found = {name: self.measure(spoil(self.unseen)) for name, spoil in spoiled.items()}
        return found | {"training_copies": self.measure(copied)}


def frozen(clips: np.ndarray) -> np.ndarray:
    """The first frame of each clip [N, T, C, H, W] instead of all others."""
    return np.repeat(clips[:, :1], clips.shape[1], axis=1)


def shuffled(clips: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The frames of each clip in another order."""
    return np.stack([clip[random.permutation(len(clip))] for clip in clips])
