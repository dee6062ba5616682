"""Real pictures with layouts, and the measurement of what a model, or a control, draws of the layouts."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from src.data.dataset import Dataset
from src.data.pixels import from_uint8
from src.data.spec import Spec
from src.evaluation.cache import Arrays, cached, digest
from src.evaluation.extractors.extractor import Extractor
from src.evaluation.pair_protocol import Reference, read
from src.evaluation.scoring import subset
from src.networks.attribute_classifier import AttributeClassifier
from src.training import rng

NAME, REVISION = "layout-cnn", 1  # increase it when the classifier changes: older caches are then not used
SIDE, WIDTH = 16, 32  # pixels of a crop; channels of the classifier
STEPS, BATCH, RATE = 1500, 128, 2e-3  # of its training with Adam
TRAINING = 10_000  # most pictures that it is trained on
JITTER = 0.1  # of a box's side: how far crops are moved in training
EMPTY = 0.5  # of a random crop, the largest part that an object may cover if the crop shows none
GRID = 16  # cells in each direction in which layouts are compared


class Objects(NamedTuple):
    """All objects of N layouts: the row of each [K], its class [K], and its box [K, 4]: x, y, width, height."""

    rows: Tensor
    kinds: Tensor
    boxes: Tensor

    @classmethod
    def of(cls, layouts: Tensor) -> "Objects":
        """layouts: float [N, M, 5]; boxes without width are none."""
        there = layouts[:, :, 3] > 0
        return cls(there.nonzero()[:, 0], layouts[there][:, 0].long(), layouts[there][:, 1:])


def crops(x: Tensor, boxes: Tensor) -> Tensor:
    """Of pictures [K, C, H, W] a box each [K, 4], resized to [K, C, SIDE, SIDE]."""
    place = (torch.arange(SIDE) + 0.5) / SIDE
    across = boxes[:, 0, None] + boxes[:, 2, None] * place  # [K, SIDE]
    down = boxes[:, 1, None] + boxes[:, 3, None] * place
    grid = torch.stack(torch.broadcast_tensors(across[:, None], down[:, :, None]), dim=-1)  # [K, SIDE, SIDE, 2]
    return F.grid_sample(x, 2 * grid - 1, padding_mode="border", align_corners=False)


class ObjectClassifier:
    """Which object a crop shows: a small network that is trained on the crops of a data set's real training pictures.

    Half of its training crops show an object; the others are random boxes of the same sizes that show ground, or at most half
    of an object, and have a class of their own: nothing. cache: folder that keeps the weights.
    """

    def __init__(self, dataset: Dataset, cache: Path) -> None:
        self.dataset, self.classes = dataset, len(dataset.spec.fields["layout"].names)
        self.network = AttributeClassifier(Spec.of("image", (dataset.spec.shape[0], SIDE, SIDE)), self.classes + 1, WIDTH)
        self.described = {"name": f"{NAME}-{REVISION}", "steps": STEPS, "training_pictures": TRAINING, "data": dataset.name}
        source = {"data_sha256": dataset.hashes(), "classes": list(dataset.spec.fields["layout"].names)}
        weights = cached(cache, self.described | source, self._train)
        self.network.load_state_dict({name: torch.from_numpy(part) for name, part in weights.items()})
        self.network.eval()

    @torch.no_grad()
    def found(self, pictures: Tensor, layouts: Tensor) -> Tensor:
        """Whether each object of layouts [N, M, 5] is seen at its place in pictures uint8 [N, C, H, W], bool [K]."""
        objects = Objects.of(layouts)
        seen = []
        for part in torch.arange(len(objects.rows)).split(1000):
            x = from_uint8(pictures[objects.rows[part]])
            seen.append(self.network(crops(x, objects.boxes[part])).argmax(1) == objects.kinds[part])
        return torch.cat(seen)

    def _train(self) -> Arrays:
        print(f"training {NAME}-{REVISION} on crops of {self.dataset.name} first, once for all runs", flush=True)
        split = self.dataset.split("train")
        batch = split.batch(subset(len(split), TRAINING, 0, NAME))
        pictures, layouts = torch.from_numpy(batch["x"]), torch.from_numpy(batch["layout"])
        objects = Objects.of(layouts)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(rng.key(0, NAME))
            network = AttributeClassifier(Spec.of("image", (pictures.shape[1], SIDE, SIDE)), self.classes + 1, WIDTH)
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for step in range(STEPS):
            random = rng.generator(0, NAME, step)
            chosen = torch.randint(len(objects.rows), (BATCH,), generator=random)
            shift = torch.rand(BATCH, 2, generator=random)
            rows, boxes, kinds = objects.rows[chosen], objects.boxes[chosen].clone(), objects.kinds[chosen].clone()
            empty = torch.arange(BATCH) % 2 == 1
            sides = boxes[:, 2:]
            boxes[:, :2] = torch.where(empty[:, None], shift * (1 - sides), boxes[:, :2] + (2 * shift - 1) * JITTER * sides)
            kinds[empty] = self.classes
            used = ~empty | (covered(boxes, layouts[rows]) <= EMPTY)
            logits = network(crops(from_uint8(pictures[rows]), boxes))
            optimizer.zero_grad()
            F.cross_entropy(logits[used], kinds[used]).backward()
            optimizer.step()
            schedule.step()
        return {name: part.numpy() for name, part in network.state_dict().items()}


def covered(boxes: Tensor, layouts: Tensor) -> Tensor:
    """The largest area that a box [K, 4] shares with an object of its layout [K, M, 5], as a share of the smaller's, [K]."""
    own, other = boxes[:, None], layouts[:, :, 1:]  # [K, 1, 4], [K, M, 4]
    ends = torch.minimum(own[..., :2] + own[..., 2:], other[..., :2] + other[..., 2:])
    shared = (ends - torch.maximum(own[..., :2], other[..., :2])).clamp(min=0).prod(-1)  # [K, M]
    return (shared / torch.minimum(own[..., 2:].prod(-1), other[..., 2:].prod(-1)).clamp(min=1e-6)).amax(1)


class LaidOut(Reference):
    """Real pictures with their layouts, and what is measured with them, see Reference."""

    def __init__(self, dataset: Dataset, extractor: Extractor, split: str, samples: int, classifier: ObjectClassifier) -> None:
        super().__init__(dataset, extractor, split, samples, paired=False)
        self.classifier = classifier
        self.layouts = read(dataset.split(split), self.rows, "layout")

    def described(self, suite: str) -> dict[str, Any]:
        weights = digest(np.concatenate([part.numpy().ravel() for part in self.classifier.network.state_dict().values()]))
        return super().described(suite) | {
            "layouts_sha256": digest(self.layouts.numpy()),
            "classifier": self.classifier.described | {"weights_sha256": weights},
            "objects": len(Objects.of(self.layouts).rows),
        }

    def measure(self, candidates: Mapping[str, Tensor], known: Arrays) -> dict[str, dict[str, float]]:
        found = super().measure(candidates, known)
        return {name: self.agreement(candidates[name]) | metrics for name, metrics in found.items()}

    def floor(self, known: Arrays) -> dict[str, float]:
        return self.agreement(self.targets) | super().floor(known)

    def agreement(self, samples: Tensor, layouts: Tensor | None = None) -> dict[str, float]:
        """The share of the asked objects that samples uint8 [N, C, H, W] show. layouts: None for their own."""
        asked = self.layouts if layouts is None else layouts
        return {"found": self.classifier.found(samples, asked).double().mean().item()}

    @cached_property
    def nearest(self) -> np.ndarray:
        """For each layout, the training picture of which the largest area has the same object, int [N]."""
        known = cells(read(self.train_split, self.train_rows, "layout"))
        same = [(known == own).float().mean(1) for own in cells(self.layouts)]
        return self.train_rows[torch.stack(same).argmax(1).numpy()]


def cells(layouts: Tensor) -> Tensor:
    """Layouts [N, M, 5] as the class at the centres of GRID x GRID cells, int8 [N, GRID^2]; -1 is ground."""
    centres = (torch.arange(GRID) + 0.5) / GRID
    found = torch.full((len(layouts), GRID, GRID), -1, dtype=torch.int8)
    for kind, x, y, width, height in layouts.permute(1, 2, 0)[..., None, None]:  # one object of each layout, [N, 1, 1] each
        across, down = centres - x, centres[:, None] - y
        inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)  # [N, GRID, GRID]
        found = torch.where(inside, kind.to(torch.int8), found)
    return found.flatten(1)


def outlines(layouts: Tensor, side: int) -> Tensor:
    """Layouts [N, M, 5] as pictures uint8 [N, 3, side, side]: the edges of the boxes, black on white."""
    found = torch.full((len(layouts), 3, side, side), 255, dtype=torch.uint8)
    for picture, layout in zip(found, (layouts[:, :, 1:] * side).round().int().tolist(), strict=True):
        for x, y, width, height in layout:
            if width:
                picture[:, y : y + height, x : x + width] = 0
                picture[:, y + 1 : y + height - 1, x + 1 : x + width - 1] = 255
    return found
