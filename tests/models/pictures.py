"""Small pairs of pictures for tests, in the form of the emoji: outlines of shapes, and the shapes in a colour of their kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.data.dataset import Arrays
from src.data.spec import Field, Spec
from src.data.words import Words
from src.evaluation.suite import Column, Main, record
from src.modalities.image import Image
from src.models.conditions import conditions_for

ROOT = Path(__file__).parents[2]
SIZES = {"train": 96, "validation": 32, "test": 32}
COLOURS = (230, 40, 40), (40, 40, 230)  # of discs, of squares


class Shapes:
    """x: a disc or a square in its colour on white, uint8 [3, S, S]. source: its black outline on white, uint8 [1, S, S]."""

    name = "shapes"

    def __init__(self, size: int = 16) -> None:
        self.size = size
        fields = {"x": Field("image", (3, size, size), "uint8"), "source": Field("image", (1, size, size), "uint8")}
        self.spec = Spec(fields)

    def prepare(self) -> None: ...

    def hashes(self) -> dict[str, str]:
        return {"x": "0"}

    def split(self, name: str) -> Arrays:
        random, s = np.random.default_rng(len(name)), self.size
        x, source = np.full((SIZES[name], 3, s, s), 255, np.uint8), np.full((SIZES[name], 1, s, s), 255, np.uint8)
        for number in range(SIZES[name]):
            kind, radius = number % 2, random.integers(s // 5, s // 3)
            down, right = np.abs(np.mgrid[:s, :s] - random.integers(s // 3, s - s // 3, (2, 1, 1)))
            distance = np.maximum(down, right) if kind else np.hypot(down, right).round()
            x[number, :, distance < radius] = COLOURS[kind]
            for picture in x[number], source[number]:
                picture[:, distance == radius] = 0
        return Arrays(x=x, source=source)


class CaptionedShapes(Shapes):
    """x as Shapes has it, and in more colours. caption: "a red disc"; one of the test part has UNKNOWN. y: the kind."""

    name = "captioned_shapes"
    words = Words.of([["a", "red", "green", "blue", "disc", "square"]], length=6)

    def __init__(self, size: int = 16) -> None:
        super().__init__(size)
        caption = Field("tokens", (6,), "int64", self.words.names)
        fields = {"x": self.spec.x, "caption": caption, "y": Field("class", (), "int64", ("disc", "square"))}
        self.spec = Spec(fields)

    def split(self, name: str) -> Arrays:
        x = super().split(name)["x"].copy()
        kind = np.arange(len(x)) % 2
        colour = np.random.default_rng(len(name)).integers(3, size=len(x))
        for picture, k, c in zip(x, kind, colour, strict=True):
            inside = (picture == np.array(COLOURS[k])[:, None, None]).all(axis=0)
            picture[:, inside] = np.eye(3, dtype=np.uint8)[c][:, None] * 230
        texts = [f"a {('red', 'green', 'blue')[c]} {('disc', 'square')[k]}" for k, c in zip(kind, colour, strict=True)]
        if name == "test":
            texts[0] = texts[0].replace("a ", "one ")
        return Arrays(x=x, caption=np.stack([self.words.encode(text) for text in texts]), y=kind)


class LaidOutShapes(Shapes):
    """Red, green or blue squares on white, one to three of them. layout: which colour, and where, as Scenes has it."""

    name = "laid_out_shapes"
    names = "red", "green", "blue"

    def __init__(self, size: int = 16) -> None:
        super().__init__(size)
        self.spec = Spec({"x": self.spec.x, "layout": Field("boxes", (3, 5), "float32", self.names)})

    def split(self, name: str) -> Arrays:
        random, size = np.random.default_rng(len(name)), self.size
        x = np.full((SIZES[name], 3, size, size), 255, np.uint8)
        layouts = np.zeros((SIZES[name], 3, 5), np.float32)
        for picture, layout in zip(x, layouts, strict=True):
            corners = random.permutation(4)[: random.integers(1, 4)]  # quarters of the picture, so that nothing is hidden
            for row, corner in zip(layout, corners, strict=False):
                down, right = random.integers(0, size // 4, 2) + size // 2 * np.array(np.divmod(corner, 2))
                colour = random.integers(3)
                picture[:, down : down + size // 4, right : right + size // 4] = (
                    np.eye(3, dtype=np.uint8)[colour][:, None, None] * 230
                )
                row[:] = colour, right / size, down / size, 0.25, 0.25
        return Arrays(x=x, layout=layouts)


class Shown(Image):
    """Samples alone, without their sources."""

    def preview(self, samples: Tensor, path: str | Path, provenance: Mapping[str, Any] | None = None, **more: Any) -> None:
        assert {*more} <= {"sources"}
        super().preview(samples, path, provenance)


class Mean:
    """A suite of one number: the mean absolute difference of a few samples to the data."""

    main = Main("l1", "lower")
    better = main.better

    def __init__(self, **settings: Any) -> None: ...

    def check(self, spec: Spec) -> None: ...

    def validate(self, model: Any, dataset: Any) -> float:
        cond = conditions_for(model, dataset.split("validation"), np.arange(4), range(4))
        return float((model.sample(range(4), cond) - batch_of(dataset, "validation", 4)["x"]).abs().mean())

    def evaluate(self, model: Any, dataset: Any, modality: Any, folder: Path) -> dict[str, Any]:
        value = {"l1": self.validate(model, dataset)}
        return record(self.main, [Column("l1", "L1", "of pictures")], value, {}, {}, {"suite": "l1"})


# Models of conf/model that make pictures of pictures or of words, or match them with words, and words that make each small.
PICTURES = {
    "pix2pix": ["model.generator={widths: [8, 8], dropout: 0.5, dropped: 1}", "model.discriminator={width: 8, layers: 1}"],
    "cyclegan": ["model.generator={width: 4, blocks: 1}", "model.discriminator={width: 4, layers: 1}", "model.pool=20"],
    "inpainting": ["model.generator={width: 4, dilations: [1, 2]}", "model.discriminator={width: 4, layers: 1}"],
    "style": [
        *(f"model.picture={ROOT / 'docs' / 'samples.png'}", "model.side=16", "model.content_layer=1"),
        *("model.network={width: 4, blocks: 1, kernel: 3}", "model.features._target_=pictures.Maps"),
    ],
    "clip": [
        "data.source._target_=pictures.CaptionedShapes",
        *("model.network.towers.x.widths=[8, 8]", "model.network.towers.caption={width: 16, heads: 2}"),
        *("model.network.towers.caption.dropout=0.0", "model.augment.x.1.pixels=1", "model.chunk=5"),
    ],
    "text_to_image": [
        "data.source._target_=pictures.CaptionedShapes",
        "model.network={width: 8, patch: 2, text: {width: 16, heads: 2, dropout: 0.0}}",
        *("model.nfe=3", "model.likelihood_steps=2"),
    ],
    "layout_to_image": [
        "data.source._target_=pictures.LaidOutShapes",
        *("model.network={width: 8, patch: 2, layout: {width: 4}}", "model.nfe=3", "model.likelihood_steps=2"),
    ],
    "text_to_image_gan": [
        "data.source._target_=pictures.CaptionedShapes",
        "model.generator={z_dim: 8, width: 4, most: 8, text: {width: 16, heads: 2}}",
        "model.discriminator={width: 4, most: 8, text: {width: 16, heads: 2}}",
    ],
}


def words_of_pictures(model: str) -> list[str]:
    """Words of `compose` for a small model of conf/model on shapes."""
    words = ["data=digits", "data.name=shapes", "~data.source", "~data.modality"]
    suite = ["evaluation=retrieval"] if model == "clip" else ["evaluation=likelihood", "evaluation._target_=pictures.Mean"]
    words += [*suite, "samples.n=2"]
    words.append("+data.source={_target_: pictures.Shapes}")
    words.append("+data.modality={_target_: pictures.Shown, _partial_: true}")
    return [*words, *PICTURES[model]]


def batch_of(dataset: Any, split: str = "train", rows: int = 8) -> dict[str, Tensor]:
    """The first samples of a split in the model's format."""
    found = {name: torch.from_numpy(part) for name, part in dataset.split(split).batch(np.arange(rows)).items()}
    return dataset.spec.to_model(found)


class Maps:
    """Two layers of random convolutions, in place of those of a trained classifier."""

    def __init__(self, **settings: Any) -> None:
        random = torch.Generator().manual_seed(0)
        self.kernels = [torch.randn(8, channels, 3, 3, generator=random) / 5 for channels in (3, 8)]

    def __call__(self, x: Tensor) -> list[Tensor]:
        found = []
        for kernel in self.kernels:
            x = torch.relu(torch.conv2d(x, kernel.to(x), stride=2, padding=1))
            found.append(x)
        return found
